CREATE TABLE anomaly_episodes (
    anomaly_event_id UUID PRIMARY KEY REFERENCES anomaly_events (id) ON DELETE CASCADE,
    vehicle_id UUID NOT NULL REFERENCES vehicles (vehicle_id) ON DELETE CASCADE,
    rule_name TEXT,
    component_name TEXT,
    dtc_code TEXT,
    command_id UUID REFERENCES commands (command_id) ON DELETE SET NULL,
    response_id UUID REFERENCES responses (response_id) ON DELETE SET NULL,
    outcome VARCHAR(20)
        CONSTRAINT chk_anomaly_episodes_outcome
        CHECK (outcome IN ('confirmed', 'no_fault_found', 'other')),
    closed_at TIMESTAMP WITH TIME ZONE,
    CONSTRAINT chk_anomaly_episodes_closed_at CHECK ((outcome IS NULL) = (closed_at IS NULL))
);
COMMENT ON TABLE anomaly_episodes IS 'Where an anomaly came from, and how it ended: from its detection until a workshop has looked.';
COMMENT ON COLUMN anomaly_episodes.rule_name IS 'The rule that found it; null when somebody reported it.';
COMMENT ON COLUMN anomaly_episodes.component_name IS 'The part of the vehicle that the rule, or whoever reported it, suspects; null when nobody said.';
COMMENT ON COLUMN anomaly_episodes.dtc_code IS 'The trouble code that the rule matched (SAE J2012).';
COMMENT ON COLUMN anomaly_episodes.command_id IS 'The command whose answer had the code; null when it is deleted.';
COMMENT ON COLUMN anomaly_episodes.response_id IS 'The part of the answer that had the code.';
COMMENT ON COLUMN anomaly_episodes.outcome IS 'What the workshop found; null while nobody has looked.';

-- A code makes one anomaly of a vehicle until a workshop has looked, however often it is read.
CREATE UNIQUE INDEX unq_anomaly_episodes_vehicle_id_dtc_code
    ON anomaly_episodes (vehicle_id, dtc_code) WHERE closed_at IS NULL;
-- The episodes of a vehicle, when the vehicle is deleted.
CREATE INDEX idx_anomaly_episodes_vehicle_id ON anomaly_episodes (vehicle_id);
-- The anomalies that a command found, also when the command is deleted.
CREATE INDEX idx_anomaly_episodes_command_id ON anomaly_episodes (command_id);
-- The episodes that a response belongs to, when the response is deleted.
CREATE INDEX idx_anomaly_episodes_response_id ON anomaly_episodes (response_id);
-- How often each rule was right.
CREATE INDEX idx_anomaly_episodes_rule_name_outcome ON anomaly_episodes (rule_name, outcome);

-- The newest anomalies of the fleet.
CREATE INDEX idx_anomaly_events_detected_at ON anomaly_events (detected_at DESC, id DESC);
-- The newest anomalies of one severity.
CREATE INDEX idx_anomaly_events_severity_detected_at
    ON anomaly_events (severity, detected_at DESC, id DESC);
-- The newest anomalies of one kind; also that there are none.
CREATE INDEX idx_anomaly_events_anomaly_type_detected_at
    ON anomaly_events (anomaly_type, detected_at DESC, id DESC);

CREATE TABLE unread_answers (
    command_id UUID PRIMARY KEY REFERENCES commands (command_id) ON DELETE CASCADE,
    first_number INTEGER NOT NULL,
    due_at TIMESTAMP WITH TIME ZONE NOT NULL,
    attempts INTEGER NOT NULL DEFAULT 0
);
COMMENT ON TABLE unread_answers IS 'Complete answers with trouble codes in which nobody has looked for anomalies yet.';
COMMENT ON COLUMN unread_answers.first_number IS 'Where the answer begins; what is before came from tries that broke off.';
COMMENT ON COLUMN unread_answers.due_at IS 'When to look; later again after a look that failed.';
COMMENT ON COLUMN unread_answers.attempts IS 'How many looks have failed.';

-- The answer to look at next.
CREATE INDEX idx_unread_answers_due_at ON unread_answers (due_at, command_id);
