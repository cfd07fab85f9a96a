//! Checking the audit trail, as an administrator meets it.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    fs,
    process::{Command, Output},
};

use sovd_devstack::{Stack, TestDatabase};
use tempfile::TempDir;

// From `openssl genpkey -algorithm ed25519`; they sign nothing but these tests.
const PRIVATE: &str = "-----BEGIN PRIVATE KEY-----
MC4CAQAwBQYDK2VwBCIEICj1npHVeu3SUboLcBvrMDzf/i3GX9+gcQM7D/9Tb4Ti
-----END PRIVATE KEY-----";
const PUBLIC: &str = "-----BEGIN PUBLIC KEY-----
MCowBQYDK2VwAyEAGytcBcsxK1w3RR2hjGnHg5cq8BzThnicwXgoG7HwtRc=
-----END PUBLIC KEY-----";
const ANOTHER: &str = "-----BEGIN PRIVATE KEY-----
MC4CAQAwBQYDK2VwBCIEIE7zkFFe1kXuzeumsD92oQr4/fMdOQgEyvOW0JvYYZGG
-----END PRIVATE KEY-----";

/// Three lines, sealed by hand: a program that seals is tested elsewhere.
const TRAIL: &str = "
    INSERT INTO audit_logs (action, entity_type, timestamp)
    SELECT 'test', 'test', to_timestamp(n) FROM generate_series(1, 3) n;
    DO $$
    DECLARE
        line RECORD;
        head RECORD;
    BEGIN
        FOR line IN SELECT * FROM audit_logs WHERE position IS NULL ORDER BY timestamp LOOP
            SELECT * INTO head FROM audit_chain_head;
            UPDATE audit_chain_head SET position = head.position + 1, hash = sha256(head.hash || convert_to(
                jsonb_build_array(
                    'sovd-audit-1', line.log_id, line.actor_id, line.subject_vehicle_id,
                    line.subject_command_id, line.action, line.entity_type, line.entity_id,
                    line.details::text, line.ip_address, line.user_agent,
                    (extract(epoch FROM line.timestamp) * 1000000)::bigint, line.result,
                    line.request_id)::text,
                'UTF8'));
            UPDATE audit_logs SET position = audit_chain_head.position, hash = audit_chain_head.hash
            FROM audit_chain_head WHERE log_id = line.log_id;
        END LOOP;
    END
    $$";

/// What somebody with all rights says first to do what the database lets nobody do.
const BY_FORCE: &str = "SET session_replication_role = replica; ";

struct Tool {
    database: TestDatabase,
    directory: TempDir,
}

struct Said {
    code: Option<i32>,
    text: String,
}

impl Tool {
    /// On a database whose audit trail has three sealed lines.
    async fn new() -> Self {
        let database = Stack::shared().unwrap().empty_database().await.unwrap();
        let directory = tempfile::tempdir().unwrap();
        let tool = Self {
            database,
            directory,
        };
        assert_eq!(tool.run(&["up"]).code, Some(0));
        tool.sql(TRAIL).await;
        tool
    }

    async fn sql(&self, sql: &str) {
        let client = self.database.client().await.unwrap();
        client.batch_execute(sql).await.unwrap();
    }

    /// Neither key is set.
    fn run(&self, arguments: &[&str]) -> Said {
        said(self.command().args(arguments).output().unwrap())
    }

    /// With the keys in files, as secrets are handed to containers.
    fn run_with(&self, private_key: &str, arguments: &[&str]) -> Said {
        let [private, public] =
            [("private", private_key), ("public", PUBLIC)].map(|(name, pem)| {
                let path = self.directory.path().join(name);
                fs::write(&path, format!("{pem}\n")).unwrap();
                path
            });
        let mut command = self.command();
        command
            .env("SOVD__AUDIT__CHECKPOINT_PRIVATE_KEY_FILE", private)
            .env("SOVD__AUDIT__CHECKPOINT_PUBLIC_KEY_FILE", public);
        said(command.args(arguments).output().unwrap())
    }

    fn command(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_migrate"));
        command
            .env_clear()
            .env("DATABASE_URL", self.database.url())
            .current_dir(self.directory.path());
        command
    }

    #[track_caller]
    fn checkpoint(&self, private_key: &str) {
        let said = self.run_with(private_key, &["audit-checkpoint", "--out", "checkpoints"]);
        assert_eq!(said.code, Some(0), "{}", said.text);
    }

    fn verify_checkpoints(&self) -> Said {
        self.run_with(PRIVATE, &["verify-audit", "--checkpoints", "checkpoints"])
    }
}

fn said(output: Output) -> Said {
    let out = String::from_utf8(output.stdout).unwrap();
    Said {
        code: output.status.code(),
        text: out + &String::from_utf8(output.stderr).unwrap(),
    }
}

#[track_caller]
fn assert_says(said: &Said, code: i32, words: &str) {
    assert_eq!(said.code, Some(code), "{}", said.text);
    assert!(said.text.contains(words), "{}", said.text);
}

#[tokio::test]
async fn a_whole_trail_is_told_with_its_end() {
    let tool = Tool::new().await;
    tool.sql("INSERT INTO audit_logs (action, entity_type) VALUES ('test', 'test')")
        .await;
    let said = tool.run(&["verify-audit"]);
    assert_says(&said, 0, "verified   3 lines");
    assert_says(&said, 0, "not sealed 1 lines");
    assert_says(&said, 0, "as it was sealed");
}

#[tokio::test]
async fn the_first_broken_line_is_named() {
    for (sql, words) in [
        (
            "UPDATE audit_logs SET action = 'x' WHERE position > 1",
            "broken at position 2, log_id ",
        ),
        (
            "DELETE FROM audit_logs WHERE position = 2",
            "broken at position 2: the line is missing",
        ),
        (
            "DELETE FROM audit_logs WHERE position = 3",
            "broken at position 3: the line is missing",
        ),
    ] {
        let tool = Tool::new().await;
        tool.sql(&format!("{BY_FORCE}{sql}")).await;
        assert_says(&tool.run(&["verify-audit"]), 1, words);
    }
}

#[tokio::test]
async fn checkpoints_are_appended_and_agree() {
    let tool = Tool::new().await;
    tool.checkpoint(PRIVATE);
    tool.sql(TRAIL).await;
    tool.checkpoint(PRIVATE);
    let file = fs::read_to_string(tool.directory.path().join("checkpoints")).unwrap();
    assert_eq!(file.lines().count(), 2);
    assert_says(&tool.verify_checkpoints(), 0, "checkpoints 2 agree");
}

#[tokio::test]
async fn a_checkpoint_of_another_key_is_named() {
    let tool = Tool::new().await;
    tool.checkpoint(PRIVATE);
    tool.checkpoint(ANOTHER);
    let words = "checkpoints: line 2 is not a checkpoint that this key has signed";
    assert_says(&tool.verify_checkpoints(), 1, words);
}

#[tokio::test]
async fn a_trail_that_was_taken_back_is_found() {
    let tool = Tool::new().await;
    let back = "CREATE TABLE kept AS SELECT * FROM audit_chain_head";
    tool.sql(back).await;
    tool.sql(TRAIL).await;
    tool.checkpoint(PRIVATE);
    let rollback = "DELETE FROM audit_logs WHERE position > 3;
                    DELETE FROM audit_chain_head; INSERT INTO audit_chain_head SELECT * FROM kept";
    tool.sql(&format!("{BY_FORCE}{rollback}")).await;
    assert_eq!(tool.run(&["verify-audit"]).code, Some(0));
    assert_says(
        &tool.verify_checkpoints(),
        1,
        "broken at position 6: a checkpoint knows this",
    );
}

#[tokio::test]
async fn a_file_without_checkpoints_proves_nothing() {
    let tool = Tool::new().await;
    fs::write(tool.directory.path().join("checkpoints"), "\n").unwrap();
    let words = "no checkpoint could be compared";
    assert_says(&tool.verify_checkpoints(), 1, words);
}

#[tokio::test]
async fn a_line_that_was_not_sealed_in_time_is_told() {
    let tool = Tool::new().await;
    tool.sql(
        "INSERT INTO audit_logs (action, entity_type, timestamp)
         VALUES ('test', 'test', '2026-01-02T03:04:05.9Z')",
    )
    .await;
    let said = tool.run(&["verify-audit"]);
    assert_says(&said, 1, "the line of 2026-01-02T03:04:05Z is not sealed");
    assert_says(&said, 1, "as it was sealed");
}

#[tokio::test]
async fn a_cut_that_nobody_told_of_is_named() {
    let tool = Tool::new().await;
    tool.sql(
        "INSERT INTO audit_prunings (position, hash)
         SELECT position, hash FROM audit_logs WHERE position = 2;
         DELETE FROM audit_logs WHERE position <= 2",
    )
    .await;
    let words = "broken at position 2: the chain was cut off after this place";
    assert_says(&tool.run(&["verify-audit"]), 1, words);
}

/// The retention is that of the settings.
#[tokio::test]
async fn a_checkpoint_of_a_line_that_was_cut_off_too_early_is_named() {
    let tool = Tool::new().await;
    tool.checkpoint(PRIVATE);
    tool.sql(
        "INSERT INTO audit_prunings (position, hash)
         SELECT position, hash FROM audit_logs WHERE position = 3;
         INSERT INTO audit_logs (action, entity_type, details)
         SELECT 'audit.prune', 'audit',
                jsonb_build_object('position', position, 'hash', encode(hash, 'hex'),
                                   'lines', 3)
         FROM audit_logs WHERE position = 3;
         DELETE FROM audit_logs WHERE position <= 3",
    )
    .await;
    let words = "broken at position 3: a checkpoint knows this line";
    assert_says(&tool.verify_checkpoints(), 1, words);
    let retention = "[audit]\nretention_days = 1\n";
    fs::create_dir(tool.directory.path().join("config")).unwrap();
    fs::write(
        tool.directory.path().join("config/development.toml"),
        retention,
    )
    .unwrap();
    assert_says(&tool.verify_checkpoints(), 0, "checkpoints 1 agree");
}

#[tokio::test]
async fn a_missing_key_or_file_is_named() {
    let tool = Tool::new().await;
    let said = tool.run(&["audit-checkpoint", "--out", "checkpoints"]);
    assert_says(&said, 1, "SOVD__AUDIT__CHECKPOINT_PRIVATE_KEY_FILE");
    let said = tool.run(&["verify-audit", "--checkpoints", "checkpoints"]);
    assert_says(&said, 1, "SOVD__AUDIT__CHECKPOINT_PUBLIC_KEY_FILE");
    assert_says(&tool.verify_checkpoints(), 1, "checkpoints: No such file");
    let said = tool.run_with(PUBLIC, &["verify-audit"]);
    assert_says(&said, 1, "audit.checkpoint_private_key");
    let broken = PRIVATE.replace('M', "A");
    let said = tool.run_with(&broken, &["audit-checkpoint", "--out", "checkpoints"]);
    assert_says(&said, 1, "is not an Ed25519 private key");
    assert!(!said.text.contains("BEGIN"), "{}", said.text);
}

#[tokio::test]
async fn a_database_without_the_chain_says_what_to_do() {
    let tool = Tool::new().await;
    assert_eq!(tool.run(&["down"]).code, Some(0));
    assert_says(&tool.run(&["verify-audit"]), 1, "migrate up");
}
