ALTER TABLE users ADD COLUMN is_active BOOLEAN NOT NULL DEFAULT true;
COMMENT ON COLUMN users.is_active IS 'Whether the user may log in.';

ALTER TABLE sessions
    ADD COLUMN ends_at TIMESTAMP WITH TIME ZONE NOT NULL DEFAULT now() + INTERVAL '30 days',
    ADD COLUMN last_used_at TIMESTAMP WITH TIME ZONE NOT NULL DEFAULT now(),
    ADD COLUMN ip_address VARCHAR(45),
    ADD COLUMN user_agent TEXT;

UPDATE sessions SET ends_at = created_at + INTERVAL '30 days', last_used_at = created_at;

COMMENT ON COLUMN sessions.ends_at IS 'The moment past which no refresh prolongs the session.';
COMMENT ON COLUMN sessions.last_used_at IS 'When a token of the session was last seen, to the minute.';
COMMENT ON COLUMN sessions.ip_address IS 'Where the last token was fetched from, IPv4 or IPv6 as text.';
COMMENT ON COLUMN sessions.user_agent IS 'What the client that fetched it calls itself.';

CREATE TABLE spent_refresh_tokens (
    token_hash VARCHAR(64) PRIMARY KEY,
    session_id UUID NOT NULL REFERENCES sessions (session_id) ON DELETE CASCADE,
    spent_at TIMESTAMP WITH TIME ZONE NOT NULL,
    successor_salt BYTEA NOT NULL,
    ip_address VARCHAR(45),
    user_agent TEXT
);
COMMENT ON TABLE spent_refresh_tokens IS 'Refresh tokens that were used: whoever shows one again is a thief or was robbed.';
COMMENT ON COLUMN spent_refresh_tokens.token_hash IS 'SHA-256 of the refresh token in hexadecimal, never the token.';
COMMENT ON COLUMN spent_refresh_tokens.successor_salt IS 'Makes the successor, together with the token itself.';
COMMENT ON COLUMN spent_refresh_tokens.ip_address IS 'Where it was spent from.';
COMMENT ON COLUMN spent_refresh_tokens.user_agent IS 'What the client that spent it calls itself.';

-- The spent tokens of one session, when it ends.
CREATE INDEX idx_spent_refresh_tokens_session_id ON spent_refresh_tokens (session_id);
