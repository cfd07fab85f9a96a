//! The command line of `migrate`: output, exit codes, and the resulting database.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::process::{Command, Output};

use sovd_devstack::{Stack, TestDatabase};

struct Tool {
    database: TestDatabase,
}

struct Outcome {
    code: Option<i32>,
    out: String,
    err: String,
}

impl Tool {
    async fn on_empty_database() -> Self {
        let database = Stack::shared().unwrap().empty_database().await.unwrap();
        Self { database }
    }

    fn run(&self, arguments: &[&str]) -> Outcome {
        outcome(
            command(self.database.url())
                .args(arguments)
                .output()
                .unwrap(),
        )
    }

    #[track_caller]
    fn succeeds(&self, arguments: &[&str]) -> String {
        let outcome = self.run(arguments);
        assert_eq!(outcome.code, Some(0), "{}{}", outcome.out, outcome.err);
        outcome.out
    }

    #[track_caller]
    fn fails(&self, arguments: &[&str]) -> String {
        let outcome = self.run(arguments);
        assert_eq!(outcome.code, Some(1), "{}{}", outcome.out, outcome.err);
        outcome.out + &outcome.err
    }
}

fn command(database_url: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_migrate"));
    command.env_clear().env("DATABASE_URL", database_url);
    command
}

fn outcome(output: Output) -> Outcome {
    Outcome {
        code: output.status.code(),
        out: String::from_utf8(output.stdout).unwrap(),
        err: String::from_utf8(output.stderr).unwrap(),
    }
}

#[tokio::test]
async fn up_and_down_print_the_migrations_and_can_be_repeated() {
    let tool = Tool::on_empty_database().await;
    assert!(
        tool.succeeds(&["status"])
            .contains("pending  00000000000001_command_execution")
    );
    let applied = tool.succeeds(&["up"]);
    assert!(
        applied.contains("applied 00000000000001_command_execution"),
        "{applied}"
    );
    let migrations = applied.lines().count();
    let latest = applied
        .lines()
        .last()
        .unwrap()
        .replace("applied", "reverted");
    assert_eq!(tool.succeeds(&["up"]), "nothing to do\n");
    assert!(!tool.succeeds(&["status"]).contains("pending"));
    assert!(tool.succeeds(&["redo"]).starts_with("redone "));
    assert_eq!(tool.succeeds(&["down"]).trim_end(), latest);
    let reverted = tool.succeeds(&["down", "--all"]);
    assert_eq!(reverted.lines().count(), migrations - 1);
    assert_eq!(tool.succeeds(&["down", "--all"]), "nothing to do\n");
    assert_eq!(tool.succeeds(&["up"]).lines().count(), migrations);
    assert_eq!(tool.succeeds(&["down", "--steps", "2"]).lines().count(), 2);
}

#[tokio::test]
async fn verify_prints_a_table_and_fails_on_a_difference() {
    let tool = Tool::on_empty_database().await;
    assert!(tool.fails(&["verify"]).contains("table users differs"));
    tool.succeeds(&["up"]);
    let table = tool.succeeds(&["verify"]);
    assert!(
        table.contains("index") && table.contains("as the migrations define it"),
        "{table}"
    );
    assert!(!table.contains("seeds"), "{table}");
    tool.succeeds(&["seed"]);
    assert!(tool.succeeds(&["verify"]).contains("seeds in users"));

    let client = tool.database.client().await.unwrap();
    client
        .batch_execute("DROP INDEX idx_commands_status_submitted_at_command_id")
        .await
        .unwrap();
    let output = tool.fails(&["verify"]);
    assert!(
        output.contains("index idx_commands_status_submitted_at_command_id differs"),
        "{output}"
    );
    assert!(output.contains("1 difference"), "{output}");
}

#[tokio::test]
async fn seed_can_be_repeated_and_is_refused_in_production() {
    let tool = Tool::on_empty_database().await;
    tool.succeeds(&["up"]);
    let in_production = |arguments: &[&str]| {
        let mut command = command(tool.database.url());
        outcome(
            command
                .env("SOVD_ENVIRONMENT", "production")
                .args(arguments)
                .output()
                .unwrap(),
        )
    };
    let refused = in_production(&["seed"]);
    assert_eq!(refused.code, Some(1));
    assert!(refused.err.contains("--force"), "{}", refused.err);
    let client = tool.database.client().await.unwrap();
    let count = async || {
        let row = client
            .query_one("SELECT count(*) FROM users", &[])
            .await
            .unwrap();
        row.get::<_, i64>(0)
    };
    assert_eq!(count().await, 0);
    tool.succeeds(&["seed"]);
    tool.succeeds(&["seed"]);
    assert_eq!(in_production(&["seed", "--force"]).code, Some(0));
    assert_eq!(count().await, 5);
}

#[test]
fn an_unavailable_database_is_reported_without_its_password() {
    let url = "postgres://sovd:hunter2@127.0.0.1:1/sovd";
    let outcome = outcome(command(url).args(["--wait", "0", "up"]).output().unwrap());
    assert_eq!(outcome.code, Some(1));
    assert!(
        outcome.err.contains("did not answer within 0 s"),
        "{}",
        outcome.err
    );
    assert!(outcome.err.contains("127.0.0.1:1"), "{}", outcome.err);
    assert!(!(outcome.out + &outcome.err).contains("hunter2"));
}

#[test]
fn a_missing_database_url_is_reported_with_its_variable() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_migrate"));
    let outcome = outcome(command.env_clear().args(["up"]).output().unwrap());
    assert_eq!(outcome.code, Some(1));
    assert!(outcome.err.contains("DATABASE_URL"), "{}", outcome.err);
}

#[tokio::test]
async fn needs_no_token_signing_key() {
    let tool = Tool::on_empty_database().await;
    for (algorithm, environment) in [
        ("RS256", "production"),
        ("HS256", "production"),
        ("EdDSA", "test"),
    ] {
        let output = command(tool.database.url())
            .env("SOVD_ENVIRONMENT", environment)
            .env("JWT_ALGORITHM", algorithm)
            .arg("status")
            .output()
            .unwrap();
        let outcome = outcome(output);
        assert_eq!(outcome.code, Some(0), "{}{}", outcome.out, outcome.err);
    }
}
