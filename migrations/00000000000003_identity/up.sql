ALTER TABLE users ADD COLUMN is_active BOOLEAN NOT NULL DEFAULT true;
COMMENT ON COLUMN users.is_active IS 'Whether the user may authenticate; false while the account is disabled.';

ALTER TABLE sessions
    ADD COLUMN ends_at TIMESTAMP WITH TIME ZONE NOT NULL DEFAULT now() + INTERVAL '30 days',
    ADD COLUMN last_used_at TIMESTAMP WITH TIME ZONE NOT NULL DEFAULT now(),
    ADD COLUMN ip_address VARCHAR(45),
    ADD COLUMN user_agent TEXT;
UPDATE sessions SET ends_at = created_at + INTERVAL '30 days', last_used_at = created_at;
COMMENT ON COLUMN sessions.ends_at IS 'The time after which the session cannot be refreshed.';
COMMENT ON COLUMN sessions.last_used_at IS 'When a token of the session was last used, with a resolution of one minute.';
COMMENT ON COLUMN sessions.ip_address IS 'The client of the latest login or refresh, IPv4 or IPv6 as text.';
COMMENT ON COLUMN sessions.user_agent IS 'The User-Agent of the latest login or refresh.';

CREATE TABLE spent_refresh_tokens (
    token_hash VARCHAR(64) PRIMARY KEY,
    session_id UUID NOT NULL REFERENCES sessions (session_id) ON DELETE CASCADE,
    spent_at TIMESTAMP WITH TIME ZONE NOT NULL,
    successor_salt BYTEA NOT NULL,
    ip_address VARCHAR(45),
    user_agent TEXT
);
COMMENT ON TABLE spent_refresh_tokens IS 'Refresh tokens that were exchanged for a successor. Reuse of one indicates theft.';
COMMENT ON COLUMN spent_refresh_tokens.token_hash IS 'SHA-256 of the refresh token in hexadecimal, never the token.';
COMMENT ON COLUMN spent_refresh_tokens.successor_salt IS 'Derives the successor from the token.';
COMMENT ON COLUMN spent_refresh_tokens.ip_address IS 'The client that exchanged the token, IPv4 or IPv6 as text.';
COMMENT ON COLUMN spent_refresh_tokens.user_agent IS 'The User-Agent of that client.';

-- The tokens of a session that is deleted.
CREATE INDEX idx_spent_refresh_tokens_session_id ON spent_refresh_tokens (session_id);

CREATE TABLE service_accounts (
    user_id UUID PRIMARY KEY REFERENCES users (user_id) ON DELETE CASCADE,
    key_hash VARCHAR(64) NOT NULL,
    permissions TEXT[] NOT NULL,
    vehicle_ids UUID[],
    created_by UUID REFERENCES users (user_id) ON DELETE SET NULL,
    expires_at TIMESTAMP WITH TIME ZONE NOT NULL,
    last_used_at TIMESTAMP WITH TIME ZONE,
    last_used_from VARCHAR(45),
    revoked_at TIMESTAMP WITH TIME ZONE,
    CONSTRAINT unq_service_accounts_key_hash UNIQUE (key_hash)
);
COMMENT ON TABLE service_accounts IS 'Machine clients that authenticate with a key. Each is a user that cannot log in.';
COMMENT ON COLUMN service_accounts.key_hash IS 'SHA-256 of the key in hexadecimal, never the key.';
COMMENT ON COLUMN service_accounts.permissions IS 'The permissions of the role that the key grants.';
COMMENT ON COLUMN service_accounts.vehicle_ids IS 'The vehicles that the key gives access to; null for all.';
COMMENT ON COLUMN service_accounts.expires_at IS 'The time from which the key is invalid.';
COMMENT ON COLUMN service_accounts.last_used_at IS 'When the key was last used, with a resolution of one minute.';
COMMENT ON COLUMN service_accounts.last_used_from IS 'The client that last used the key, IPv4 or IPv6 as text.';

-- The accounts created by an admin who is deleted.
CREATE INDEX idx_service_accounts_created_by ON service_accounts (created_by);
