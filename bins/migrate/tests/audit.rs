//! Verification of the audit trail at the command entry.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    fs,
    process::{Command, Output},
};

use sovd_devstack::{Stack, TestDatabase};
use tempfile::TempDir;

// From `openssl genpkey -algorithm ed25519`; used only in these tests.
const PRIVATE: &str = "-----BEGIN PRIVATE KEY-----
MC4CAQAwBQYDK2VwBCIEICj1npHVeu3SUboLcBvrMDzf/i3GX9+gcQM7D/9Tb4Ti
-----END PRIVATE KEY-----";
const PUBLIC: &str = "-----BEGIN PUBLIC KEY-----
MCowBQYDK2VwAyEAGytcBcsxK1w3RR2hjGnHg5cq8BzThnicwXgoG7HwtRc=
-----END PUBLIC KEY-----";
const OTHER_PRIVATE: &str = "-----BEGIN PRIVATE KEY-----
MC4CAQAwBQYDK2VwBCIEIE7zkFFe1kXuzeumsD92oQr4/fMdOQgEyvOW0JvYYZGG
-----END PRIVATE KEY-----";

/// Three audit entries, sealed in SQL: the sealing of the server has its own tests.
const TRAIL: &str = "
    INSERT INTO audit_logs (action, entity_type, timestamp)
    SELECT 'test', 'test', to_timestamp(n) FROM generate_series(1, 3) n;
    DO $$
    DECLARE
        entry RECORD;
        head RECORD;
    BEGIN
        FOR entry IN SELECT * FROM audit_logs WHERE position IS NULL ORDER BY timestamp LOOP
            SELECT * INTO head FROM audit_chain_head;
            UPDATE audit_chain_head SET position = head.position + 1, hash = sha256(head.hash || convert_to(
                jsonb_build_array(
                    'sovd-audit-1', entry.log_id, entry.actor_id, entry.subject_vehicle_id,
                    entry.subject_command_id, entry.action, entry.entity_type, entry.entity_id,
                    entry.details::text, entry.ip_address, entry.user_agent,
                    (extract(epoch FROM entry.timestamp) * 1000000)::bigint, entry.result,
                    entry.request_id)::text,
                'UTF8'));
            UPDATE audit_logs SET position = audit_chain_head.position, hash = audit_chain_head.hash
            FROM audit_chain_head WHERE log_id = entry.log_id;
        END LOOP;
    END
    $$";

/// Disables the triggers that protect the audit trail, as a superuser can.
const WITHOUT_TRIGGERS: &str = "SET session_replication_role = replica; ";

struct Tool {
    database: TestDatabase,
    directory: TempDir,
}

struct Outcome {
    code: Option<i32>,
    text: String,
}

impl Tool {
    /// Creates a database whose audit trail has three sealed entries.
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

    /// Runs the program without keys.
    fn run(&self, arguments: &[&str]) -> Outcome {
        outcome(self.command().args(arguments).output().unwrap())
    }

    /// Runs the program with the keys in files.
    fn run_with(&self, private_key: &str, arguments: &[&str]) -> Outcome {
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
        outcome(command.args(arguments).output().unwrap())
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
        let outcome = self.run_with(private_key, &["audit-checkpoint", "--out", "checkpoints"]);
        assert_eq!(outcome.code, Some(0), "{}", outcome.text);
    }

    fn verify_checkpoints(&self) -> Outcome {
        self.run_with(PRIVATE, &["verify-audit", "--checkpoints", "checkpoints"])
    }
}

fn outcome(output: Output) -> Outcome {
    let out = String::from_utf8(output.stdout).unwrap();
    Outcome {
        code: output.status.code(),
        text: out + &String::from_utf8(output.stderr).unwrap(),
    }
}

#[track_caller]
fn assert_outcome(outcome: &Outcome, code: i32, text: &str) {
    assert_eq!(outcome.code, Some(code), "{}", outcome.text);
    assert!(outcome.text.contains(text), "{}", outcome.text);
}

#[tokio::test]
async fn an_intact_trail_is_verified() {
    let tool = Tool::new().await;
    tool.sql("INSERT INTO audit_logs (action, entity_type) VALUES ('test', 'test')")
        .await;
    let outcome = tool.run(&["verify-audit"]);
    assert_outcome(&outcome, 0, "verified    3 entries");
    assert_outcome(&outcome, 0, "unsealed    1 entries");
    assert_outcome(&outcome, 0, "the sealed entries are unchanged");
}

#[tokio::test]
async fn the_first_broken_entry_is_reported() {
    for (sql, text) in [
        (
            "UPDATE audit_logs SET action = 'x' WHERE position > 1",
            "broken at position 2, log_id ",
        ),
        (
            "DELETE FROM audit_logs WHERE position = 2",
            "broken at position 2: the entry is missing",
        ),
        (
            "DELETE FROM audit_logs WHERE position = 3",
            "broken at position 3: the entry is missing",
        ),
    ] {
        let tool = Tool::new().await;
        tool.sql(&format!("{WITHOUT_TRIGGERS}{sql}")).await;
        assert_outcome(&tool.run(&["verify-audit"]), 1, text);
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
    assert_outcome(&tool.verify_checkpoints(), 0, "checkpoints 2 agree");
}

#[tokio::test]
async fn a_checkpoint_of_another_key_is_rejected() {
    let tool = Tool::new().await;
    tool.checkpoint(PRIVATE);
    tool.checkpoint(OTHER_PRIVATE);
    let text = "checkpoints: line 2 is not a checkpoint that this key has signed";
    assert_outcome(&tool.verify_checkpoints(), 1, text);
}

#[tokio::test]
async fn a_rollback_of_the_trail_is_detected_by_a_checkpoint() {
    let tool = Tool::new().await;
    let save = "CREATE TABLE kept AS SELECT * FROM audit_chain_head";
    tool.sql(save).await;
    tool.sql(TRAIL).await;
    tool.checkpoint(PRIVATE);
    let rollback = "DELETE FROM audit_logs WHERE position > 3;
                    DELETE FROM audit_chain_head; INSERT INTO audit_chain_head SELECT * FROM kept";
    tool.sql(&format!("{WITHOUT_TRIGGERS}{rollback}")).await;
    assert_eq!(tool.run(&["verify-audit"]).code, Some(0));
    assert_outcome(
        &tool.verify_checkpoints(),
        1,
        "broken at position 6: a checkpoint contains this",
    );
}

#[tokio::test]
async fn a_file_without_checkpoints_is_rejected() {
    let tool = Tool::new().await;
    fs::write(tool.directory.path().join("checkpoints"), "\n").unwrap();
    let text = "no checkpoint could be compared";
    assert_outcome(&tool.verify_checkpoints(), 1, text);
}

#[tokio::test]
async fn an_entry_that_was_not_sealed_in_time_is_reported() {
    let tool = Tool::new().await;
    tool.sql(
        "INSERT INTO audit_logs (action, entity_type, timestamp)
         VALUES ('test', 'test', '2026-01-02T03:04:05.9Z')",
    )
    .await;
    let outcome = tool.run(&["verify-audit"]);
    assert_outcome(
        &outcome,
        1,
        "the entry of 2026-01-02T03:04:05Z is not sealed",
    );
    assert_outcome(&outcome, 1, "the sealed entries are unchanged");
}

#[tokio::test]
async fn an_unrecorded_pruning_is_reported() {
    let tool = Tool::new().await;
    tool.sql(
        "INSERT INTO audit_prunings (position, hash)
         SELECT position, hash FROM audit_logs WHERE position = 2;
         DELETE FROM audit_logs WHERE position <= 2",
    )
    .await;
    let text = "broken at position 2: the chain was pruned up to here";
    assert_outcome(&tool.run(&["verify-audit"]), 1, text);
}

/// The retention comes from the settings.
#[tokio::test]
async fn pruning_before_the_retention_is_detected_by_a_checkpoint() {
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
    let text = "broken at position 3: a checkpoint contains this entry";
    assert_outcome(&tool.verify_checkpoints(), 1, text);
    let retention = "[audit]\nretention_days = 1\n";
    fs::create_dir(tool.directory.path().join("config")).unwrap();
    fs::write(
        tool.directory.path().join("config/development.toml"),
        retention,
    )
    .unwrap();
    assert_outcome(&tool.verify_checkpoints(), 0, "checkpoints 1 agree");
}

#[tokio::test]
async fn a_missing_key_or_file_is_reported() {
    let tool = Tool::new().await;
    let outcome = tool.run(&["audit-checkpoint", "--out", "checkpoints"]);
    assert_outcome(&outcome, 1, "SOVD__AUDIT__CHECKPOINT_PRIVATE_KEY_FILE");
    let outcome = tool.run(&["verify-audit", "--checkpoints", "checkpoints"]);
    assert_outcome(&outcome, 1, "SOVD__AUDIT__CHECKPOINT_PUBLIC_KEY_FILE");
    assert_outcome(&tool.verify_checkpoints(), 1, "checkpoints: No such file");
    let outcome = tool.run_with(PUBLIC, &["verify-audit"]);
    assert_outcome(&outcome, 1, "audit.checkpoint_private_key");
    let broken = PRIVATE.replace('M', "A");
    let outcome = tool.run_with(&broken, &["audit-checkpoint", "--out", "checkpoints"]);
    assert_outcome(&outcome, 1, "is not an Ed25519 private key");
    assert!(!outcome.text.contains("BEGIN"), "{}", outcome.text);
}

#[tokio::test]
async fn a_database_without_the_chain_is_reported_with_the_remedy() {
    let tool = Tool::new().await;
    assert_eq!(tool.run(&["down"]).code, Some(0));
    assert_outcome(&tool.run(&["verify-audit"]), 1, "migrate up");
}
