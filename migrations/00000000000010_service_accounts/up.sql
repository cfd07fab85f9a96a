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
COMMENT ON TABLE service_accounts IS 'Machines that call with a key; each is a user that cannot log in.';
COMMENT ON COLUMN service_accounts.key_hash IS 'SHA-256 of the key in hexadecimal, never the key.';
COMMENT ON COLUMN service_accounts.permissions IS 'What the key opens, of what the role may do.';
COMMENT ON COLUMN service_accounts.vehicle_ids IS 'The vehicles the key is good for; null is all.';
COMMENT ON COLUMN service_accounts.expires_at IS 'The moment from which the key opens nothing.';
COMMENT ON COLUMN service_accounts.last_used_at IS 'When the key was last used, to the minute.';
COMMENT ON COLUMN service_accounts.last_used_from IS 'Where from, IPv4 or IPv6 as text.';

-- The accounts that one admin made, when the admin is deleted.
CREATE INDEX idx_service_accounts_created_by ON service_accounts (created_by);
