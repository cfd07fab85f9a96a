DROP TABLE audit_prunings;
DROP TABLE audit_chain_head;

DROP TRIGGER refuse_audit_truncation ON audit_logs;
DROP TRIGGER guard_audit_deletion ON audit_logs;
DROP TRIGGER guard_audit_update ON audit_logs;
DROP TRIGGER copy_audit_references ON audit_logs;
DROP FUNCTION guard_audit_deletion();
DROP FUNCTION guard_audit_update();
DROP FUNCTION copy_audit_references();
DROP FUNCTION refuse_audit_change();

ALTER TABLE audit_logs RESET (autovacuum_vacuum_scale_factor);

-- Their indexes and checks go with the columns.
CREATE INDEX idx_audit_logs_timestamp ON audit_logs (timestamp);
DROP INDEX idx_audit_logs_timestamp_desc_log_id_desc;
ALTER TABLE audit_logs
    DROP CONSTRAINT chk_audit_logs_timestamp,
    DROP COLUMN hash,
    DROP COLUMN position,
    DROP COLUMN subject_command_id,
    DROP COLUMN subject_vehicle_id,
    DROP COLUMN actor_id,
    DROP COLUMN request_id,
    DROP COLUMN result;
