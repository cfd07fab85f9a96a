CREATE TABLE idempotency_keys (
    user_id UUID NOT NULL REFERENCES users (user_id) ON DELETE CASCADE,
    key VARCHAR(255) NOT NULL,
    fingerprint BYTEA NOT NULL,
    command_id UUID NOT NULL REFERENCES commands (command_id) ON DELETE CASCADE
        DEFERRABLE INITIALLY DEFERRED,
    created_at TIMESTAMP WITH TIME ZONE NOT NULL,
    PRIMARY KEY (user_id, key)
);
COMMENT ON TABLE idempotency_keys IS 'Which command a key of a client stands for, for a day.';
COMMENT ON COLUMN idempotency_keys.fingerprint IS 'SHA-256 of the request that came with the key.';

-- The keys of one command, when it is deleted.
CREATE INDEX idx_idempotency_keys_command_id ON idempotency_keys (command_id);
-- The keys to forget.
CREATE INDEX idx_idempotency_keys_created_at ON idempotency_keys (created_at);
