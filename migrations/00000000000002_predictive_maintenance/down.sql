-- Fails while a user has one of the roles that this migration adds, rather than deleting or changing users.
ALTER TABLE users DROP CONSTRAINT chk_users_role;
ALTER TABLE users ADD CONSTRAINT chk_users_role CHECK (role IN ('engineer', 'admin'));

DROP TABLE ueba_logs;
DROP TABLE manufacturing_insights;
DROP TABLE service_bookings;
DROP TABLE diagnoses;
DROP TABLE anomaly_events;
ALTER TABLE vehicles DROP COLUMN vehicle_type, DROP COLUMN owner_id;
