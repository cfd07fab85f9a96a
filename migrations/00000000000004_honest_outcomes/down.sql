DROP TRIGGER wake_vehicle_queue ON vehicles;
DROP FUNCTION wake_vehicle_queue();

DELETE FROM command_queue WHERE task = 'probe' OR is_called_off;
ALTER TABLE command_queue
    DROP COLUMN task,
    DROP COLUMN expires_at,
    DROP COLUMN sends,
    DROP COLUMN is_answered,
    DROP COLUMN skip_evidence,
    DROP COLUMN is_called_off,
    DROP COLUMN last_error;
COMMENT ON TABLE command_queue IS 'Commands that have not ended, in the order in which they are sent.';
COMMENT ON COLUMN command_queue.attempt IS 'How often the command was claimed.';

ALTER TABLE commands DROP COLUMN finding;
