ALTER TABLE commands
    ADD COLUMN failure_kind VARCHAR(20)
        CONSTRAINT chk_commands_failure_kind
        CHECK (failure_kind IN ('rejected', 'unreachable', 'timeout', 'expired', 'cancelled',
                                'outcome_unknown', 'internal')),
    ADD COLUMN started_at TIMESTAMP WITH TIME ZONE,
    ADD COLUMN expires_at TIMESTAMP WITH TIME ZONE NOT NULL DEFAULT now() + INTERVAL '1 hour';

UPDATE commands SET failure_kind = 'internal' WHERE status = 'failed';

ALTER TABLE commands
    ADD CONSTRAINT chk_commands_failure_kind_when_failed
        CHECK ((status = 'failed') = (failure_kind IS NOT NULL));

COMMENT ON COLUMN commands.failure_kind IS 'What the failure says about the vehicle; set exactly when failed.';
COMMENT ON COLUMN commands.started_at IS 'When the command was first handed to a connector.';
COMMENT ON COLUMN commands.expires_at IS 'The moment after which the command is not sent any more.';

CREATE TABLE command_queue (
    command_id UUID PRIMARY KEY REFERENCES commands (command_id) ON DELETE CASCADE,
    vehicle_id UUID NOT NULL REFERENCES vehicles (vehicle_id) ON DELETE CASCADE,
    position BIGINT NOT NULL GENERATED ALWAYS AS IDENTITY,
    due_at TIMESTAMP WITH TIME ZONE NOT NULL,
    lease_id UUID,
    lease_until TIMESTAMP WITH TIME ZONE,
    attempt INTEGER NOT NULL DEFAULT 0,
    CONSTRAINT chk_command_queue_lease CHECK ((lease_id IS NULL) = (lease_until IS NULL))
);
COMMENT ON TABLE command_queue IS 'Commands that have not ended, in the order in which they are sent.';
COMMENT ON COLUMN command_queue.position IS 'Order of submission; a vehicle is served its lowest position only.';
COMMENT ON COLUMN command_queue.due_at IS 'Not to be sent before this moment.';
COMMENT ON COLUMN command_queue.lease_id IS 'Made anew with every claim: proves that the holder still holds it.';
COMMENT ON COLUMN command_queue.lease_until IS 'The moment after which another process may claim the command.';
COMMENT ON COLUMN command_queue.attempt IS 'How often the command was claimed.';

INSERT INTO command_queue (command_id, vehicle_id, due_at)
    SELECT command_id, vehicle_id, submitted_at FROM commands
    WHERE status IN ('pending', 'in_progress') ORDER BY submitted_at;

-- The next command of one vehicle.
CREATE UNIQUE INDEX unq_command_queue_vehicle_id_position ON command_queue (vehicle_id, position);
-- What is due, oldest first.
CREATE INDEX idx_command_queue_position ON command_queue (position);
