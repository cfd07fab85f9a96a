UPDATE audit_logs SET details = details || jsonb_build_object('request_id', request_id)
WHERE request_id IS NOT NULL;

ALTER TABLE audit_logs
    DROP COLUMN request_id,
    DROP COLUMN result;
