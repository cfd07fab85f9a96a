//! The tables, for the query builder of diesel.

diesel::table! {
    users (user_id) {
        user_id -> Uuid,
        username -> Varchar,
        email -> Varchar,
        password_hash -> Varchar,
        role -> Varchar,
        created_at -> Timestamptz,
        updated_at -> Timestamptz,
        is_active -> Bool,
    }
}

diesel::table! {
    vehicles (vehicle_id) {
        vehicle_id -> Uuid,
        vin -> Varchar,
        make -> Varchar,
        model -> Varchar,
        year -> Int4,
        connection_status -> Varchar,
        last_seen_at -> Nullable<Timestamptz>,
        metadata -> Nullable<Jsonb>,
        created_at -> Timestamptz,
        owner_id -> Nullable<Uuid>,
        vehicle_type -> Nullable<Varchar>,
    }
}

diesel::table! {
    commands (command_id) {
        command_id -> Uuid,
        user_id -> Uuid,
        vehicle_id -> Uuid,
        command_name -> Varchar,
        command_params -> Jsonb,
        status -> Varchar,
        error_message -> Nullable<Text>,
        submitted_at -> Timestamptz,
        completed_at -> Nullable<Timestamptz>,
        failure_kind -> Nullable<Varchar>,
        started_at -> Nullable<Timestamptz>,
        expires_at -> Timestamptz,
        finding -> Nullable<Varchar>,
    }
}

diesel::table! {
    responses (response_id) {
        response_id -> Uuid,
        command_id -> Uuid,
        response_payload -> Jsonb,
        sequence_number -> Int4,
        is_final -> Bool,
        received_at -> Timestamptz,
    }
}

diesel::table! {
    sessions (session_id) {
        session_id -> Uuid,
        user_id -> Uuid,
        refresh_token -> Varchar,
        expires_at -> Timestamptz,
        created_at -> Timestamptz,
        ends_at -> Timestamptz,
        last_used_at -> Timestamptz,
        ip_address -> Nullable<Varchar>,
        user_agent -> Nullable<Text>,
    }
}

diesel::table! {
    spent_refresh_tokens (token_hash) {
        token_hash -> Varchar,
        session_id -> Uuid,
        spent_at -> Timestamptz,
        successor_salt -> Bytea,
        ip_address -> Nullable<Varchar>,
        user_agent -> Nullable<Text>,
    }
}

diesel::table! {
    audit_logs (log_id) {
        log_id -> Uuid,
        user_id -> Nullable<Uuid>,
        vehicle_id -> Nullable<Uuid>,
        command_id -> Nullable<Uuid>,
        action -> Varchar,
        entity_type -> Varchar,
        entity_id -> Nullable<Uuid>,
        details -> Nullable<Jsonb>,
        ip_address -> Nullable<Varchar>,
        user_agent -> Nullable<Text>,
        timestamp -> Timestamptz,
        result -> Varchar,
        request_id -> Nullable<Varchar>,
        actor_id -> Nullable<Uuid>,
        subject_vehicle_id -> Nullable<Uuid>,
        subject_command_id -> Nullable<Uuid>,
        position -> Nullable<Int8>,
        hash -> Nullable<Bytea>,
    }
}

diesel::table! {
    audit_chain_head (is_only) {
        is_only -> Bool,
        position -> Int8,
        hash -> Bytea,
    }
}

diesel::table! {
    audit_prunings (position) {
        position -> Int8,
        hash -> Bytea,
        pruned_at -> Timestamptz,
    }
}

diesel::table! {
    command_queue (command_id) {
        command_id -> Uuid,
        vehicle_id -> Uuid,
        position -> Int8,
        due_at -> Timestamptz,
        lease_id -> Nullable<Uuid>,
        lease_expires_at -> Nullable<Timestamptz>,
        attempt -> Int4,
        task -> Varchar,
        expires_at -> Timestamptz,
        send_count -> Int4,
        is_answered -> Bool,
        skip_evidence -> Bool,
        is_cancelled -> Bool,
        last_error -> Nullable<Text>,
        user_id -> Nullable<Uuid>,
    }
}

diesel::table! {
    queue_heads (vehicle_id) {
        vehicle_id -> Uuid,
        command_id -> Uuid,
        position -> Int8,
        ready_at -> Timestamptz,
        is_sent -> Bool,
        is_reachable -> Bool,
    }
}

diesel::table! {
    idempotency_keys (user_id, key) {
        user_id -> Uuid,
        key -> Varchar,
        fingerprint -> Bytea,
        command_id -> Uuid,
        created_at -> Timestamptz,
    }
}

diesel::table! {
    service_accounts (user_id) {
        user_id -> Uuid,
        key_hash -> Varchar,
        permissions -> Array<Text>,
        vehicle_ids -> Nullable<Array<Uuid>>,
        created_by -> Nullable<Uuid>,
        expires_at -> Timestamptz,
        last_used_at -> Nullable<Timestamptz>,
        last_used_from -> Nullable<Varchar>,
        revoked_at -> Nullable<Timestamptz>,
    }
}

diesel::table! {
    anomaly_events (id) {
        id -> Uuid,
        vehicle_id -> Uuid,
        detected_at -> Timestamptz,
        anomaly_type -> Text,
        severity -> Varchar,
        sensor_snapshot -> Nullable<Jsonb>,
        rul_prediction -> Nullable<Double>,
    }
}

diesel::table! {
    anomaly_episodes (anomaly_event_id) {
        anomaly_event_id -> Uuid,
        vehicle_id -> Uuid,
        rule_name -> Nullable<Text>,
        component_name -> Nullable<Text>,
        dtc_code -> Nullable<Text>,
        command_id -> Nullable<Uuid>,
        response_id -> Nullable<Uuid>,
        outcome -> Nullable<Varchar>,
        closed_at -> Nullable<Timestamptz>,
    }
}

diesel::table! {
    detection_jobs (command_id) {
        command_id -> Uuid,
        first_sequence_number -> Int4,
        due_at -> Timestamptz,
        attempts -> Int4,
    }
}

diesel::table! {
    diagnoses (id) {
        id -> Uuid,
        anomaly_event_id -> Uuid,
        diagnosis_text -> Text,
        confidence_score -> Double,
        created_at -> Timestamptz,
    }
}

diesel::table! {
    service_bookings (id) {
        id -> Uuid,
        vehicle_id -> Uuid,
        service_center_id -> Nullable<Text>,
        appointment_time -> Timestamptz,
        status -> Varchar,
        customer_notes -> Nullable<Text>,
        created_at -> Timestamptz,
    }
}

diesel::table! {
    booking_slots (booking_id) {
        booking_id -> Uuid,
        service_center_id -> Text,
        during -> Tstzrange,
    }
}

diesel::table! {
    booking_anomalies (booking_id) {
        booking_id -> Uuid,
        anomaly_event_id -> Uuid,
        outcome -> Nullable<Varchar>,
    }
}

diesel::table! {
    manufacturing_insights (id) {
        id -> Uuid,
        component_name -> Text,
        failure_pattern -> Text,
        affected_batch -> Nullable<Text>,
        recommendation -> Nullable<Text>,
        confidence_score -> Nullable<Double>,
        created_at -> Timestamptz,
    }
}

diesel::table! {
    ueba_logs (id) {
        id -> Uuid,
        agent_name -> Text,
        action_type -> Text,
        source_node -> Nullable<Text>,
        target_node -> Nullable<Text>,
        status -> Varchar,
        timestamp -> Timestamptz,
    }
}

diesel::table! {
    agent_suspensions (suspension_id) {
        suspension_id -> Uuid,
        agent_name -> Text,
        action_type -> Text,
        blocked_attempts -> Int8,
        suspended_at -> Timestamptz,
        lifted_at -> Nullable<Timestamptz>,
        lifted_by -> Nullable<Uuid>,
    }
}

diesel::table! {
    blocked_attempts (attempt_id) {
        attempt_id -> Uuid,
        agent_name -> Text,
        action_type -> Text,
        blocked_at -> Timestamptz,
    }
}

diesel::joinable!(sessions -> users (user_id));
diesel::joinable!(command_queue -> commands (command_id));
diesel::joinable!(queue_heads -> vehicles (vehicle_id));
diesel::joinable!(service_accounts -> users (user_id));
diesel::joinable!(booking_anomalies -> service_bookings (booking_id));
diesel::joinable!(detection_jobs -> commands (command_id));
diesel::joinable!(spent_refresh_tokens -> sessions (session_id));
diesel::joinable!(anomaly_episodes -> anomaly_events (anomaly_event_id));
diesel::allow_tables_to_appear_in_same_query!(sessions, users);
diesel::allow_tables_to_appear_in_same_query!(service_accounts, users);
diesel::allow_tables_to_appear_in_same_query!(sessions, spent_refresh_tokens);
diesel::allow_tables_to_appear_in_same_query!(commands, responses);
diesel::allow_tables_to_appear_in_same_query!(command_queue, commands);
diesel::allow_tables_to_appear_in_same_query!(anomaly_events, anomaly_episodes, vehicles);
diesel::allow_tables_to_appear_in_same_query!(service_bookings, booking_anomalies, vehicles);
diesel::allow_tables_to_appear_in_same_query!(command_queue, vehicles);
diesel::allow_tables_to_appear_in_same_query!(queue_heads, vehicles);
diesel::allow_tables_to_appear_in_same_query!(commands, vehicles);
diesel::allow_tables_to_appear_in_same_query!(commands, detection_jobs);
