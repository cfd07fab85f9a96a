//! Every filter of a long list, and the scope of every caller, reads a bounded number of rows in list order.

use std::{fmt::Display, ops::DerefMut, time::Duration};

use chrono::{DateTime, Utc};
use sovd_domain::{
    CommandId, CommandScope, CommandStatus, ConnectionStatus, Page, UserId, VehicleId,
    VehicleScope,
    paging::{AuditKey, CommandKey, ResponseKey, VehicleKey},
};
use sovd_storage::{
    Connection, Database, PoolSettings,
    audit::{self, AuditFilter},
    commands::{self, CommandFilter, responses},
    fleet::vehicles::{self, VehicleFilter},
};
use uuid::Uuid;

use crate::{
    fixture::{Fleet, at},
    plans::{Cost, last_prepared},
};

/// 20,000 vehicles in random order, of which few have the last value of each column.
const VEHICLES: &str = "
    INSERT INTO users (user_id, username, email, password_hash, role)
    SELECT lpad(to_hex(n), 32, '0')::uuid, 'user' || n, 'user' || n || '@example.com', '', 'customer'
    FROM generate_series(1, 50) n;
    INSERT INTO vehicles (vehicle_id, vin, make, model, year, connection_status, owner_id)
    SELECT lpad(to_hex(n), 32, '0')::uuid, 'VIN' || lpad((n * 7919 % 20011)::text, 5, '0'),
           CASE WHEN n % 2000 = 0 THEN 'Rare' ELSE 'BMW' END,
           CASE WHEN n % 2000 = 1 THEN 'Rare' ELSE 'X5' END,
           CASE WHEN n % 2000 = 2 THEN 1999 ELSE 2022 END,
           CASE WHEN n % 2000 = 3 THEN 'error' ELSE 'connected' END,
           CASE WHEN n % 2000 = 4 THEN uuid '00000000-0000-0000-0000-000000000001' END
    FROM generate_series(1, 20000) n;
    VACUUM ANALYZE vehicles;";

/// 50,000 commands of 50 users to 200 vehicles, of which few have failed or clear. Disables the foreign key
/// triggers.
const COMMANDS: &str = "
    SET session_replication_role = replica;
    INSERT INTO commands (command_id, user_id, vehicle_id, command_name, command_params, status,
                          failure_kind, submitted_at)
    SELECT lpad(to_hex(n), 32, '0')::uuid, lpad(to_hex(1 + n % 50), 32, '0')::uuid,
           lpad(to_hex(1 + n * 7 % 200), 32, '0')::uuid,
           CASE WHEN n % 500 = 0 THEN 'ClearDTC' ELSE 'ReadDTC' END, '{}',
           CASE WHEN n % 500 = 1 THEN 'failed' ELSE 'completed' END,
           CASE WHEN n % 500 = 1 THEN 'timeout' END,
           timestamptz '2026-01-01' + interval '1 min' * (n::bigint * 7919 % 50021)
    FROM generate_series(1, 50000) n;
    RESET session_replication_role;
    VACUUM ANALYZE commands;";

/// 50,000 entries of 50 users about 200 vehicles and 100 commands. User 50, vehicle 200 and half of the commands
/// are deleted. Disables the triggers.
const ENTRIES: &str = "
    SET session_replication_role = replica;
    INSERT INTO audit_logs (log_id, user_id, actor_id, vehicle_id, subject_vehicle_id, command_id,
                            subject_command_id, action, entity_type, details, timestamp)
    SELECT lpad(to_hex(n), 32, '0')::uuid,
           nullif(lpad(to_hex(1 + n % 50), 32, '0')::uuid, lpad('32', 32, '0')::uuid),
           lpad(to_hex(1 + n % 50), 32, '0')::uuid,
           nullif(lpad(to_hex(1 + n * 7 % 200), 32, '0')::uuid, lpad('c8', 32, '0')::uuid),
           lpad(to_hex(1 + n * 7 % 200), 32, '0')::uuid,
           CASE WHEN n < 25000 THEN lpad(to_hex(n / 500), 32, '0')::uuid END,
           lpad(to_hex(n / 500), 32, '0')::uuid,
           CASE WHEN n % 500 = 0 THEN 'test.rare' ELSE 'test.often' END,
           CASE WHEN n % 500 = 1 THEN 'rare' ELSE 'often' END, '{}',
           timestamptz '2026-01-01' + interval '1 min' * (n::bigint * 7919 % 50021)
    FROM generate_series(1, 50000) n;
    RESET session_replication_role;
    VACUUM ANALYZE audit_logs;";

const CHUNKS: &str = "
    INSERT INTO responses (command_id, response_payload, sequence_number)
    SELECT $1, '{}', n FROM generate_series(1, 20000) n";

async fn fleet(rows: &[&str]) -> Fleet {
    let fleet = Fleet::new().await;
    // Commits synchronously, because `VACUUM` marks no page as visible whose commit is not flushed.
    for sql in ["SET synchronous_commit = on"].iter().chain(rows) {
        for statement in sql.split_inclusive(';') {
            fleet.client.batch_execute(statement).await.unwrap();
        }
    }
    fleet
}

/// Returns a connection without prepared statements, so that [`last_prepared`] finds those of one list.
async fn connection(fleet: &Fleet) -> impl DerefMut<Target = Connection> + use<> {
    let settings = PoolSettings {
        size: 1,
        overflow: 0,
        checkout_timeout: Duration::from_secs(10),
        statement_timeout: Duration::from_secs(30),
    };
    let pool = Database::new(fleet.url(), settings);
    pool.connection().await.unwrap()
}

fn id(number: u128) -> Uuid {
    Uuid::from_u128(number)
}

fn quoted(value: impl Display) -> String {
    format!("'{value}'")
}

/// A moment after about half of the rows.
fn middle() -> DateTime<Utc> {
    "2026-01-18T00:00:00Z".parse().unwrap()
}

/// Returns the cost of the page and of the count that were executed last. `filter` are the parameters of both,
/// and `after` those of the key of the page.
async fn costs(
    connection: &mut Connection,
    table: &str,
    filter: &[String],
    after: &[String],
) -> [Cost; 2] {
    let [paging, counting] = last_prepared(connection, table).await;
    assert!(
        counting.statement.contains("count(*)"),
        "{}",
        counting.statement
    );
    let mut values = [filter, after].concat();
    // The interval that is added to the time, if any.
    if paging.statement.contains(" + ") {
        values.push("'0'".to_owned());
    }
    values.extend(["51", "0"].map(str::to_owned));
    let page = Cost::of(connection, &paging, &values).await;
    let count = Cost::of(connection, &counting, filter).await;
    [page, count]
}

/// Lists the first page and one from the middle of the list; returns the costs of both.
async fn list_commands(
    fleet: &Fleet,
    filter: &CommandFilter,
    scope: &CommandScope,
    values: &[String],
) -> [Cost; 2] {
    let costs_of = async |page, after: &[String]| {
        let mut connection = connection(fleet).await;
        let listed = commands::list(&mut connection, filter, scope, page).await;
        assert!(
            listed
                .unwrap()
                .items
                .is_sorted_by(|a, b| a.submitted_at > b.submitted_at)
        );
        let [page, count] = costs(&mut connection, "commands", values, after).await;
        assert!(count.most_rows() <= 10_001.0, "{filter:?} {count:?}");
        page
    };
    let first = costs_of(Page::new(None, None).unwrap(), &[]).await;
    let key = CommandKey {
        time: middle(),
        id: id(7),
    };
    let after = [quoted(key.time.to_rfc3339()), quoted(key.id)];
    let later = costs_of(Page::after(None, key).unwrap(), &after).await;
    [first, later]
}

#[tokio::test]
async fn every_filter_of_commands_is_a_window_on_an_index() {
    let fleet = fleet(&[VEHICLES, COMMANDS]).await;
    let any = CommandFilter::default;
    let user = UserId(id(7));
    let vehicle = VehicleId(id(8));
    let own = CommandScope {
        user_id: Some(user),
        ..CommandScope::ALL
    };
    let by_user = "idx_commands_user_id_submitted_at_command_id";
    let by_vehicle = "idx_commands_vehicle_id_submitted_at_command_id";
    let by_status = "idx_commands_status_submitted_at_command_id";
    let by_name = "idx_commands_command_name_submitted_at_command_id";
    let all = CommandScope::ALL;
    let of_user = CommandFilter {
        user_id: Some(user),
        ..any()
    };
    let of_vehicle = CommandFilter {
        vehicle_id: Some(vehicle),
        ..any()
    };
    let in_state = |status| CommandFilter {
        status: Some(status),
        ..any()
    };
    let named = |name: &str| CommandFilter {
        command_name: Some(name.to_owned()),
        ..any()
    };
    let values = |value: String| vec![value];
    for (filter, scope, values, index) in [
        (any(), &all, vec![], "idx_commands_submitted_at_command_id"),
        (any(), &own, values(quoted(user)), by_user),
        (of_user, &all, values(quoted(user)), by_user),
        (of_vehicle, &all, values(quoted(vehicle)), by_vehicle),
        (
            in_state(CommandStatus::Failed),
            &all,
            values(quoted("failed")),
            by_status,
        ),
        (
            in_state(CommandStatus::Pending),
            &all,
            values(quoted("pending")),
            by_status,
        ),
        (named("ClearDTC"), &all, values(quoted("ClearDTC")), by_name),
        (named("Nothing"), &all, values(quoted("Nothing")), by_name),
    ] {
        for page in list_commands(&fleet, &filter, scope, &values).await {
            page.assert_is_a_window_on(index);
        }
    }
}

#[tokio::test]
async fn a_scope_of_several_vehicles_reads_their_commands_only() {
    let fleet = fleet(&[VEHICLES, COMMANDS]).await;
    // The last vehicle has no commands.
    for vehicles in [vec![7, 8], vec![20_000]] {
        let ids: Vec<String> = vehicles.iter().map(|&n| id(n).to_string()).collect();
        let scope = CommandScope {
            vehicles: VehicleScope::Among(vehicles.into_iter().map(id).map(VehicleId).collect()),
            ..CommandScope::ALL
        };
        let values = [format!("'{{{}}}'", ids.join(","))];
        for page in list_commands(&fleet, &CommandFilter::default(), &scope, &values).await {
            assert!(page.most_rows() <= 500.0, "{page:?}");
        }
    }
}

#[tokio::test]
async fn every_filter_of_vehicles_is_a_window_on_an_index() {
    let fleet = fleet(&[VEHICLES]).await;
    let any = VehicleFilter::default;
    let owner = UserId(id(1));
    let filters = [
        (any(), None, "unq_vehicles_vin"),
        (
            VehicleFilter {
                status: Some(ConnectionStatus::Error),
                ..any()
            },
            Some(quoted("error")),
            "idx_vehicles_connection_status_vin",
        ),
        (
            VehicleFilter {
                make: Some("Rare".to_owned()),
                ..any()
            },
            Some(quoted("Rare")),
            "idx_vehicles_make_vin",
        ),
        (
            VehicleFilter {
                model: Some("Rare".to_owned()),
                ..any()
            },
            Some(quoted("Rare")),
            "idx_vehicles_model_vin",
        ),
        (
            VehicleFilter {
                year: Some(1999),
                ..any()
            },
            Some("1999".to_owned()),
            "idx_vehicles_year_vin",
        ),
        (
            VehicleFilter {
                owner_id: Some(owner),
                ..any()
            },
            Some(quoted(owner)),
            "idx_vehicles_owner_id_vin",
        ),
    ];
    let scoped = [(
        any(),
        VehicleScope::OwnedBy(owner),
        Some(quoted(owner)),
        "idx_vehicles_owner_id_vin",
    )];
    let lists = filters
        .into_iter()
        .map(|(filter, value, index)| (filter, VehicleScope::All, value, index));
    for (filter, scope, value, index) in lists.chain(scoped) {
        let values: Vec<String> = value.into_iter().collect();
        let later = VehicleKey("VIN10000".parse().unwrap());
        let after = [quoted(&later.0)];
        for (page, after) in [
            (Page::new(None, None).unwrap(), &[][..]),
            (Page::after(None, later).unwrap(), &after),
        ] {
            let mut connection = connection(&fleet).await;
            vehicles::list(&mut connection, &filter, &scope, page)
                .await
                .unwrap();
            let [page, count] = costs(&mut connection, "vehicles", &values, after).await;
            page.assert_is_a_window_on(index);
            assert!(count.most_rows() <= 10_001.0, "{filter:?} {count:?}");
        }
    }
}

#[tokio::test]
async fn every_filter_of_the_audit_trail_is_a_window_on_an_index() {
    let fleet = fleet(&[ENTRIES]).await;
    let any = AuditFilter::default;
    let of_user = |number| AuditFilter {
        user_id: Some(UserId(id(number))),
        ..any()
    };
    let about_vehicle = |number| AuditFilter {
        vehicle_id: Some(VehicleId(id(number))),
        ..any()
    };
    let about_command = |number| AuditFilter {
        command_id: Some(CommandId(id(number))),
        ..any()
    };
    let action = AuditFilter {
        action: Some("test.rare".to_owned()),
        ..any()
    };
    let entity_type = AuditFilter {
        entity_type: Some("rare".to_owned()),
        ..any()
    };
    for (filter, value, index) in [
        (any(), None, "idx_audit_logs_timestamp_desc_log_id_desc"),
        (
            of_user(7),
            Some(quoted(id(7))),
            "idx_audit_logs_user_id_timestamp_log_id",
        ),
        (
            of_user(50),
            Some(quoted(id(50))),
            "idx_audit_logs_actor_id_timestamp_log_id",
        ),
        (
            about_vehicle(8),
            Some(quoted(id(8))),
            "idx_audit_logs_vehicle_id_timestamp_log_id",
        ),
        (
            about_vehicle(200),
            Some(quoted(id(200))),
            "idx_audit_logs_subject_vehicle_id_timestamp_log_id",
        ),
        (
            about_command(9),
            Some(quoted(id(9))),
            "idx_audit_logs_command_id_timestamp_log_id",
        ),
        (
            about_command(70),
            Some(quoted(id(70))),
            "idx_audit_logs_subject_command_id_timestamp_log_id",
        ),
        (
            action,
            Some(quoted("test.rare")),
            "idx_audit_logs_action_timestamp_log_id",
        ),
        (
            entity_type,
            Some(quoted("rare")),
            "idx_audit_logs_entity_type_timestamp_log_id",
        ),
    ] {
        let values: Vec<String> = value.into_iter().collect();
        let key = AuditKey {
            time: middle(),
            id: id(7),
        };
        let after = [quoted(key.time.to_rfc3339()), quoted(key.id)];
        for (page, after) in [
            (Page::new(None, None).unwrap(), &[][..]),
            (Page::after(None, key).unwrap(), &after),
        ] {
            let mut connection = connection(&fleet).await;
            let listing = audit::list(&mut connection, &filter, page).await.unwrap();
            assert!(listing.total > 0, "{filter:?}");
            let [page, count] = costs(&mut connection, "audit_logs", &values, after).await;
            if index.contains("actor") || index.contains("subject") {
                // PostgreSQL underestimates the number of entries of a deleted object, because it does not
                // know that its reference is NULL in all of them, and may sort them.
                assert!(page.nodes.iter().any(|node| node.1 == index), "{page:?}");
                assert!(page.most_rows() <= 1000.0, "{page:?}");
            } else {
                page.assert_is_a_window_on(index);
            }
            assert!(count.most_rows() <= 10_001.0, "{filter:?} {count:?}");
        }
    }
}

#[tokio::test]
async fn a_page_of_a_long_response_is_a_window_on_an_index() {
    let fleet = Fleet::new().await;
    let vehicle = fleet.vehicle("VIN1").await;
    let command = crate::fixture::command(1, fleet.engineer, vehicle, at(0));
    fleet.store(&command).await;
    fleet
        .client
        .execute(CHUNKS, &[&command.command_id.0])
        .await
        .unwrap();
    fleet
        .client
        .batch_execute("VACUUM ANALYZE responses")
        .await
        .unwrap();
    let mut connection = fleet.connection().await;
    let page = Page::after(None, ResponseKey(10_000)).unwrap();
    let listing = responses::page(&mut connection, command.command_id, page)
        .await
        .unwrap();
    assert_eq!(listing.items[0].sequence_number, 10_001);
    assert!(listing.has_more && listing.total_is_capped);
    let filter = [quoted(command.command_id)];
    let after = ["10000".to_owned()];
    let [page, count] = costs(&mut connection, "responses", &filter, &after).await;
    page.assert_is_a_window_on("unq_responses_command_id_sequence_number");
    assert!(count.most_rows() <= 10_001.0, "{count:?}");
}
