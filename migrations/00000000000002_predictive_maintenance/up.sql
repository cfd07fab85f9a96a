ALTER TABLE users DROP CONSTRAINT chk_users_role;
ALTER TABLE users ADD CONSTRAINT chk_users_role
    CHECK (role IN ('engineer', 'admin', 'customer', 'service', 'manufacturer'));

ALTER TABLE vehicles
    ADD COLUMN owner_id UUID REFERENCES users (user_id) ON DELETE CASCADE,
    ADD COLUMN vehicle_type VARCHAR(20)
        CONSTRAINT chk_vehicles_vehicle_type CHECK (vehicle_type IN ('EV', 'ICE'));
COMMENT ON COLUMN vehicles.owner_id IS 'The customer who owns the vehicle; null if unknown.';
COMMENT ON COLUMN vehicles.vehicle_type IS 'Electric (EV) or with a combustion engine (ICE); null while it is not known.';

-- The vehicles of one customer.
CREATE INDEX idx_vehicles_owner_id ON vehicles (owner_id);

CREATE TABLE anomaly_events (
    id UUID PRIMARY KEY DEFAULT gen_random_uuid(),
    vehicle_id UUID NOT NULL REFERENCES vehicles (vehicle_id) ON DELETE CASCADE,
    detected_at TIMESTAMP WITH TIME ZONE NOT NULL DEFAULT now(),
    anomaly_type TEXT NOT NULL,
    severity VARCHAR(20) NOT NULL
        CONSTRAINT chk_anomaly_events_severity
        CHECK (severity IN ('Low', 'Medium', 'High', 'Critical')),
    sensor_snapshot JSONB,
    rul_prediction DOUBLE PRECISION
);
COMMENT ON TABLE anomaly_events IS 'What is not as it should be with a vehicle.';
COMMENT ON COLUMN anomaly_events.sensor_snapshot IS 'What was measured or read when it was found.';
COMMENT ON COLUMN anomaly_events.rul_prediction IS 'Remaining useful life, in the unit of the predictor.';

-- The newest anomalies of one vehicle.
CREATE INDEX idx_anomaly_events_vehicle_id_detected_at
    ON anomaly_events (vehicle_id, detected_at DESC);

CREATE TABLE diagnoses (
    id UUID PRIMARY KEY DEFAULT gen_random_uuid(),
    anomaly_event_id UUID NOT NULL REFERENCES anomaly_events (id) ON DELETE CASCADE,
    diagnosis_text TEXT NOT NULL,
    confidence_score DOUBLE PRECISION NOT NULL
        CONSTRAINT chk_diagnoses_confidence_score CHECK (confidence_score BETWEEN 0 AND 1),
    created_at TIMESTAMP WITH TIME ZONE NOT NULL DEFAULT now()
);
COMMENT ON TABLE diagnoses IS 'Suspected causes of anomalies.';
COMMENT ON COLUMN diagnoses.confidence_score IS 'How sure they are, from 0 to 1.';

-- The diagnoses of one anomaly.
CREATE INDEX idx_diagnoses_anomaly_event_id ON diagnoses (anomaly_event_id);

CREATE TABLE service_bookings (
    id UUID PRIMARY KEY DEFAULT gen_random_uuid(),
    vehicle_id UUID NOT NULL REFERENCES vehicles (vehicle_id) ON DELETE CASCADE,
    service_center_id TEXT,
    appointment_time TIMESTAMP WITH TIME ZONE NOT NULL,
    status VARCHAR(20) NOT NULL DEFAULT 'PENDING'
        CONSTRAINT chk_service_bookings_status
        CHECK (status IN ('PENDING', 'CONFIRMED', 'COMPLETED', 'CANCELLED')),
    customer_notes TEXT,
    created_at TIMESTAMP WITH TIME ZONE NOT NULL DEFAULT now()
);
COMMENT ON TABLE service_bookings IS 'Appointments of vehicles in workshops.';
COMMENT ON COLUMN service_bookings.service_center_id IS 'The workshop, by the name it is known by elsewhere; null while none is chosen.';

-- The bookings in one state, by appointment.
CREATE INDEX idx_service_bookings_status_appointment_time
    ON service_bookings (status, appointment_time);
-- The bookings of one vehicle.
CREATE INDEX idx_service_bookings_vehicle_id ON service_bookings (vehicle_id);

CREATE TABLE manufacturing_insights (
    id UUID PRIMARY KEY DEFAULT gen_random_uuid(),
    component_name TEXT NOT NULL,
    failure_pattern TEXT NOT NULL,
    affected_batch TEXT,
    recommendation TEXT,
    confidence_score DOUBLE PRECISION
        CONSTRAINT chk_manufacturing_insights_confidence_score
        CHECK (confidence_score BETWEEN 0 AND 1),
    created_at TIMESTAMP WITH TIME ZONE NOT NULL DEFAULT now()
);
COMMENT ON TABLE manufacturing_insights IS 'What failures over the fleet tell those who make the vehicles.';
COMMENT ON COLUMN manufacturing_insights.confidence_score IS 'How sure it is, from 0 to 1.';

CREATE TABLE ueba_logs (
    id UUID PRIMARY KEY DEFAULT gen_random_uuid(),
    agent_name TEXT NOT NULL,
    action_type TEXT NOT NULL,
    source_node TEXT,
    target_node TEXT,
    status VARCHAR(20) NOT NULL
        CONSTRAINT chk_ueba_logs_status CHECK (status IN ('ALLOWED', 'BLOCKED')),
    timestamp TIMESTAMP WITH TIME ZONE NOT NULL DEFAULT now()
);
COMMENT ON TABLE ueba_logs IS 'What automated agents did or tried (user and entity behaviour analytics).';
COMMENT ON COLUMN ueba_logs.agent_name IS 'The agent, by the name of its service account.';
COMMENT ON COLUMN ueba_logs.source_node IS 'Where the call came from.';
COMMENT ON COLUMN ueba_logs.target_node IS 'What it was about.';

-- The newest of what agents did.
CREATE INDEX idx_ueba_logs_timestamp ON ueba_logs (timestamp DESC);
