-- Each index begins with the column of a filter and continues in the order of the list, so that a page is
-- read from one range of the index, also when it continues after a row. It replaces the index on the column
-- alone, which an older program can do without: the planner uses whichever exists.

-- The commands of one user, newest first; also those of a user who is deleted.
CREATE INDEX idx_commands_user_id_submitted_at_command_id
    ON commands (user_id, submitted_at DESC, command_id DESC);
DROP INDEX idx_commands_user_id;
-- The commands of one vehicle, newest first; also those of a vehicle that is deleted. Those that have not
-- ended are in command_queue, so the status is not part of the index.
CREATE INDEX idx_commands_vehicle_id_submitted_at_command_id
    ON commands (vehicle_id, submitted_at DESC, command_id DESC);
DROP INDEX idx_commands_vehicle_id_status;
-- The commands in one state, newest first.
CREATE INDEX idx_commands_status_submitted_at_command_id
    ON commands (status, submitted_at DESC, command_id DESC);
DROP INDEX idx_commands_status;
-- The commands with one name, newest first; also that there are none.
CREATE INDEX idx_commands_command_name_submitted_at_command_id
    ON commands (command_name, submitted_at DESC, command_id DESC);

-- The actions of one user, newest first; also of a user who is deleted.
CREATE INDEX idx_audit_logs_user_id_timestamp_log_id
    ON audit_logs (user_id, timestamp DESC, log_id DESC);
DROP INDEX idx_audit_logs_user_id;
-- The actions on one vehicle, newest first; also on a vehicle that is deleted.
CREATE INDEX idx_audit_logs_vehicle_id_timestamp_log_id
    ON audit_logs (vehicle_id, timestamp DESC, log_id DESC);
DROP INDEX idx_audit_logs_vehicle_id;
-- The actions on one command, newest first; also on a command that is deleted.
CREATE INDEX idx_audit_logs_command_id_timestamp_log_id
    ON audit_logs (command_id, timestamp DESC, log_id DESC);
DROP INDEX idx_audit_logs_command_id;
-- One kind of action, newest first.
CREATE INDEX idx_audit_logs_action_timestamp_log_id
    ON audit_logs (action, timestamp DESC, log_id DESC);
DROP INDEX idx_audit_logs_action;
-- The actions on one kind of object, newest first.
CREATE INDEX idx_audit_logs_entity_type_timestamp_log_id
    ON audit_logs (entity_type, timestamp DESC, log_id DESC);
-- The actions of a deleted user, newest first. Entries of other users are in the index on user_id, so a new
-- entry adds nothing to this index or the next two.
CREATE INDEX idx_audit_logs_actor_id_timestamp_log_id
    ON audit_logs (actor_id, timestamp DESC, log_id DESC)
    WHERE user_id IS NULL AND actor_id IS NOT NULL;
DROP INDEX idx_audit_logs_actor_id;
-- The actions on a deleted vehicle, newest first.
CREATE INDEX idx_audit_logs_subject_vehicle_id_timestamp_log_id
    ON audit_logs (subject_vehicle_id, timestamp DESC, log_id DESC)
    WHERE vehicle_id IS NULL AND subject_vehicle_id IS NOT NULL;
DROP INDEX idx_audit_logs_subject_vehicle_id;
-- The actions on a deleted command, newest first.
CREATE INDEX idx_audit_logs_subject_command_id_timestamp_log_id
    ON audit_logs (subject_command_id, timestamp DESC, log_id DESC)
    WHERE command_id IS NULL AND subject_command_id IS NOT NULL;
DROP INDEX idx_audit_logs_subject_command_id;

-- The anomalies of one vehicle, newest first, also among anomalies with the same time.
CREATE INDEX idx_anomaly_events_vehicle_id_detected_at_id
    ON anomaly_events (vehicle_id, detected_at DESC, id DESC);
DROP INDEX idx_anomaly_events_vehicle_id_detected_at;

-- The vehicles with one connection status, by VIN.
CREATE INDEX idx_vehicles_connection_status_vin ON vehicles (connection_status, vin);
DROP INDEX idx_vehicles_connection_status;
-- The vehicles of one customer, by VIN; also those of a customer who is deleted.
CREATE INDEX idx_vehicles_owner_id_vin ON vehicles (owner_id, vin);
DROP INDEX idx_vehicles_owner_id;
-- The vehicles of one make, by VIN.
CREATE INDEX idx_vehicles_make_vin ON vehicles (make, vin);
-- The vehicles of one model, by VIN.
CREATE INDEX idx_vehicles_model_vin ON vehicles (model, vin);
-- The vehicles of one model year, by VIN.
CREATE INDEX idx_vehicles_year_vin ON vehicles (year, vin);
