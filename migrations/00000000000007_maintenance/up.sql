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
COMMENT ON TABLE anomaly_episodes IS 'The source and the outcome of each anomaly: the period from its detection until a workshop closes it.';
COMMENT ON COLUMN anomaly_episodes.rule_name IS 'The detection rule; null for a reported anomaly.';
COMMENT ON COLUMN anomaly_episodes.component_name IS 'The suspected component; null if none was named.';
COMMENT ON COLUMN anomaly_episodes.dtc_code IS 'The diagnostic trouble code that the rule matched (SAE J2012).';
COMMENT ON COLUMN anomaly_episodes.command_id IS 'The command whose response contained the code; null after its deletion.';
COMMENT ON COLUMN anomaly_episodes.response_id IS 'The chunk of the response that contained the code.';
COMMENT ON COLUMN anomaly_episodes.outcome IS 'The result of the workshop; null while the episode is open.';

-- A trouble code opens one episode per vehicle at a time, however often it is read.
CREATE UNIQUE INDEX unq_anomaly_episodes_vehicle_id_dtc_code
    ON anomaly_episodes (vehicle_id, dtc_code) WHERE closed_at IS NULL;
-- The episodes of a vehicle that is deleted.
CREATE INDEX idx_anomaly_episodes_vehicle_id ON anomaly_episodes (vehicle_id);
-- The anomalies detected in the response to a command, also when the command is deleted.
CREATE INDEX idx_anomaly_episodes_command_id ON anomaly_episodes (command_id);
-- The episodes of a response that is deleted.
CREATE INDEX idx_anomaly_episodes_response_id ON anomaly_episodes (response_id);
-- The number of outcomes of each kind per rule.
CREATE INDEX idx_anomaly_episodes_rule_name_outcome ON anomaly_episodes (rule_name, outcome);
-- The number of confirmed failures of each component.
CREATE INDEX idx_anomaly_episodes_component_name
    ON anomaly_episodes (component_name) WHERE outcome = 'confirmed';

-- The list of anomalies, newest first.
CREATE INDEX idx_anomaly_events_detected_at ON anomaly_events (detected_at DESC, id DESC);
-- The list of anomalies of one severity, newest first.
CREATE INDEX idx_anomaly_events_severity_detected_at
    ON anomaly_events (severity, detected_at DESC, id DESC);
-- The list of anomalies of one type, newest first; also that there are none.
CREATE INDEX idx_anomaly_events_anomaly_type_detected_at
    ON anomaly_events (anomaly_type, detected_at DESC, id DESC);

CREATE TABLE detection_jobs (
    command_id UUID PRIMARY KEY REFERENCES commands (command_id) ON DELETE CASCADE,
    first_sequence_number INTEGER NOT NULL,
    due_at TIMESTAMP WITH TIME ZONE NOT NULL,
    attempts INTEGER NOT NULL DEFAULT 0
);
COMMENT ON TABLE detection_jobs IS 'Complete responses with trouble codes in which anomalies still have to be detected.';
COMMENT ON COLUMN detection_jobs.first_sequence_number IS 'Where the complete response begins; earlier chunks are of attempts that broke off.';
COMMENT ON COLUMN detection_jobs.due_at IS 'When the next detection run is due; postponed after a run that failed.';
COMMENT ON COLUMN detection_jobs.attempts IS 'Number of detection runs that failed.';

-- The next job.
CREATE INDEX idx_detection_jobs_due_at ON detection_jobs (due_at, command_id);

-- GiST supports ranges of any type, but plain text only with the extension btree_gist.
CREATE TYPE service_center_range AS RANGE (subtype = text, collation = "C");

CREATE TABLE booking_slots (
    booking_id UUID PRIMARY KEY REFERENCES service_bookings (id) ON DELETE CASCADE,
    service_center_id TEXT NOT NULL,
    during TSTZRANGE NOT NULL,
    -- A workshop takes one vehicle at a time. The index also finds the slots of a workshop.
    CONSTRAINT exc_booking_slots_service_center_id_during EXCLUDE USING gist (
        service_center_range(service_center_id, service_center_id, '[]') WITH =,
        during WITH &&
    )
);
COMMENT ON TABLE booking_slots IS 'The time that a booking occupies in its workshop until it is completed or cancelled.';
COMMENT ON COLUMN booking_slots.during IS 'From the appointment, for the slot length that was configured when it was booked.';

CREATE TABLE booking_anomalies (
    booking_id UUID PRIMARY KEY REFERENCES service_bookings (id) ON DELETE CASCADE,
    anomaly_event_id UUID NOT NULL REFERENCES anomaly_events (id) ON DELETE CASCADE,
    outcome VARCHAR(20)
        CONSTRAINT chk_booking_anomalies_outcome
        CHECK (outcome IN ('confirmed', 'no_fault_found', 'other'))
);
COMMENT ON TABLE booking_anomalies IS 'The anomaly that a booking is about.';
COMMENT ON COLUMN booking_anomalies.outcome IS 'The result of the workshop; null until the booking is completed.';

-- The bookings about one anomaly.
CREATE INDEX idx_booking_anomalies_anomaly_event_id ON booking_anomalies (anomaly_event_id);

-- The list of bookings, by appointment.
CREATE INDEX idx_service_bookings_appointment_time ON service_bookings (appointment_time, id);

CREATE TABLE insight_failures (
    anomaly_event_id UUID PRIMARY KEY
        REFERENCES anomaly_episodes (anomaly_event_id) ON DELETE CASCADE,
    insight_id UUID NOT NULL REFERENCES manufacturing_insights (id) ON DELETE CASCADE
);
COMMENT ON TABLE insight_failures IS 'The confirmed failures from which insights were derived. Each counts as new once.';
COMMENT ON COLUMN insight_failures.insight_id IS 'The insight for which the failure counted as new.';

-- The failures of an insight that is deleted.
CREATE INDEX idx_insight_failures_insight_id ON insight_failures (insight_id);
-- The list of insights, newest first.
CREATE INDEX idx_manufacturing_insights_created_at
    ON manufacturing_insights (created_at DESC, id DESC);
-- The insights about one component, and their number per component.
CREATE INDEX idx_manufacturing_insights_component_name ON manufacturing_insights (component_name);
