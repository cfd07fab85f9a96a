//! The database tool as its user meets it: words, exit codes, and what is in the database after.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::process::{Command, Output};

use sovd_devstack::{Stack, TestDatabase};

struct Tool {
    database: TestDatabase,
}

struct Said {
    code: Option<i32>,
    out: String,
    err: String,
}

impl Tool {
    async fn on_empty_database() -> Self {
        let database = Stack::shared().unwrap().empty_database().await.unwrap();
        Self { database }
    }

    fn run(&self, arguments: &[&str]) -> Said {
        said(
            command(self.database.url())
                .args(arguments)
                .output()
                .unwrap(),
        )
    }

    #[track_caller]
    fn succeeds(&self, arguments: &[&str]) -> String {
        let said = self.run(arguments);
        assert_eq!(said.code, Some(0), "{}{}", said.out, said.err);
        said.out
    }

    #[track_caller]
    fn fails(&self, arguments: &[&str]) -> String {
        let said = self.run(arguments);
        assert_eq!(said.code, Some(1), "{}{}", said.out, said.err);
        said.out + &said.err
    }
}

fn command(database_url: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_migrate"));
    command.env_clear().env("DATABASE_URL", database_url);
    command
}

fn said(output: Output) -> Said {
    Said {
        code: output.status.code(),
        out: String::from_utf8(output.stdout).unwrap(),
        err: String::from_utf8(output.stderr).unwrap(),
    }
}

#[tokio::test]
async fn up_and_down_say_what_they_did_and_may_be_repeated() {
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
        .batch_execute("DROP INDEX idx_commands_status")
        .await
        .unwrap();
    let told = tool.fails(&["verify"]);
    assert!(told.contains("index idx_commands_status differs"), "{told}");
    assert!(told.contains("1 difference"), "{told}");
}

#[tokio::test]
async fn seeds_may_be_sown_twice_but_not_in_production() {
    let tool = Tool::on_empty_database().await;
    tool.succeeds(&["up"]);
    let in_production = |arguments: &[&str]| {
        let mut command = command(tool.database.url());
        said(
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
fn a_database_that_is_away_is_named_without_its_password() {
    let away = "postgres://sovd:hunter2@127.0.0.1:1/sovd";
    let said = said(command(away).args(["--wait", "0", "up"]).output().unwrap());
    assert_eq!(said.code, Some(1));
    assert!(
        said.err.contains("did not answer within 0 s"),
        "{}",
        said.err
    );
    assert!(said.err.contains("127.0.0.1:1"), "{}", said.err);
    assert!(!(said.out + &said.err).contains("hunter2"));
}

#[test]
fn without_a_database_it_says_which_variable_to_set() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_migrate"));
    let said = said(command.env_clear().args(["up"]).output().unwrap());
    assert_eq!(said.code, Some(1));
    assert!(said.err.contains("DATABASE_URL"), "{}", said.err);
}

#[tokio::test]
async fn it_needs_no_key_of_the_tokens() {
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
        let said = said(output);
        assert_eq!(said.code, Some(0), "{}{}", said.out, said.err);
    }
}
