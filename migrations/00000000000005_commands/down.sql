DROP TABLE idempotency_keys;
DROP TABLE queue_heads;
DROP TABLE command_queue;
DROP FUNCTION clear_queue_heads();
DROP FUNCTION remove_queue_head();
DROP FUNCTION change_queue_head();
DROP FUNCTION add_queue_head();
DROP FUNCTION set_queue_user();

CREATE INDEX idx_responses_command_id ON responses (command_id);
CREATE INDEX idx_commands_vehicle_id ON commands (vehicle_id);
CREATE INDEX idx_commands_submitted_at ON commands (submitted_at);
DROP INDEX idx_commands_submitted_at_command_id;
-- Their checks go with the columns.
ALTER TABLE commands
    DROP COLUMN finding,
    DROP COLUMN expires_at,
    DROP COLUMN started_at,
    DROP COLUMN failure_kind;
