CREATE INDEX idx_vehicles_owner_id ON vehicles (owner_id);
CREATE INDEX idx_vehicles_connection_status ON vehicles (connection_status);
DROP INDEX idx_vehicles_year_vin;
DROP INDEX idx_vehicles_model_vin;
DROP INDEX idx_vehicles_make_vin;
DROP INDEX idx_vehicles_owner_id_vin;
DROP INDEX idx_vehicles_connection_status_vin;

CREATE INDEX idx_anomaly_events_vehicle_id_detected_at
    ON anomaly_events (vehicle_id, detected_at DESC);
DROP INDEX idx_anomaly_events_vehicle_id_detected_at_id;

CREATE INDEX idx_audit_logs_subject_command_id ON audit_logs (subject_command_id)
    WHERE command_id IS NULL AND subject_command_id IS NOT NULL;
CREATE INDEX idx_audit_logs_subject_vehicle_id ON audit_logs (subject_vehicle_id)
    WHERE vehicle_id IS NULL AND subject_vehicle_id IS NOT NULL;
CREATE INDEX idx_audit_logs_actor_id ON audit_logs (actor_id)
    WHERE user_id IS NULL AND actor_id IS NOT NULL;
CREATE INDEX idx_audit_logs_action ON audit_logs (action);
CREATE INDEX idx_audit_logs_command_id ON audit_logs (command_id);
CREATE INDEX idx_audit_logs_vehicle_id ON audit_logs (vehicle_id);
CREATE INDEX idx_audit_logs_user_id ON audit_logs (user_id);
DROP INDEX idx_audit_logs_subject_command_id_timestamp_log_id;
DROP INDEX idx_audit_logs_subject_vehicle_id_timestamp_log_id;
DROP INDEX idx_audit_logs_actor_id_timestamp_log_id;
DROP INDEX idx_audit_logs_entity_type_timestamp_log_id;
DROP INDEX idx_audit_logs_action_timestamp_log_id;
DROP INDEX idx_audit_logs_command_id_timestamp_log_id;
DROP INDEX idx_audit_logs_vehicle_id_timestamp_log_id;
DROP INDEX idx_audit_logs_user_id_timestamp_log_id;

CREATE INDEX idx_commands_status ON commands (status);
CREATE INDEX idx_commands_vehicle_id_status ON commands (vehicle_id, status);
CREATE INDEX idx_commands_user_id ON commands (user_id);
DROP INDEX idx_commands_command_name_submitted_at_command_id;
DROP INDEX idx_commands_status_submitted_at_command_id;
DROP INDEX idx_commands_vehicle_id_submitted_at_command_id;
DROP INDEX idx_commands_user_id_submitted_at_command_id;
