use serde_json::{Value, json};
use sovd_app::settings::MockFailure;
use sovd_tests::{CONNECTED, Client, World, within};

async fn clear(client: &Client, extra: &Value) -> Value {
    let mut body = json!({
        "vehicle_id": CONNECTED, "command_name": "ClearDTC",
        "command_params": { "ecuAddress": "0x10" },
    });
    let (fields, extra) = (body.as_object_mut().unwrap(), extra.as_object().unwrap());
    fields.extend(extra.clone());
    let command = client.post("/api/v1/commands", &body).await.expect(201);
    client.ended(command["command_id"].as_str().unwrap()).await
}

async fn payloads(client: &Client, command: &Value) -> Vec<Value> {
    let id = command["command_id"].as_str().unwrap();
    let path = format!("/api/v1/commands/{id}/responses");
    let responses = client.get(&path).await.expect(200);
    let payloads = responses.as_array().unwrap().iter();
    payloads
        .map(|response| response["response_payload"].clone())
        .collect()
}

/// Waits for the finding of the probe.
async fn finding(client: &Client, command: &Value) -> Value {
    let path = format!(
        "/api/v1/commands/{}",
        command["command_id"].as_str().unwrap()
    );
    within("a finding", async {
        loop {
            let command = client.get(&path).await.expect(200);
            assert_eq!(command["failure_kind"], "outcome_unknown");
            if !command["finding"].is_null() {
                return command["finding"].clone();
            }
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
    })
    .await
}

#[tokio::test]
async fn stores_the_faults_before_and_after_a_clear() {
    let world = World::start().await;
    let engineer = world.log_in("engineer").await;
    let one = clear(
        &engineer,
        &json!({ "command_params": { "ecuAddress": "0x10", "dtcCode": "P0420" } }),
    )
    .await;
    assert_eq!(one["status"], "completed");
    let [before, answer, after] = &payloads(&engineer, &one).await[..] else {
        panic!("evidence, answer, report")
    };
    assert_eq!(before["evidence"], "before");
    assert!(before.to_string().contains("P0420"));
    assert_eq!(answer["cleared"], true);
    assert_eq!(after["evidence"], "after");
    assert!(!after.to_string().contains("P0420") && after.to_string().contains("U0100"));

    let all = clear(&engineer, &json!({})).await;
    let last = payloads(&engineer, &all).await.pop().unwrap();
    assert_eq!(last["chunks"][0]["dtcs"], json!([]));
    assert_eq!(all["finding"], Value::Null, "no probe was needed");
}

#[tokio::test]
async fn does_not_clear_without_evidence_unless_skipped() {
    let world = World::with(|settings| {
        settings.connector.mock.failure = MockFailure::Rejected;
        settings.connector.mock.only = vec!["ReadDTC".to_owned()];
    })
    .await;
    let engineer = world.log_in("engineer").await;
    let failed = clear(&engineer, &json!({})).await;
    assert_eq!(failed["failure_kind"], "rejected");
    let message = failed["error_message"].as_str().unwrap();
    assert!(
        message.contains("could not be read") && message.contains("0x22"),
        "{message}"
    );
    assert!(payloads(&engineer, &failed).await.is_empty());

    let skipping = clear(&engineer, &json!({ "skip_evidence": true })).await;
    assert_eq!(skipping["status"], "completed");
    let [answer, report] = &payloads(&engineer, &skipping).await[..] else {
        panic!("answer, report")
    };
    assert_eq!(answer["cleared"], true);
    assert!(report["error"].is_string());
    let sql = world.sql().await;
    let skipped = sql
        .query(
            "SELECT details ->> 'skip_evidence' FROM audit_logs WHERE action = 'command.submit'
             ORDER BY timestamp",
            &[],
        )
        .await
        .unwrap();
    let skipped: Vec<&str> = skipped.iter().map(|row| row.get(0)).collect();
    assert_eq!(skipped, ["false", "true"]);
}

#[tokio::test]
async fn rejects_skip_evidence_for_a_read() {
    let world = World::start().await;
    let engineer = world.log_in("engineer").await;
    let body = json!({
        "vehicle_id": CONNECTED, "command_name": "ReadDTC", "skip_evidence": true,
        "command_params": { "ecuAddress": "0x10" },
    });
    engineer
        .post("/api/v1/commands", &body)
        .await
        .expect_bad_field(422, "validation_failed", "/skip_evidence");
    let mut wrong = body.clone();
    wrong["skip_evidence"] = json!("yes");
    engineer
        .post("/api/v1/commands", &wrong)
        .await
        .expect_bad_field(422, "validation_failed", "/skip_evidence");
}

#[tokio::test]
async fn probes_after_an_unknown_outcome() {
    // The mock clears the faults before it breaks the connection, but not before it times out.
    for (failure, found) in [
        (MockFailure::Broken, "cleared"),
        (MockFailure::Timeout, "not_cleared"),
    ] {
        let world = World::with(|settings| {
            settings.connector.mock.failure = failure;
            settings.connector.mock.only = vec!["ClearDTC".to_owned()];
        })
        .await;
        let engineer = world.log_in("engineer").await;
        let command = clear(&engineer, &json!({})).await;
        assert_eq!(command["failure_kind"], "outcome_unknown");
        assert_eq!(finding(&engineer, &command).await, found);
        let answers = payloads(&engineer, &command).await;
        assert_eq!(answers.len(), 1, "only the evidence");
        let sql = world.sql().await;
        let row = sql
            .query_one(
                "SELECT details ->> 'finding' FROM audit_logs WHERE action = 'command.probe'",
                &[],
            )
            .await
            .unwrap();
        assert_eq!(row.get::<_, &str>(0), found);
    }
}
