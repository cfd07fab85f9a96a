-- GiST knows ranges of anything, and no plain texts without an extension.
CREATE TYPE service_center_range AS RANGE (subtype = text, collation = "C");

CREATE TABLE booking_slots (
    booking_id UUID PRIMARY KEY REFERENCES service_bookings (id) ON DELETE CASCADE,
    service_center_id TEXT NOT NULL,
    during TSTZRANGE NOT NULL,
    -- One workshop takes one vehicle at a time; it also serves to find the slots of a workshop.
    CONSTRAINT exc_booking_slots_service_center_id_during EXCLUDE USING gist (
        service_center_range(service_center_id, service_center_id, '[]') WITH =,
        during WITH &&
    )
);
COMMENT ON TABLE booking_slots IS 'The time that a booking takes of its workshop, while it is neither completed nor cancelled.';
COMMENT ON COLUMN booking_slots.during IS 'From the appointment on, as long as a slot was when it was booked.';

CREATE TABLE booking_anomalies (
    booking_id UUID PRIMARY KEY REFERENCES service_bookings (id) ON DELETE CASCADE,
    anomaly_event_id UUID NOT NULL REFERENCES anomaly_events (id) ON DELETE CASCADE,
    outcome VARCHAR(20)
        CONSTRAINT chk_booking_anomalies_outcome
        CHECK (outcome IN ('confirmed', 'no_fault_found', 'other'))
);
COMMENT ON TABLE booking_anomalies IS 'The anomaly that a booking is about.';
COMMENT ON COLUMN booking_anomalies.outcome IS 'What the workshop found; null until the booking is completed.';

-- The bookings about one anomaly.
CREATE INDEX idx_booking_anomalies_anomaly_event_id ON booking_anomalies (anomaly_event_id);

-- The bookings in every state, by appointment.
CREATE INDEX idx_service_bookings_appointment_time ON service_bookings (appointment_time, id);
