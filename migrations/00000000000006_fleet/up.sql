-- Any writer of connection_status, also one that knows nothing of the queue, notifies the dispatchers and
-- updates the queue of the vehicle. Transactions take locks in the order vehicles, command_queue,
-- queue_heads.

CREATE FUNCTION notify_vehicle_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify('sovd_queue', 'vehicle ' || NEW.vehicle_id);
    RETURN NULL;
END
$$;
CREATE TRIGGER notify_vehicle_change
    AFTER UPDATE OF connection_status ON vehicles FOR EACH ROW
    WHEN (NEW.connection_status <> OLD.connection_status)
    EXECUTE FUNCTION notify_vehicle_change();

CREATE FUNCTION mark_queue_unreachable() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE queue_heads SET is_reachable = false WHERE vehicle_id = NEW.vehicle_id;
    RETURN NULL;
END
$$;
CREATE TRIGGER mark_queue_unreachable
    AFTER UPDATE OF connection_status ON vehicles FOR EACH ROW
    WHEN (OLD.connection_status = 'connected' AND NEW.connection_status <> 'connected')
    EXECUTE FUNCTION mark_queue_unreachable();

-- Ends the delay before the next attempt. Only the head of a queue is ever attempted, so only the head can
-- be delayed. The minute is a margin for processes whose clocks are behind the clock of the database.
CREATE FUNCTION resume_vehicle_queue() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE command_queue SET due_at = now() - INTERVAL '1 minute'
    WHERE command_id = (SELECT command_id FROM queue_heads WHERE vehicle_id = NEW.vehicle_id)
      AND lease_id IS NULL AND due_at > now();
    UPDATE queue_heads SET is_reachable = true WHERE vehicle_id = NEW.vehicle_id;
    PERFORM pg_notify('sovd_queue', 'work');
    RETURN NULL;
END
$$;
CREATE TRIGGER resume_vehicle_queue
    AFTER UPDATE OF connection_status ON vehicles FOR EACH ROW
    WHEN (NEW.connection_status = 'connected' AND OLD.connection_status <> 'connected')
    EXECUTE FUNCTION resume_vehicle_queue();
