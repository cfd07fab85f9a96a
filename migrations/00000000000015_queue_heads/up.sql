-- Transactions lock in the order vehicles, command_queue, queue_heads; so does this migration.
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

ALTER TABLE command_queue
    ADD COLUMN user_id UUID,
    ADD COLUMN ready_at TIMESTAMP WITH TIME ZONE NOT NULL GENERATED ALWAYS AS (
        CASE WHEN is_called_off AND task = 'command' THEN TIMESTAMP WITH TIME ZONE 'infinity'
             ELSE greatest(due_at, lease_until) END) STORED;
COMMENT ON COLUMN command_queue.user_id IS 'The submitter of the command; set by a trigger.';
COMMENT ON COLUMN command_queue.ready_at IS 'The moment from which it may be claimed: it is due, and no lease is valid. Never for a cancelled command.';

UPDATE command_queue SET user_id = commands.user_id
FROM commands WHERE commands.command_id = command_queue.command_id;

-- The commands that a user has in the queue: how many, and whether there are any.
CREATE INDEX idx_command_queue_user_id ON command_queue (user_id);
-- Cancelled commands whose lease has expired.
CREATE INDEX idx_command_queue_called_off_lease_until
    ON command_queue (lease_until) WHERE is_called_off;

CREATE TABLE queue_heads (
    vehicle_id UUID PRIMARY KEY REFERENCES vehicles (vehicle_id) ON DELETE CASCADE,
    command_id UUID NOT NULL,
    position BIGINT NOT NULL,
    ready_at TIMESTAMP WITH TIME ZONE NOT NULL,
    is_sent BOOLEAN NOT NULL,
    is_reachable BOOLEAN NOT NULL
);
COMMENT ON TABLE queue_heads IS 'The first entry of each vehicle''s queue. Triggers on command_queue and vehicles maintain it.';
COMMENT ON COLUMN queue_heads.command_id IS 'The command of the entry with the lowest position.';
COMMENT ON COLUMN queue_heads.position IS 'Copy of command_queue.position.';
COMMENT ON COLUMN queue_heads.ready_at IS 'Copy of command_queue.ready_at.';
COMMENT ON COLUMN queue_heads.is_sent IS 'Whether command_queue.sends is above 0: such a task is claimed although the vehicle is away.';
COMMENT ON COLUMN queue_heads.is_reachable IS 'Whether the vehicle is connected.';

-- The tasks that can be claimed, in the order in which they became ready.
CREATE INDEX idx_queue_heads_ready_at_position
    ON queue_heads (ready_at, position) WHERE is_reachable OR is_sent;

INSERT INTO queue_heads (vehicle_id, command_id, position, ready_at, is_sent, is_reachable)
SELECT DISTINCT ON (vehicle_id)
       vehicle_id, command_id, position, ready_at, sends > 0, connection_status = 'connected'
FROM command_queue JOIN vehicles USING (vehicle_id)
ORDER BY vehicle_id, position;

CREATE FUNCTION set_queue_user() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.user_id := (SELECT user_id FROM commands WHERE command_id = NEW.command_id);
    RETURN NEW;
END
$$;
CREATE TRIGGER set_queue_user
    BEFORE INSERT ON command_queue FOR EACH ROW
    EXECUTE FUNCTION set_queue_user();

-- The key share lock makes a concurrent removal of the head wait until this entry is committed, so that
-- it finds the entry. The lock does not conflict with a claim.
CREATE FUNCTION add_queue_head() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    LOOP
        PERFORM FROM queue_heads WHERE vehicle_id = NEW.vehicle_id FOR KEY SHARE;
        EXIT WHEN FOUND;
        INSERT INTO queue_heads (vehicle_id, command_id, position, ready_at, is_sent, is_reachable)
        VALUES (NEW.vehicle_id, NEW.command_id, NEW.position, NEW.ready_at, NEW.sends > 0,
                coalesce((SELECT connection_status = 'connected' FROM vehicles
                          WHERE vehicle_id = NEW.vehicle_id FOR SHARE), false))
        ON CONFLICT (vehicle_id) DO NOTHING;
        EXIT WHEN FOUND;
    END LOOP;
    RETURN NULL;
END
$$;
CREATE TRIGGER add_queue_head
    AFTER INSERT ON command_queue FOR EACH ROW
    EXECUTE FUNCTION add_queue_head();

CREATE FUNCTION change_queue_head() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE queue_heads SET ready_at = NEW.ready_at, is_sent = NEW.sends > 0
    WHERE vehicle_id = NEW.vehicle_id AND command_id = NEW.command_id;
    RETURN NULL;
END
$$;
CREATE TRIGGER change_queue_head
    AFTER UPDATE ON command_queue FOR EACH ROW
    WHEN (OLD.ready_at <> NEW.ready_at OR (OLD.sends > 0) <> (NEW.sends > 0))
    EXECUTE FUNCTION change_queue_head();

-- The lock is taken for every entry: a removal that is not committed yet may have made this entry the
-- head. The row comparison keeps the search inside the index on (vehicle_id, position), whatever the
-- statistics say.
CREATE FUNCTION remove_queue_head() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    head UUID;
    next command_queue;
BEGIN
    SELECT command_id INTO head FROM queue_heads WHERE vehicle_id = OLD.vehicle_id FOR UPDATE;
    IF head IS DISTINCT FROM OLD.command_id THEN
        RETURN NULL;
    END IF;
    SELECT * INTO next FROM command_queue
    WHERE (vehicle_id, position) > (OLD.vehicle_id, OLD.position)
    ORDER BY vehicle_id, position LIMIT 1;
    IF next.vehicle_id = OLD.vehicle_id THEN
        UPDATE queue_heads
        SET command_id = next.command_id, position = next.position, ready_at = next.ready_at,
            is_sent = next.sends > 0
        WHERE vehicle_id = OLD.vehicle_id;
    ELSE
        DELETE FROM queue_heads WHERE vehicle_id = OLD.vehicle_id;
    END IF;
    RETURN NULL;
END
$$;
CREATE TRIGGER remove_queue_head
    AFTER DELETE ON command_queue FOR EACH ROW
    EXECUTE FUNCTION remove_queue_head();

-- Only the head of a queue is ever tried, so only the head can be in a pause between tries.
CREATE OR REPLACE FUNCTION wake_vehicle_queue() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE command_queue SET due_at = now() - INTERVAL '1 minute'
    WHERE command_id = (SELECT command_id FROM queue_heads WHERE vehicle_id = NEW.vehicle_id)
      AND lease_id IS NULL AND due_at > now();
    UPDATE queue_heads SET is_reachable = true WHERE vehicle_id = NEW.vehicle_id;
    PERFORM pg_notify('sovd_queue', 'work');
    RETURN NULL;
END
$$;

-- Row triggers do not see a TRUNCATE, and a stale head would keep its vehicle from being served.
CREATE FUNCTION clear_queue_heads() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    DELETE FROM queue_heads;
    RETURN NULL;
END
$$;
CREATE TRIGGER clear_queue_heads
    AFTER TRUNCATE ON command_queue FOR EACH STATEMENT
    EXECUTE FUNCTION clear_queue_heads();
