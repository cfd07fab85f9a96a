ALTER TABLE audit_logs
    ADD COLUMN result VARCHAR(20) NOT NULL DEFAULT 'done'
        CONSTRAINT chk_audit_logs_result CHECK (result IN ('done', 'refused', 'failed')),
    ADD COLUMN request_id VARCHAR(128);

UPDATE audit_logs
SET result = CASE action
        WHEN 'auth.login_failed' THEN 'refused'
        WHEN 'command.fail' THEN 'failed'
        ELSE 'done'
    END,
    request_id = left(details ->> 'request_id', 128),
    details = details - 'request_id';

COMMENT ON COLUMN audit_logs.result IS 'What came of it.';
COMMENT ON COLUMN audit_logs.request_id IS 'Ties the line to the answer and the logs; null when no request caused it.';
