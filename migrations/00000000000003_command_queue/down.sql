DROP TABLE command_queue;

ALTER TABLE commands
    DROP COLUMN expires_at,
    DROP COLUMN started_at,
    DROP COLUMN failure_kind;
