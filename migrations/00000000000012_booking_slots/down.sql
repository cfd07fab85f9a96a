DROP INDEX idx_service_bookings_appointment_time;
DROP TABLE booking_anomalies;
DROP TABLE booking_slots;
DROP TYPE service_center_range;
