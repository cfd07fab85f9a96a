ALTER TABLE commands
    ADD COLUMN finding VARCHAR(20)
        CONSTRAINT chk_commands_finding
        CHECK (finding IN ('cleared', 'not cleared', 'cannot tell')),
    ADD CONSTRAINT chk_commands_finding_when_unknown
        CHECK (finding IS NULL OR (failure_kind IS NOT NULL AND failure_kind = 'outcome_unknown'));
COMMENT ON COLUMN commands.finding IS 'What reading the faults again showed, when nobody knows whether they were cleared.';

ALTER TABLE command_queue
    ADD COLUMN task VARCHAR(20) NOT NULL DEFAULT 'command'
        CONSTRAINT chk_command_queue_task CHECK (task IN ('command', 'probe')),
    ADD COLUMN expires_at TIMESTAMP WITH TIME ZONE NOT NULL DEFAULT now() + INTERVAL '1 hour',
    ADD COLUMN sends INTEGER NOT NULL DEFAULT 0
        CONSTRAINT chk_command_queue_sends CHECK (sends >= 0),
    ADD COLUMN is_answered BOOLEAN NOT NULL DEFAULT false,
    ADD COLUMN skip_evidence BOOLEAN NOT NULL DEFAULT false,
    ADD COLUMN is_called_off BOOLEAN NOT NULL DEFAULT false
        CONSTRAINT chk_command_queue_is_called_off CHECK (NOT is_called_off OR lease_id IS NOT NULL),
    ADD COLUMN last_error TEXT;

UPDATE command_queue
SET expires_at = commands.expires_at,
    sends = CASE commands.status WHEN 'in_progress' THEN 1 ELSE 0 END
FROM commands
WHERE commands.command_id = command_queue.command_id;

COMMENT ON TABLE command_queue IS 'What is to be done at vehicles, in order: commands that have not ended, and probes into the end of some that have.';
COMMENT ON COLUMN command_queue.attempt IS 'How often it was tried in vain; the pause before the next try grows with it.';
COMMENT ON COLUMN command_queue.task IS 'command: send it; probe: it has ended and nobody knows how, look at the vehicle.';
COMMENT ON COLUMN command_queue.expires_at IS 'The moment after which nothing is sent any more.';
COMMENT ON COLUMN command_queue.sends IS 'How often it may have reached the vehicle; counted before it is sent.';
COMMENT ON COLUMN command_queue.is_answered IS 'The vehicle has answered in full, and only what is left of its faults is still to be read.';
COMMENT ON COLUMN command_queue.skip_evidence IS 'The faults need not be read before they are cleared.';
COMMENT ON COLUMN command_queue.is_called_off IS 'The command has ended; the vehicle is not free before the holder of the lease lets go, or the lease ends.';
COMMENT ON COLUMN command_queue.last_error IS 'Why the last try was in vain.';

-- What was never sent and must not be any more.
CREATE INDEX idx_command_queue_expires_at ON command_queue (expires_at) WHERE sends = 0;

-- Whoever writes that a vehicle is back wakes its queue: the pauses between tries are over. The minute
-- is for programs whose clocks are behind the database's.
CREATE FUNCTION wake_vehicle_queue() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE command_queue SET due_at = now() - INTERVAL '1 minute'
    WHERE vehicle_id = NEW.vehicle_id AND lease_id IS NULL AND due_at > now();
    PERFORM pg_notify('sovd_queue', 'work');
    RETURN NULL;
END
$$;
CREATE TRIGGER wake_vehicle_queue
    AFTER UPDATE OF connection_status ON vehicles FOR EACH ROW
    WHEN (NEW.connection_status = 'connected' AND OLD.connection_status <> 'connected')
    EXECUTE FUNCTION wake_vehicle_queue();
