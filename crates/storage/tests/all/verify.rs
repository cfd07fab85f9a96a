use sovd_devstack::{Stack, TestDatabase};
use sovd_storage::{
    migrations, seeds,
    verify::{self, Difference, SchemaCheck},
};

use crate::{fixture::migrated, system_catalog};

async fn run(database: &TestDatabase) -> SchemaCheck {
    verify::run(database.url()).await.unwrap()
}

/// The differences of a seeded database after `sql`.
async fn found_after(sql: &str) -> Vec<Difference> {
    let database = migrated().await;
    seeds::insert(database.url()).await.unwrap();
    let client = database.client().await.unwrap();
    client.batch_execute(sql).await.unwrap();
    run(&database).await.differences
}

fn difference(kind: &str, name: &str, expected: Option<&str>, found: Option<&str>) -> Difference {
    Difference {
        kind: kind.to_owned(),
        name: name.to_owned(),
        expected: expected.map(str::to_owned),
        found: found.map(str::to_owned),
    }
}

#[tokio::test]
async fn a_migrated_database_has_no_differences() {
    let database = migrated().await;
    let check = run(&database).await;
    assert_eq!(check.differences, []);
    for count in &check.counts {
        assert_eq!(count.expected, count.found, "{count:?}");
    }
    let client = database.client().await.unwrap();
    let tables = check
        .counts
        .iter()
        .find(|count| count.kind == "table")
        .unwrap();
    // One more, in which diesel records the migrations.
    assert_eq!(
        tables.found,
        system_catalog::tables(&client).await.len() + 1
    );
    let kinds: Vec<&str> = check
        .counts
        .iter()
        .map(|count| count.kind.as_str())
        .collect();
    for kind in ["column", "constraint", "index", "trigger", "function"] {
        assert!(kinds.contains(&kind), "{kinds:?}");
    }
}

#[tokio::test]
async fn a_database_migrated_down_and_up_has_no_differences() {
    let database = migrated().await;
    migrations::down(database.url(), migrations::Steps::All)
        .await
        .unwrap();
    migrations::up(database.url()).await.unwrap();
    assert_eq!(run(&database).await.differences, []);
}

#[tokio::test]
async fn a_dropped_index_is_found() {
    assert_eq!(
        found_after("DROP INDEX idx_commands_status_submitted_at_command_id").await,
        [difference(
            "index",
            "idx_commands_status_submitted_at_command_id",
            Some(
                "CREATE INDEX idx_commands_status_submitted_at_command_id ON commands USING btree (status, submitted_at DESC, command_id DESC)"
            ),
            None
        )]
    );
}

#[tokio::test]
async fn an_index_on_other_columns_is_found() {
    let differences = found_after(
        "DROP INDEX idx_commands_status_submitted_at_command_id;
         CREATE INDEX idx_commands_status_submitted_at_command_id ON commands (status, user_id)",
    )
    .await;
    let [found] = &differences[..] else {
        panic!("{differences:?}")
    };
    assert_eq!(found.name, "idx_commands_status_submitted_at_command_id");
    assert_ne!(found.expected, found.found);
}

#[tokio::test]
async fn an_added_column_is_found() {
    assert_eq!(
        found_after("ALTER TABLE users ADD COLUMN nickname text DEFAULT 'x'").await,
        [difference(
            "column",
            "users.nickname",
            None,
            Some("text DEFAULT 'x'::text")
        )]
    );
}

#[tokio::test]
async fn a_changed_type_is_found() {
    assert_eq!(
        found_after("ALTER TABLE vehicles ALTER COLUMN year TYPE bigint").await,
        [difference(
            "column",
            "vehicles.year",
            Some("integer NOT NULL"),
            Some("bigint NOT NULL")
        )]
    );
}

#[tokio::test]
async fn a_changed_default_is_found() {
    let differences = found_after("ALTER TABLE commands ALTER COLUMN status DROP DEFAULT").await;
    let [found] = &differences[..] else {
        panic!("{differences:?}")
    };
    assert_eq!(found.name, "commands.status");
}

#[tokio::test]
async fn a_dropped_constraint_is_found() {
    let differences = found_after("ALTER TABLE users DROP CONSTRAINT chk_users_role").await;
    let [found] = &differences[..] else {
        panic!("{differences:?}")
    };
    assert_eq!(
        (&*found.kind, &*found.name),
        ("constraint", "users.chk_users_role")
    );
    assert!(
        found.expected.is_some() && found.found.is_none(),
        "{found:?}"
    );
}

#[tokio::test]
async fn a_dropped_trigger_is_found() {
    let differences = found_after("DROP TRIGGER resume_vehicle_queue ON vehicles").await;
    let [found] = &differences[..] else {
        panic!("{differences:?}")
    };
    assert_eq!(
        (&*found.kind, &*found.name),
        ("trigger", "vehicles.resume_vehicle_queue")
    );
    assert!(
        found.expected.is_some() && found.found.is_none(),
        "{found:?}"
    );
}

/// The definition of the trigger stays the same.
#[tokio::test]
async fn a_trigger_that_does_not_fire_is_found() {
    for (change, state) in [
        ("DISABLE TRIGGER guard_audit_update", " DISABLED"),
        (
            "ENABLE REPLICA TRIGGER guard_audit_update",
            " ENABLED REPLICA",
        ),
    ] {
        let differences = found_after(&format!("ALTER TABLE audit_logs {change}")).await;
        let [found] = &differences[..] else {
            panic!("{differences:?}")
        };
        assert_eq!(
            (&*found.kind, &*found.name),
            ("trigger", "audit_logs.guard_audit_update")
        );
        let expected = found.expected.as_ref().unwrap();
        assert_eq!(found.found, Some(format!("{expected}{state}")));
    }
}

#[tokio::test]
async fn a_foreign_key_that_is_not_enforced_is_found() {
    let differences = found_after("ALTER TABLE responses DISABLE TRIGGER ALL").await;
    assert!(!differences.is_empty());
    for found in differences {
        assert!(found.name.starts_with("responses."), "{found:?}");
        assert!(found.found.unwrap().ends_with(" DISABLED"));
    }
}

#[tokio::test]
async fn a_rule_is_found() {
    let rule = "CREATE RULE swallow AS ON INSERT TO audit_logs DO INSTEAD NOTHING";
    assert_eq!(
        found_after(rule).await,
        [difference(
            "rule",
            "audit_logs.swallow",
            None,
            Some("CREATE RULE swallow AS\n    ON INSERT TO audit_logs DO INSTEAD NOTHING;")
        )]
    );
}

#[tokio::test]
async fn row_level_security_is_found() {
    let hide = "ALTER TABLE audit_logs ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
                CREATE POLICY hide ON audit_logs FOR SELECT USING (action <> 'x')";
    let differences = found_after(hide).await;
    let [policy, table] = &differences[..] else {
        panic!("{differences:?}")
    };
    assert_eq!(
        (&*policy.kind, &*policy.name),
        ("policy", "audit_logs.hide")
    );
    let definition = policy.found.as_ref().unwrap();
    assert!(definition.contains("action"), "{definition}");
    let hidden = Some("ROW LEVEL SECURITY ENABLED, FORCED");
    let expected = difference("table", "audit_logs", Some(""), hidden);
    assert_eq!(*table, expected);
}

#[tokio::test]
async fn a_changed_function_is_found() {
    let differences = found_after(
        "CREATE OR REPLACE FUNCTION resume_vehicle_queue() RETURNS trigger LANGUAGE plpgsql
         AS 'BEGIN RETURN NULL; END'",
    )
    .await;
    let [found] = &differences[..] else {
        panic!("{differences:?}")
    };
    assert_eq!(
        (&*found.kind, &*found.name),
        ("function", "resume_vehicle_queue")
    );
    assert_ne!(found.expected, found.found);
}

#[tokio::test]
async fn a_changed_foreign_key_is_found() {
    let differences = found_after(
        "ALTER TABLE sessions DROP CONSTRAINT sessions_user_id_fkey;
         ALTER TABLE sessions ADD FOREIGN KEY (user_id) REFERENCES users (user_id)",
    )
    .await;
    assert_eq!(
        differences,
        [difference(
            "constraint",
            "sessions.sessions_user_id_fkey",
            Some("FOREIGN KEY (user_id) REFERENCES users(user_id) ON DELETE CASCADE"),
            Some("FOREIGN KEY (user_id) REFERENCES users(user_id)")
        )]
    );
}

#[tokio::test]
async fn an_extra_table_is_found() {
    assert_eq!(
        found_after("CREATE TABLE notes (note text)").await,
        [
            difference("column", "notes.note", None, Some("text")),
            difference("table", "notes", None, Some("")),
        ]
    );
}

#[tokio::test]
async fn a_missing_table_is_found() {
    for table in ["responses", "vehicles", "users"] {
        let differences = found_after(&format!("DROP TABLE {table} CASCADE")).await;
        assert!(
            differences.contains(&difference("table", table, Some(""), None)),
            "{table}: {differences:?}"
        );
        assert!(
            differences
                .iter()
                .all(|found| found.found.as_deref() != Some(""))
        );
    }
}

#[tokio::test]
async fn a_deleted_seed_is_found() {
    let differences = found_after("DELETE FROM users WHERE username = 'engineer'").await;
    let [found] = &differences[..] else {
        panic!("{differences:?}")
    };
    assert_eq!((&*found.kind, &*found.name), ("seeds in users", "users"));
    let differences = found_after("DELETE FROM vehicles").await;
    let found: Vec<(&str, Option<&str>)> = differences
        .iter()
        .map(|found| (&*found.kind, found.found.as_deref()))
        .collect();
    let gone = Some("0 rows");
    let expected = [
        ("seeds in vehicles", gone),
        ("seeds in anomaly_events", gone),
        ("seeds in diagnoses", gone),
        ("seeds in service_bookings", gone),
    ];
    assert_eq!(found, expected);
}

#[tokio::test]
async fn seeds_of_an_older_release_are_complete() {
    let database = migrated().await;
    let client = database.client().await.unwrap();
    let seeds = include_str!("../../seeds/command_execution.sql");
    client.batch_execute(seeds).await.unwrap();
    let check = run(&database).await;
    assert_eq!(check.differences, []);
    let counted: Vec<(&str, usize, usize)> = check
        .counts
        .iter()
        .filter(|count| count.kind.starts_with("seeds in "))
        .map(|count| (&*count.kind, count.expected, count.found))
        .collect();
    let expected = [("seeds in users", 2, 2), ("seeds in vehicles", 2, 2)];
    assert_eq!(counted, expected);

    client
        .batch_execute("DELETE FROM vehicles WHERE vin = 'TESTVIN0000000001'")
        .await
        .unwrap();
    let missing = difference(
        "seeds in vehicles",
        "vehicles",
        Some("2 rows"),
        Some("1 rows"),
    );
    assert_eq!(run(&database).await.differences, [missing]);
}

#[tokio::test]
async fn a_deleted_seed_of_either_file_is_found() {
    for vin in ["TESTVIN0000000002", "VIN123456789"] {
        let differences = found_after(&format!("DELETE FROM vehicles WHERE vin = '{vin}'")).await;
        let missing = difference(
            "seeds in vehicles",
            "vehicles",
            Some("3 rows"),
            Some("2 rows"),
        );
        assert!(differences.contains(&missing), "{vin}: {differences:?}");
    }
}

#[tokio::test]
async fn an_unmigrated_database_lacks_all_objects() {
    let database = Stack::shared().unwrap().empty_database().await.unwrap();
    let check = run(&database).await;
    assert!(check.counts.iter().all(|count| count.found == 0));
    assert!(!check.differences.is_empty());
}

#[tokio::test]
async fn a_comparison_leaves_nothing_behind() {
    let database = migrated().await;
    let client = database.client().await.unwrap();
    let before = system_catalog::all(&client).await;
    let sql = "SELECT nspname::text FROM pg_namespace
               WHERE nspname NOT LIKE 'pg\\_%' AND nspname <> 'information_schema'";
    tokio::join!(run(&database), run(&database));
    assert_eq!(system_catalog::lines(&client, sql).await, ["public"]);
    assert_eq!(system_catalog::all(&client).await, before);
    assert_eq!(run(&database).await.differences, []);
}
