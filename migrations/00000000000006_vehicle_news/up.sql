-- Whoever writes that a vehicle's link has changed tells it to every program that listens.
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
