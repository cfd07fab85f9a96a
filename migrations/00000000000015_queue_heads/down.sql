-- Stop the programs first: they lock command_queue before vehicles, this locks vehicles first.
CREATE OR REPLACE FUNCTION wake_vehicle_queue() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE command_queue SET due_at = now() - INTERVAL '1 minute'
    WHERE vehicle_id = NEW.vehicle_id AND lease_id IS NULL AND due_at > now();
    PERFORM pg_notify('sovd_queue', 'work');
    RETURN NULL;
END
$$;

DROP TRIGGER detach_queue_head ON vehicles;
DROP TRIGGER set_queue_user ON command_queue;
DROP TRIGGER add_queue_head ON command_queue;
DROP TRIGGER change_queue_head ON command_queue;
DROP TRIGGER remove_queue_head ON command_queue;
DROP TRIGGER clear_queue_heads ON command_queue;
DROP FUNCTION detach_queue_head();
DROP FUNCTION set_queue_user();
DROP FUNCTION add_queue_head();
DROP FUNCTION change_queue_head();
DROP FUNCTION remove_queue_head();
DROP FUNCTION clear_queue_heads();
DROP TABLE queue_heads;
DROP INDEX idx_command_queue_called_off_lease_until;
ALTER TABLE command_queue
    DROP COLUMN ready_at,
    DROP COLUMN user_id;
