DROP TABLE booking_anomalies;
DROP TABLE booking_slots;
DROP TYPE service_center_range;
