-- Any writer of connection_status, also one that knows nothing of the queue, notifies the dispatchers and
-- updates the queue of the vehicle. Transactions take locks in the order vehicles, command_queue,
-- queue_heads.

CREATE FUNCTION announce_vehicle() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify('sovd_queue', 'vehicle ' || NEW.vehicle_id);
    RETURN NULL;
END
$$;
CREATE TRIGGER announce_vehicle
    AFTER UPDATE OF connection_status ON vehicles FOR EACH ROW
    WHEN (NEW.connection_status <> OLD.connection_status)
    EXECUTE FUNCTION announce_vehicle();

CREATE FUNCTION detach_queue_head() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE queue_heads SET is_reachable = false WHERE vehicle_id = NEW.vehicle_id;
    RETURN NULL;
END
$$;
CREATE TRIGGER detach_queue_head
    AFTER UPDATE OF connection_status ON vehicles FOR EACH ROW
    WHEN (OLD.connection_status = 'connected' AND NEW.connection_status <> 'connected')
    EXECUTE FUNCTION detach_queue_head();

-- Ends the delay before the next attempt. Only the head of a queue is ever attempted, so only the head can
-- be delayed. The minute is a margin for processes whose clocks are behind the clock of the database.
CREATE FUNCTION wake_vehicle_queue() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE command_queue SET due_at = now() - INTERVAL '1 minute'
    WHERE command_id = (SELECT command_id FROM queue_heads WHERE vehicle_id = NEW.vehicle_id)
      AND lease_id IS NULL AND due_at > now();
    UPDATE queue_heads SET is_reachable = true WHERE vehicle_id = NEW.vehicle_id;
    PERFORM pg_notify('sovd_queue', 'work');
    RETURN NULL;
END
$$;
CREATE TRIGGER wake_vehicle_queue
    AFTER UPDATE OF connection_status ON vehicles FOR EACH ROW
    WHEN (NEW.connection_status = 'connected' AND OLD.connection_status <> 'connected')
    EXECUTE FUNCTION wake_vehicle_queue();
