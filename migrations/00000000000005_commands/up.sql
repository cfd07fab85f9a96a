ALTER TABLE commands
    ADD COLUMN failure_kind VARCHAR(20)
        CONSTRAINT chk_commands_failure_kind
        CHECK (failure_kind IN ('rejected', 'unreachable', 'timeout', 'expired', 'cancelled',
                                'outcome_unknown', 'internal')),
    ADD COLUMN started_at TIMESTAMP WITH TIME ZONE,
    ADD COLUMN expires_at TIMESTAMP WITH TIME ZONE NOT NULL DEFAULT now() + INTERVAL '1 hour',
    ADD COLUMN finding VARCHAR(20)
        CONSTRAINT chk_commands_finding
        CHECK (finding IN ('cleared', 'not_cleared', 'cannot_tell'));
UPDATE commands SET failure_kind = 'internal' WHERE status = 'failed';
ALTER TABLE commands
    ADD CONSTRAINT chk_commands_failure_kind_when_failed
        CHECK ((status = 'failed') = (failure_kind IS NOT NULL)),
    ADD CONSTRAINT chk_commands_finding_when_unknown
        CHECK (finding IS NULL OR (failure_kind IS NOT NULL AND failure_kind = 'outcome_unknown'));
COMMENT ON COLUMN commands.failure_kind IS 'What the failure says about the vehicle; set if and only if the command failed.';
COMMENT ON COLUMN commands.started_at IS 'When the command was first sent.';
COMMENT ON COLUMN commands.expires_at IS 'The time after which the command is not sent.';
COMMENT ON COLUMN commands.finding IS 'What a probe found after a clear with an unknown outcome.';

-- The list of commands, newest first, from any command on, also among commands with the same time. A
-- scan in either direction serves every query by time alone, so this index replaces
-- idx_commands_submitted_at.
CREATE INDEX idx_commands_submitted_at_command_id ON commands (submitted_at DESC, command_id DESC);
DROP INDEX idx_commands_submitted_at;
-- idx_commands_vehicle_id_status begins with the same column.
DROP INDEX idx_commands_vehicle_id;
-- unq_responses_command_id_sequence_number begins with the same column.
DROP INDEX idx_responses_command_id;

CREATE TABLE command_queue (
    command_id UUID PRIMARY KEY REFERENCES commands (command_id) ON DELETE CASCADE,
    vehicle_id UUID NOT NULL REFERENCES vehicles (vehicle_id) ON DELETE CASCADE,
    user_id UUID,
    position BIGINT NOT NULL GENERATED ALWAYS AS IDENTITY,
    task VARCHAR(20) NOT NULL DEFAULT 'command'
        CONSTRAINT chk_command_queue_task CHECK (task IN ('command', 'probe')),
    due_at TIMESTAMP WITH TIME ZONE NOT NULL,
    expires_at TIMESTAMP WITH TIME ZONE NOT NULL DEFAULT now() + INTERVAL '1 hour',
    attempt INTEGER NOT NULL DEFAULT 0,
    send_count INTEGER NOT NULL DEFAULT 0
        CONSTRAINT chk_command_queue_send_count CHECK (send_count >= 0),
    skip_evidence BOOLEAN NOT NULL DEFAULT false,
    is_answered BOOLEAN NOT NULL DEFAULT false,
    is_cancelled BOOLEAN NOT NULL DEFAULT false,
    last_error TEXT,
    lease_id UUID,
    lease_expires_at TIMESTAMP WITH TIME ZONE,
    ready_at TIMESTAMP WITH TIME ZONE NOT NULL GENERATED ALWAYS AS (
        CASE WHEN is_cancelled AND task = 'command' THEN TIMESTAMP WITH TIME ZONE 'infinity'
             ELSE greatest(due_at, lease_expires_at) END) STORED,
    CONSTRAINT chk_command_queue_lease CHECK ((lease_id IS NULL) = (lease_expires_at IS NULL)),
    CONSTRAINT chk_command_queue_is_cancelled CHECK (NOT is_cancelled OR lease_id IS NOT NULL)
);
COMMENT ON TABLE command_queue IS 'Tasks in order of submission: commands that have not ended, and probes of commands whose outcome is unknown.';
COMMENT ON COLUMN command_queue.user_id IS 'The submitter of the command; set by a trigger.';
COMMENT ON COLUMN command_queue.position IS 'Order of submission. Only the lowest position of each vehicle is sent.';
COMMENT ON COLUMN command_queue.task IS 'command: send the command; probe: it ended with an unknown outcome, read the faults of the vehicle.';
COMMENT ON COLUMN command_queue.due_at IS 'The time before which the task is not sent.';
COMMENT ON COLUMN command_queue.expires_at IS 'The time after which the task is not sent.';
COMMENT ON COLUMN command_queue.attempt IS 'Number of failed attempts; the delay before the next one grows with it.';
COMMENT ON COLUMN command_queue.send_count IS 'How often the task may have reached the vehicle; incremented before it is sent.';
COMMENT ON COLUMN command_queue.skip_evidence IS 'Whether the command is sent without reading the faults first.';
COMMENT ON COLUMN command_queue.is_answered IS 'Whether the response is complete and only the remaining faults have to be read.';
COMMENT ON COLUMN command_queue.is_cancelled IS 'Whether the command was cancelled. The vehicle stays reserved until the lease holder releases it or the lease expires.';
COMMENT ON COLUMN command_queue.last_error IS 'Why the last attempt failed.';
COMMENT ON COLUMN command_queue.lease_id IS 'Generated with each claim; proves that the claim is still held.';
COMMENT ON COLUMN command_queue.lease_expires_at IS 'The time after which another process may claim the task.';
COMMENT ON COLUMN command_queue.ready_at IS 'The time from which the task may be claimed: it is due, and no lease is valid. Infinity for a cancelled command.';

-- The next task of a vehicle; all tasks of a vehicle that is deleted.
CREATE UNIQUE INDEX unq_command_queue_vehicle_id_position ON command_queue (vehicle_id, position);
-- The number of entries that a user has in the queue, and whether there are any.
CREATE INDEX idx_command_queue_user_id ON command_queue (user_id);
-- Expired tasks that were never sent.
CREATE INDEX idx_command_queue_expires_at ON command_queue (expires_at) WHERE send_count = 0;
-- Cancelled commands whose lease has expired.
CREATE INDEX idx_command_queue_cancelled_lease_expires_at
    ON command_queue (lease_expires_at) WHERE is_cancelled;

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
COMMENT ON COLUMN queue_heads.is_sent IS 'Whether command_queue.send_count is above 0: such a task is claimed even if the vehicle is disconnected.';
COMMENT ON COLUMN queue_heads.is_reachable IS 'Whether the vehicle is connected.';

-- The tasks that can be claimed, in the order in which they became ready.
CREATE INDEX idx_queue_heads_ready_at_position
    ON queue_heads (ready_at, position) WHERE is_reachable OR is_sent;

CREATE TABLE idempotency_keys (
    user_id UUID NOT NULL REFERENCES users (user_id) ON DELETE CASCADE,
    key VARCHAR(255) NOT NULL,
    fingerprint BYTEA NOT NULL,
    command_id UUID NOT NULL REFERENCES commands (command_id) ON DELETE CASCADE
        DEFERRABLE INITIALLY DEFERRED,
    created_at TIMESTAMP WITH TIME ZONE NOT NULL,
    PRIMARY KEY (user_id, key)
);
COMMENT ON TABLE idempotency_keys IS 'The command that was submitted with a client''s Idempotency-Key, for a day.';
COMMENT ON COLUMN idempotency_keys.fingerprint IS 'SHA-256 of the request that came with the key.';

-- The keys of a command that is deleted.
CREATE INDEX idx_idempotency_keys_command_id ON idempotency_keys (command_id);
-- The keys that have expired.
CREATE INDEX idx_idempotency_keys_created_at ON idempotency_keys (created_at);

-- Transactions take locks in the order vehicles, command_queue, queue_heads.

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
        VALUES (NEW.vehicle_id, NEW.command_id, NEW.position, NEW.ready_at, NEW.send_count > 0,
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
    UPDATE queue_heads SET ready_at = NEW.ready_at, is_sent = NEW.send_count > 0
    WHERE vehicle_id = NEW.vehicle_id AND command_id = NEW.command_id;
    RETURN NULL;
END
$$;
CREATE TRIGGER change_queue_head
    AFTER UPDATE ON command_queue FOR EACH ROW
    WHEN (OLD.ready_at <> NEW.ready_at OR (OLD.send_count > 0) <> (NEW.send_count > 0))
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
            is_sent = next.send_count > 0
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

-- A command in progress may have been sent.
INSERT INTO command_queue (command_id, vehicle_id, due_at, expires_at, send_count)
SELECT command_id, vehicle_id, submitted_at, expires_at,
       CASE status WHEN 'in_progress' THEN 1 ELSE 0 END
FROM commands
WHERE status IN ('pending', 'in_progress')
ORDER BY submitted_at, command_id;
