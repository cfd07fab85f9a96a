-- IF NOT EXISTS lets an operator build both indexes beforehand with CREATE INDEX CONCURRENTLY, which does
-- not block writers. A concurrent build that failed leaves an index that is not used.
DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_index JOIN pg_class ON pg_class.oid = indexrelid
               WHERE NOT indisvalid
                 AND relname IN ('idx_audit_logs_timestamp_desc_log_id_desc',
                                 'idx_commands_submitted_at_command_id')) THEN
        RAISE EXCEPTION 'an index of this migration is invalid: drop it and migrate again';
    END IF;
END
$$;

-- The trail, newest first, from any entry on, also among entries with the same time.
CREATE INDEX IF NOT EXISTS idx_audit_logs_timestamp_desc_log_id_desc
    ON audit_logs (timestamp DESC, log_id DESC);
-- The commands of the fleet, newest first, also among commands with the same time.
CREATE INDEX IF NOT EXISTS idx_commands_submitted_at_command_id
    ON commands (submitted_at DESC, command_id DESC);

COMMENT ON INDEX idx_audit_logs_timestamp_desc_log_id_desc IS
    'Pages of the audit trail, newest first. Supersedes idx_audit_logs_timestamp.';
COMMENT ON INDEX idx_commands_submitted_at_command_id IS
    'Pages of all commands, newest first. Supersedes idx_commands_submitted_at.';
