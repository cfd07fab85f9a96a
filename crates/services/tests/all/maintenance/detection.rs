//! Detecting anomalies in the responses of vehicles.

use std::{collections::BTreeSet, fmt::Write};

use chrono::TimeDelta;
use serde_json::{Value, json};
use sovd_connector::ConnectorError;
use sovd_domain::{CommandId, CommandStatus};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::{
    captured_log::CapturedLog,
    fixture::{RunningDispatcher, TestBed, VEHICLE, within},
    scripted_connector::{Script, ScriptedConnector, faults},
};

const READ: &str = "ReadDTC";

/// The interval at which detection polls for jobs.
const SWEEP: TimeDelta = TimeDelta::seconds(5);

impl TestBed {
    /// Returns the anomalies of the connected vehicle that have a code, ordered by code.
    async fn anomalies(&self) -> Vec<Value> {
        let sql = "SELECT to_jsonb(episode) || to_jsonb(event)
                   FROM anomaly_episodes AS episode
                   JOIN anomaly_events AS event ON id = anomaly_event_id
                   WHERE episode.vehicle_id = $1 AND dtc_code IS NOT NULL
                   ORDER BY dtc_code";
        let rows = self.sql().await.query(sql, &[&VEHICLE.0]).await.unwrap();
        rows.iter().map(|row| row.get(0)).collect()
    }

    async fn codes(&self) -> Vec<String> {
        let anomalies = self.anomalies().await;
        let codes = anomalies.iter().map(|one| one["dtc_code"].as_str());
        codes.map(|code| code.unwrap().to_owned()).collect()
    }

    /// Completes a command that reads the faults, and its detection job.
    async fn read_faults(&self) -> CommandId {
        let command_id = self.submit(READ).await;
        let ended = self.wait_for_end(command_id).await;
        assert_eq!(ended.status, CommandStatus::Completed);
        self.until_no_job().await;
        command_id
    }

    /// Waits until the anomalies are those of the codes.
    async fn until_codes(&self, codes: &[&str]) {
        within("the anomalies", async {
            while self.codes().await != codes {
                tokio::task::yield_now().await;
            }
        })
        .await;
    }

    /// Waits until no detection job is left.
    async fn until_no_job(&self) {
        let jobs = "SELECT count(*) FROM detection_jobs";
        self.until_number(jobs, 0).await;
    }

    /// Waits until so many attempts at the only detection job have failed.
    async fn until_attempts(&self, attempts: i64) {
        let failed = "SELECT attempts::bigint FROM detection_jobs";
        self.until_number(failed, attempts).await;
    }

    async fn until_number(&self, query: &str, number: i64) {
        let sql = self.sql().await;
        within(query, async {
            while sql.query_one(query, &[]).await.unwrap().get::<_, i64>(0) != number {
                tokio::task::yield_now().await;
            }
        })
        .await;
    }

    /// Advances the time to the next poll.
    async fn sweep(&self) {
        let next = self.now() + SWEEP;
        within("the detection to wait", self.timer.awaited(next)).await;
        self.timer.advance(SWEEP);
    }

    /// Runs a dispatcher and detection.
    fn work(&self) -> Working {
        self.with_detection(self.start_dispatcher())
    }

    /// Runs a dispatcher and detection of another process.
    fn work_elsewhere(&self) -> Working {
        self.with_detection(self.start_remote_dispatcher())
    }

    fn with_detection(&self, running: RunningDispatcher) -> Working {
        let stop = CancellationToken::new();
        let detection = self.parts.detection().run(stop.clone());
        Working {
            running,
            detection: tokio::spawn(detection),
            stop,
        }
    }
}

struct Working {
    running: RunningDispatcher,
    detection: JoinHandle<()>,
    stop: CancellationToken,
}

impl Working {
    async fn stop(self) {
        self.stop.cancel();
        self.detection.await.unwrap();
        self.running.stop().await;
    }
}

async fn bed(scripts: impl Into<Vec<Script>>) -> TestBed {
    TestBed::new(ScriptedConnector::new().on(READ, scripts)).await
}

/// Creates a trigger that rejects the first `count` anomalies.
async fn break_detection(bed: &TestBed, message: &str, count: i32) {
    let sql = format!(
        "CREATE SEQUENCE attempts;
         CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$
         BEGIN
             IF nextval('attempts') <= {count} THEN RAISE EXCEPTION '{message}'; END IF;
             RETURN NEW;
         END $$;
         CREATE TRIGGER refuse BEFORE INSERT ON anomaly_events
             FOR EACH ROW EXECUTE FUNCTION refuse();"
    );
    bed.sql().await.batch_execute(&sql).await.unwrap();
}

#[tokio::test]
async fn creates_anomalies_for_matching_codes() {
    let parts = vec![
        json!({ "ecu_address": "0x10", "dtcs": [
            { "code": "P0420-11", "status": "confirmed", "description": "Catalyst" },
            { "code": "B1000", "status": "history" },
        ] }),
        json!({ "ecu_address": "0x10", "dtcs": [{ "code": "C0035" }, { "code": "P0420-11" }] }),
    ];
    let bed = bed([Script::Respond(parts)]).await;
    let running = bed.work();
    let command_id = bed.read_faults().await;
    let anomalies = bed.anomalies().await;
    let responses = bed.responses(command_id).await;
    assert_eq!(anomalies.len(), 2);
    for (anomaly, expected, response) in [
        (
            &anomalies[0],
            json!({
                "anomaly_type": "brakes", "severity": "High", "rule_name": "brakes",
                "component_name": "brake system", "dtc_code": "C0035",
                "sensor_snapshot": { "ecu_address": "0x10", "code": "C0035", "status": null },
            }),
            &responses[1],
        ),
        (
            &anomalies[1],
            json!({
                "anomaly_type": "emissions", "severity": "Medium",
                "rule_name": "catalyst-efficiency", "component_name": "catalytic converter",
                "dtc_code": "P0420-11",
                "sensor_snapshot":
                    { "ecu_address": "0x10", "code": "P0420-11", "status": "confirmed" },
            }),
            &responses[0],
        ),
    ] {
        for (field, value) in expected.as_object().unwrap() {
            assert_eq!(&anomaly[field], value, "{field}");
        }
        assert_eq!(anomaly["command_id"], json!(command_id));
        assert_eq!(anomaly["response_id"], json!(response.response_id));
        assert_eq!(anomaly["outcome"], Value::Null);
    }

    let entries = bed.audit_entries(command_id).await;
    let details: Vec<&Value> = entries
        .iter()
        .filter(|(action, _)| action == "anomaly.detect")
        .map(|(_, details)| details)
        .collect();
    assert_eq!(details.len(), 2);
    let expected = json!({
        "rule_name": "brakes", "dtc_code": "C0035", "anomaly_type": "brakes",
        "severity": "High", "component_name": "brake system",
    });
    assert_eq!(details[0], &expected);
    let sql = "SELECT count(*) FROM audit_logs
               JOIN anomaly_events ON id = entity_id
               JOIN anomaly_episodes ON anomaly_event_id = id
               JOIN responses USING (response_id)
               WHERE action = 'anomaly.detect' AND user_id IS NULL AND entity_type = 'anomaly'
                 AND audit_logs.vehicle_id = $1 AND audit_logs.command_id = $2
                 AND detected_at = received_at";
    let client = bed.sql().await;
    let row = client.query_one(sql, &[&VEHICLE.0, &command_id.0]).await;
    assert_eq!(row.unwrap().get::<_, i64>(0), 2);
    running.stop().await;
}

#[tokio::test]
async fn detects_a_code_again_only_after_closure() {
    let bed = bed([Script::faults("P0420 U0100")]).await;
    let running = bed.work();
    for _ in 0..10 {
        bed.read_faults().await;
    }
    assert_eq!(bed.codes().await, ["P0420", "U0100"]);
    let sql = "UPDATE anomaly_episodes SET outcome = 'confirmed', closed_at = $1
               WHERE dtc_code = 'P0420'";
    let closed = bed.sql().await.execute(sql, &[&bed.now()]).await;
    assert_eq!(closed.unwrap(), 1);
    bed.timer.advance(TimeDelta::seconds(1));
    bed.read_faults().await;
    assert_eq!(bed.codes().await, ["P0420", "P0420", "U0100"]);
    running.stop().await;
}

#[tokio::test]
async fn two_nodes_detect_each_code_once() {
    let bed = bed([Script::faults("P0420 P0301 U0100")]).await;
    let mut commands = Vec::new();
    for _ in 0..10 {
        commands.push(bed.submit(READ).await);
    }
    let nodes = [bed.work(), bed.work_elsewhere()];
    for command_id in commands {
        let ended = bed.wait_for_end(command_id).await;
        assert_eq!(ended.status, CommandStatus::Completed);
    }
    bed.until_no_job().await;
    assert_eq!(bed.codes().await, ["P0301", "P0420", "U0100"]);
    for node in nodes {
        node.stop().await;
    }
}

#[tokio::test]
async fn malformed_faults_create_no_anomaly() {
    let mut huge = String::new();
    for _ in 0..100_000 {
        write!(huge, "P0420").unwrap();
    }
    let nonsense = [
        json!(null),
        json!("P0420"),
        json!([{ "code": "P0420" }]),
        json!({ "dtcs": "P0420" }),
        json!({ "dtcs": { "code": "P0420" } }),
        json!({ "dtcs": [null, 420, "P0420", [], {}, { "code": { "code": "P0420" } }] }),
        json!({ "dtcs": [{ "code": 420 }, { "code": "" }, { "code": "p042" }] }),
        json!({ "dtcs": [{ "code": huge }, { "code": "P0420\u{1f600}" }, { "code": "'; --" }] }),
        json!({ "dtcs": (0..5000).map(|number| json!({ "code": number })).collect::<Vec<_>>() }),
    ];
    let count = nonsense.len();
    let scripts: Vec<Script> = nonsense
        .into_iter()
        .map(|payload| Script::Respond(vec![payload]))
        .collect();
    let bed = bed(scripts).await;
    let running = bed.work();
    for _ in 0..count {
        bed.read_faults().await;
    }
    assert_eq!(bed.codes().await, Vec::<String>::new());
    running.stop().await;
}

#[tokio::test]
async fn malformed_codes_do_not_hide_valid_ones() {
    let payload = json!({ "dtcs": [null, { "code": 5 }, { "code": "P0420" }, { "code": "P04" }] });
    let bed = bed([Script::Respond(vec![payload])]).await;
    let running = bed.work();
    bed.read_faults().await;
    assert_eq!(bed.codes().await, ["P0420"]);
    running.stop().await;
}

#[tokio::test]
async fn a_response_with_too_many_codes_creates_no_anomaly() {
    let mut codes: BTreeSet<String> = (0..998).map(|code| format!("B1{code:03}")).collect();
    codes.extend(["P0420".to_owned(), "U0100".to_owned()]);
    let most: Vec<&str> = codes.iter().map(String::as_str).collect();
    let too_many = format!("C0035 {}", most.join(" "));
    // Spread over more chunks than one read returns.
    let parts: Vec<Value> = most
        .chunks(10)
        .map(|codes| faults(&codes.join(" ")))
        .collect();
    let bed = bed([Script::faults(&too_many), Script::Respond(parts)]).await;
    let running = bed.work();
    bed.read_faults().await;
    assert_eq!(bed.codes().await, Vec::<String>::new());
    bed.read_faults().await;
    assert_eq!(bed.codes().await, ["P0420", "U0100"]);
    running.stop().await;
}

#[tokio::test]
async fn a_failed_command_creates_no_anomaly() {
    let reason = "conditions not correct".to_owned();
    let rejected = ConnectorError::Rejected { reason };
    let bed = bed([Script::RespondThenFail(vec![faults("P0420")], rejected)]).await;
    let running = bed.work();
    let command_id = bed.submit(READ).await;
    let ended = bed.wait_for_end(command_id).await;
    assert_eq!(ended.status, CommandStatus::Failed);
    assert_eq!(bed.responses(command_id).await.len(), 1);
    assert_eq!(bed.codes().await, Vec::<String>::new());
    running.stop().await;
}

#[tokio::test]
async fn evidence_of_a_clear_creates_no_anomaly() {
    let bed = bed([Script::faults("P0420"), Script::faults("U0100")]).await;
    let running = bed.work();
    let command_id = bed.submit("ClearDTC").await;
    let ended = bed.wait_for_end(command_id).await;
    assert_eq!(ended.status, CommandStatus::Completed);
    assert_eq!(bed.connector.command_names(), [READ, "ClearDTC", READ]);
    assert_eq!(bed.codes().await, Vec::<String>::new());
    running.stop().await;
}

#[tokio::test]
async fn retries_a_failed_detection_run_without_losing_the_response() {
    let log = CapturedLog::start();
    let bed = bed([Script::faults("P0420 U0100")]).await;
    break_detection(&bed, "broken", 2).await;
    let running = bed.work();
    let command_id = bed.submit(READ).await;
    let ended = bed.wait_for_end(command_id).await;
    assert_eq!(ended.status, CommandStatus::Completed);
    assert_eq!(bed.responses(command_id).await.len(), 1);
    for attempts in 1..=2 {
        bed.until_attempts(attempts).await;
        assert_eq!(bed.codes().await, Vec::<String>::new());
        bed.sweep().await;
    }
    bed.until_no_job().await;
    assert_eq!(bed.codes().await, ["P0420", "U0100"]);
    assert_eq!(log.count("detection attempt failed"), 2);
    running.stop().await;
}

#[tokio::test]
async fn abandons_and_audits_a_job_after_the_last_attempt() {
    let bed = bed([Script::faults("P0420")]).await;
    break_detection(&bed, "broken", i32::MAX).await;
    let running = bed.work();
    let command_id = bed.submit(READ).await;
    bed.wait_for_end(command_id).await;
    bed.until_attempts(1).await;
    let last = "UPDATE detection_jobs SET attempts = 19, due_at = submitted_at FROM commands";
    bed.sql().await.execute(last, &[]).await.unwrap();
    bed.sweep().await;
    bed.until_no_job().await;
    assert_eq!(bed.codes().await, Vec::<String>::new());
    let sql = "SELECT result || ' ' || details::text FROM audit_logs
               WHERE action = 'anomaly.detect' AND command_id = $1 AND vehicle_id = $2";
    let client = bed.sql().await;
    let entry = client.query_one(sql, &[&command_id.0, &VEHICLE.0]).await;
    let entry: String = entry.unwrap().get(0);
    assert!(entry.starts_with("failed {\"reason\":"), "{entry}");
    running.stop().await;
}

/// The queue of the vehicle proceeds, too.
#[tokio::test]
async fn a_blocked_detection_run_does_not_block_commands() {
    let bed = bed([Script::faults("P0420")]).await;
    let mut client = bed.sql().await;
    let transaction = client.transaction().await.unwrap();
    let lock = "LOCK TABLE anomaly_episodes IN ACCESS EXCLUSIVE MODE";
    transaction.batch_execute(lock).await.unwrap();
    let running = bed.work();
    for _ in 0..3 {
        let command_id = bed.submit(READ).await;
        let ended = bed.wait_for_end(command_id).await;
        assert_eq!(ended.status, CommandStatus::Completed);
    }
    transaction.rollback().await.unwrap();
    bed.until_codes(&["P0420"]).await;
    running.stop().await;
}

#[tokio::test]
async fn processes_jobs_left_by_another_process() {
    let bed = bed([Script::faults("P0420")]).await;
    let dispatcher = bed.start_dispatcher();
    let command_id = bed.submit(READ).await;
    bed.wait_for_end(command_id).await;
    dispatcher.stop().await;
    assert_eq!(bed.codes().await, Vec::<String>::new());
    let running = bed.work();
    bed.until_no_job().await;
    assert_eq!(bed.codes().await, ["P0420"]);
    running.stop().await;
}

/// The chunks of the interrupted first attempt are not part of the response.
#[tokio::test]
async fn ignores_responses_of_an_interrupted_attempt() {
    let broken =
        Script::RespondThenFail(vec![faults("P0420")], ConnectorError::Broken { sent: true });
    let bed = bed([broken, Script::faults("U0100")]).await;
    let running = bed.work();
    let command_id = bed.submit(READ).await;
    bed.advance_past_backoff(command_id).await;
    let ended = bed.wait_for_end(command_id).await;
    assert_eq!(ended.status, CommandStatus::Completed);
    bed.until_no_job().await;
    assert_eq!(bed.responses(command_id).await.len(), 2);
    assert_eq!(bed.codes().await, ["U0100"]);
    running.stop().await;
}

#[tokio::test]
async fn ignores_codes_read_before_the_closure() {
    let bed = bed([Script::faults("P0420 U0100")]).await;
    let running = bed.work();
    bed.read_faults().await;
    let later = "UPDATE anomaly_episodes SET outcome = 'confirmed',
                 closed_at = (SELECT max(received_at) FROM responses) + interval '1 hour'
                 WHERE dtc_code = 'P0420'";
    bed.sql().await.batch_execute(later).await.unwrap();
    bed.read_faults().await;
    assert_eq!(bed.codes().await, ["P0420", "U0100"]);
    bed.timer.advance(TimeDelta::hours(2));
    bed.read_faults().await;
    assert_eq!(bed.codes().await, ["P0420", "P0420", "U0100"]);
    running.stop().await;
}
