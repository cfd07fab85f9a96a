DROP INDEX idx_manufacturing_insights_component_name;
DROP INDEX idx_manufacturing_insights_created_at;
-- Without insight_failures the same failures would be derived into further insights after the next up.
DELETE FROM manufacturing_insights WHERE id IN (SELECT insight_id FROM insight_failures);
DROP TABLE insight_failures;

DROP INDEX idx_service_bookings_appointment_time;
DROP TABLE booking_anomalies;
DROP TABLE booking_slots;
DROP TYPE service_center_range;

DROP TABLE detection_jobs;
DROP INDEX idx_anomaly_events_anomaly_type_detected_at;
DROP INDEX idx_anomaly_events_severity_detected_at;
DROP INDEX idx_anomaly_events_detected_at;
DROP TABLE anomaly_episodes;
