use serde_json::{Value, json};
use sovd_devstack::Stack;
use sovd_tests::{World, within};
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    net::TcpStream,
};

#[tokio::test]
async fn an_engineer_reads_trouble_codes_and_follows_the_response() {
    let world = World::start().await;
    let engineer = world.log_in("engineer").await;

    let vehicles = engineer.get("/api/v1/vehicles").await.expect(200);
    let connected = vehicles
        .as_array()
        .unwrap()
        .iter()
        .find(|v| v["connection_status"] == "connected");
    let submission = json!({
        "vehicle_id": connected.unwrap()["vehicle_id"],
        "command_name": "ReadDTC",
        "command_params": { "ecuAddress": "0x10", "format": "OBD" },
    });
    let reply = engineer.post("/api/v1/commands", &submission).await;
    let location = reply.headers["location"].to_str().unwrap().to_owned();
    let command = reply.expect(201);
    let id = command["command_id"].as_str().unwrap();
    assert_eq!(location, format!("/api/v1/commands/{id}"));
    assert_eq!(command["status"], "pending");
    assert_eq!(command["stream_url"], format!("/ws/responses/{id}"));
    assert_eq!(command["failure_kind"], Value::Null);

    let (events, closing) = engineer.watch(id).await;
    assert_eq!(closing.code, 1000, "{closing:?}");
    assert_eq!(
        events[0],
        json!({ "event": "status", "command_id": id, "status": "in_progress" })
    );
    let response = &events[1];
    assert_eq!(response["event"], "response");
    assert_eq!(response["sequence_number"], 1);
    assert_eq!(response["is_final"], true);
    let codes: Vec<&Value> = response["response"]["dtcs"]
        .as_array()
        .unwrap()
        .iter()
        .map(|dtc| &dtc["code"])
        .collect();
    assert!(codes.contains(&&json!("P0420")), "{response}");
    assert_eq!(events[2]["status"], "completed");
    assert_eq!(events.len(), 3);

    let stored = engineer.get(&location).await.expect(200);
    assert_eq!(stored["status"], "completed");
    assert_eq!(stored["completed_at"], events[2]["completed_at"]);
    assert!(stored["started_at"].is_string());
    let responses = engineer
        .get(&format!("{location}/responses"))
        .await
        .expect(200);
    assert_eq!(responses[0]["response_payload"], response["response"]);
    assert_eq!(responses[0]["response_id"], response["response_id"]);
    let history = engineer.get("/api/v1/commands").await.expect(200);
    assert_eq!(history["total"], 1);
    assert_eq!(history["commands"][0], stored);
}

#[tokio::test]
async fn stores_the_command_its_responses_and_its_audit_entries() {
    let world = World::with(|settings| settings.connector.mock.chunks = 3).await;
    let engineer = world.log_in("engineer").await;
    let id = engineer.read_dtc().await;
    engineer.ended(&id).await;
    world.wait_for_detection().await;

    let sql = world.sql().await;
    let statuses = sql.query("SELECT status FROM commands", &[]).await.unwrap();
    assert_eq!(statuses.len(), 1);
    assert_eq!(statuses[0].get::<_, String>(0), "completed");
    let responses = sql
        .query(
            "SELECT sequence_number, is_final FROM responses ORDER BY sequence_number",
            &[],
        )
        .await
        .unwrap();
    let numbers: Vec<(i32, bool)> = responses
        .iter()
        .map(|row| (row.get(0), row.get(1)))
        .collect();
    assert_eq!(numbers, [(1, false), (2, false), (3, true)]);
    let waiting = sql.query("SELECT 1 FROM command_queue", &[]).await.unwrap();
    assert!(waiting.is_empty(), "completed commands leave the queue");

    let trail = sql
        .query(
            "SELECT action, user_id IS NOT NULL, request_id, ip_address, \
             command_id::text FROM audit_logs ORDER BY timestamp",
            &[],
        )
        .await
        .unwrap();
    let actions: Vec<String> = trail.iter().map(|row| row.get(0)).collect();
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
    let has_user: Vec<bool> = trail.iter().map(|row| row.get(1)).collect();
    assert_eq!(has_user[..2], [true, true]);
    assert!(
        !has_user[2..].contains(&true),
        "the program itself completes commands"
    );
    for row in &trail[..2] {
        assert!(
            row.get::<_, Option<String>>(2).is_some(),
            "the request id is missing"
        );
        assert_eq!(
            row.get::<_, Option<String>>(3).as_deref(),
            Some("127.0.0.1")
        );
    }
    for row in &trail[1..] {
        assert_eq!(row.get::<_, Option<String>>(4).as_ref(), Some(&id));
    }
}

#[tokio::test]
async fn publishes_the_same_events_to_redis() {
    let world = World::with(|settings| {
        settings.connector.mock.chunks = 2;
        // The default prefix.
        settings.redis.key_prefix = "sovd".to_owned();
    })
    .await;
    let engineer = world.log_in("engineer").await;
    let redis = Stack::shared().unwrap().redis_url();
    let address = redis.split('/').nth(2).unwrap();
    let socket = TcpStream::connect(address).await.unwrap();
    let (reader, mut writer) = socket.into_split();
    writer
        .write_all(b"PSUBSCRIBE response:*\r\n")
        .await
        .unwrap();
    let mut lines = BufReader::new(reader).lines();
    while within("the confirmation", lines.next_line())
        .await
        .unwrap()
        .unwrap()
        != ":1"
    {}

    let id = engineer.read_dtc().await;
    let (seen, _) = engineer.watch(&id).await;
    let channel = format!("response:{id}");
    let mut published = Vec::new();
    while published.len() < seen.len() {
        let line = within("an event on Redis", lines.next_line())
            .await
            .unwrap()
            .unwrap();
        if line == channel {
            lines.next_line().await.unwrap();
            let payload = lines.next_line().await.unwrap().unwrap();
            published.push(serde_json::from_str::<Value>(&payload).unwrap());
        }
    }
    assert_eq!(published, seen);
}
