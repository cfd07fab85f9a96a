use sovd_devstack::{Stack, TestDatabase};
use sovd_storage::migrations::{self, Steps};

use crate::{
    fixture::migrated,
    system_catalog::{checks, columns, foreign_keys, indexes, lines, primary_keys, tables},
};

#[rustfmt::skip]
const COLUMNS: [&str; 47] = [
    "audit_logs.log_id uuid not null default gen_random_uuid()",
    "audit_logs.user_id uuid",
    "audit_logs.vehicle_id uuid",
    "audit_logs.command_id uuid",
    "audit_logs.action character varying(100) not null",
    "audit_logs.entity_type character varying(50) not null",
    "audit_logs.entity_id uuid",
    "audit_logs.details jsonb default '{}'::jsonb",
    "audit_logs.ip_address character varying(45)",
    "audit_logs.user_agent text",
    "audit_logs.timestamp timestamp with time zone not null default now()",
    "commands.command_id uuid not null default gen_random_uuid()",
    "commands.user_id uuid not null",
    "commands.vehicle_id uuid not null",
    "commands.command_name character varying(100) not null",
    "commands.command_params jsonb not null",
    "commands.status character varying(20) not null default 'pending'::character varying",
    "commands.error_message text",
    "commands.submitted_at timestamp with time zone not null default now()",
    "commands.completed_at timestamp with time zone",
    "responses.response_id uuid not null default gen_random_uuid()",
    "responses.command_id uuid not null",
    "responses.response_payload jsonb not null",
    "responses.sequence_number integer not null",
    "responses.is_final boolean not null default false",
    "responses.received_at timestamp with time zone not null default now()",
    "sessions.session_id uuid not null default gen_random_uuid()",
    "sessions.user_id uuid not null",
    "sessions.refresh_token character varying(500) not null",
    "sessions.expires_at timestamp with time zone not null",
    "sessions.created_at timestamp with time zone not null default now()",
    "users.user_id uuid not null default gen_random_uuid()",
    "users.username character varying(50) not null",
    "users.email character varying(255) not null",
    "users.password_hash character varying(255) not null",
    "users.role character varying(20) not null",
    "users.created_at timestamp with time zone not null default now()",
    "users.updated_at timestamp with time zone not null default now()",
    "vehicles.vehicle_id uuid not null default gen_random_uuid()",
    "vehicles.vin character varying(17) not null",
    "vehicles.make character varying(100) not null",
    "vehicles.model character varying(100) not null",
    "vehicles.year integer not null",
    "vehicles.connection_status character varying(20) not null",
    "vehicles.last_seen_at timestamp with time zone",
    "vehicles.metadata jsonb default '{}'::jsonb",
    "vehicles.created_at timestamp with time zone not null default now()",
];

const INDEXES: [&str; 21] = [
    "idx_audit_logs_action on audit_logs (action)",
    "idx_audit_logs_command_id on audit_logs (command_id)",
    "idx_audit_logs_timestamp on audit_logs (\"timestamp\")",
    "idx_audit_logs_user_id on audit_logs (user_id)",
    "idx_audit_logs_vehicle_id on audit_logs (vehicle_id)",
    "idx_commands_status on commands (status)",
    "idx_commands_submitted_at on commands (submitted_at)",
    "idx_commands_user_id on commands (user_id)",
    "idx_commands_vehicle_id on commands (vehicle_id)",
    "idx_commands_vehicle_id_status on commands (vehicle_id, status)",
    "idx_responses_command_id on responses (command_id)",
    "unique unq_responses_command_id_sequence_number on responses (command_id, sequence_number)",
    "idx_sessions_expires_at on sessions (expires_at)",
    "idx_sessions_user_id on sessions (user_id)",
    "unique unq_sessions_refresh_token on sessions (refresh_token)",
    "idx_users_role on users (role)",
    "unique unq_users_email on users (email)",
    "unique unq_users_username on users (username)",
    "idx_vehicles_connection_status on vehicles (connection_status)",
    "idx_vehicles_last_seen_at on vehicles (last_seen_at)",
    "unique unq_vehicles_vin on vehicles (vin)",
];

/// A database with the first migration: the published model of command execution.
async fn command_execution() -> TestDatabase {
    let stack = Stack::shared().unwrap();
    stack
        .test_database("command execution", async |url| {
            let applied = migrations::up(url).await?;
            let later = Steps::Count(applied.len() - 1);
            migrations::down(url, later).await.map(|_| ())
        })
        .await
        .unwrap()
}

#[tokio::test]
async fn command_execution_has_six_tables() {
    let database = command_execution().await;
    let client = database.client().await.unwrap();
    assert_eq!(
        tables(&client).await,
        [
            "audit_logs",
            "commands",
            "responses",
            "sessions",
            "users",
            "vehicles"
        ]
    );
}

#[tokio::test]
async fn command_execution_has_the_published_columns() {
    let database = command_execution().await;
    let client = database.client().await.unwrap();
    assert_eq!(columns(&client).await, COLUMNS);
}

#[tokio::test]
async fn command_execution_has_twenty_one_indexes() {
    let database = command_execution().await;
    let client = database.client().await.unwrap();
    assert_eq!(indexes(&client).await, INDEXES);
}

#[tokio::test]
async fn command_execution_has_uuids_as_primary_keys() {
    let database = command_execution().await;
    let client = database.client().await.unwrap();
    assert_eq!(
        primary_keys(&client).await,
        [
            "unique audit_logs_pkey on audit_logs (log_id)",
            "unique commands_pkey on commands (command_id)",
            "unique responses_pkey on responses (response_id)",
            "unique sessions_pkey on sessions (session_id)",
            "unique users_pkey on users (user_id)",
            "unique vehicles_pkey on vehicles (vehicle_id)",
        ]
    );
}

#[tokio::test]
async fn command_execution_cascades_deletions_and_keeps_audit_entries() {
    let database = command_execution().await;
    let client = database.client().await.unwrap();
    assert_eq!(
        foreign_keys(&client).await,
        [
            "audit_logs.command_id to commands.command_id, delete n",
            "audit_logs.user_id to users.user_id, delete n",
            "audit_logs.vehicle_id to vehicles.vehicle_id, delete n",
            "commands.user_id to users.user_id, delete c",
            "commands.vehicle_id to vehicles.vehicle_id, delete c",
            "responses.command_id to commands.command_id, delete c",
            "sessions.user_id to users.user_id, delete c",
        ]
    );
}

#[tokio::test]
async fn command_execution_names_its_checks() {
    let database = command_execution().await;
    let client = database.client().await.unwrap();
    assert_eq!(
        checks(&client).await,
        [
            "chk_commands_status on commands: pending, in_progress, completed, failed",
            "chk_users_role on users: engineer, admin",
            "chk_vehicles_connection_status on vehicles: connected, disconnected, error",
        ]
    );
}

#[tokio::test]
async fn every_table_has_a_comment() {
    let database = migrated().await;
    let client = database.client().await.unwrap();
    let silent = "SELECT relname::text FROM pg_class
                  WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p')
                    AND relname <> '__diesel_schema_migrations'
                    AND obj_description(oid, 'pg_class') IS NULL";
    assert_eq!(lines(&client, silent).await, [""; 0]);
}

#[tokio::test]
async fn no_enumeration_is_an_enum_type() {
    let database = migrated().await;
    let client = database.client().await.unwrap();
    let types = "SELECT typname::text FROM pg_type
                 WHERE typnamespace = 'public'::regnamespace AND typtype = 'e'";
    assert_eq!(lines(&client, types).await, [""; 0]);
}
