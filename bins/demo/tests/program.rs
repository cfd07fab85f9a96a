//! The demo from its command line.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::process::Command;

use sovd_devstack::Stack;

fn demo(database_url: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sovd-demo"));
    command
        .arg("--once")
        .env("DATABASE_URL", database_url)
        .env("REDIS_URL", Stack::shared().unwrap().redis_url())
        .env("SOVD__SERVER__PORT", "0");
    command
}

#[tokio::test]
async fn runs_the_scenario_and_records_it() {
    let database = Stack::shared().unwrap().empty_database().await.unwrap();
    let output = demo(database.url()).output().unwrap();
    let stdout = String::from_utf8_lossy(&output.stdout);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{stdout}{stderr}");
    for part in [
        "TESTVIN0000000001",
        "\"status\":\"in_progress\"",
        "P0420",
        "\"status\":\"completed\"",
        "catalytic converter",
    ] {
        assert!(stdout.contains(part), "{part} is missing: {stdout}");
    }

    let client = database.client().await.unwrap();
    let commands = client
        .query("SELECT status FROM commands", &[])
        .await
        .unwrap();
    assert_eq!(commands.len(), 1);
    assert_eq!(commands[0].get::<_, String>(0), "completed");
    let responses = client
        .query(
            "SELECT sequence_number, is_final FROM responses ORDER BY 1",
            &[],
        )
        .await
        .unwrap();
    let last = responses.last().unwrap();
    assert_eq!(
        last.get::<_, i32>(0),
        i32::try_from(responses.len()).unwrap()
    );
    assert!(last.get::<_, bool>(1));
    let entries = client
        .query("SELECT action FROM audit_logs ORDER BY timestamp", &[])
        .await
        .unwrap();
    let actions: Vec<String> = entries.iter().map(|row| row.get(0)).collect();
    assert_eq!(
        actions,
        [
            "auth.login",
            "command.submit",
            "command.complete",
            "anomaly.detect",
            "anomaly.detect",
            "anomaly.detect"
        ]
    );
}

#[tokio::test]
async fn fails_if_a_step_fails() {
    let database = Stack::shared().unwrap().empty_database().await.unwrap();
    let output = demo(database.url())
        .env("SOVD__CONNECTOR__MOCK__FAILURE", "rejected")
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("did not complete"));
}
