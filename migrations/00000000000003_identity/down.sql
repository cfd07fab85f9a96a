DROP TABLE service_accounts;
DROP TABLE spent_refresh_tokens;

ALTER TABLE sessions
    DROP COLUMN user_agent,
    DROP COLUMN ip_address,
    DROP COLUMN last_used_at,
    DROP COLUMN ends_at;

ALTER TABLE users DROP COLUMN is_active;
