use std::{
    error::Error,
    net::SocketAddr,
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use tokio::time::sleep;

use crate::{
    client::{Engineer, text},
    say::{say, step},
};

/// How long the anomalies may take to show.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long to wait between two looks.
const PAUSE: Duration = Duration::from_millis(50);

/// What the main job left behind.
pub(crate) struct Job {
    pub(crate) vehicle_id: String,
}

/// Reads the trouble codes of a connected vehicle, as an engineer would.
pub(crate) async fn perform(address: SocketAddr) -> Result<Job, Box<dyn Error>> {
    step(&format!("logging in as {}", Engineer::NAME));
    let engineer = Engineer::log_in(address).await?;

    step("listing vehicles");
    let vehicles = engineer.get("/api/v1/vehicles").await?;
    let vehicles = vehicles.as_array().ok_or("the vehicles are no list")?;
    for vehicle in vehicles {
        say(&line_about(vehicle)?);
    }
    let vehicle = vehicles
        .iter()
        .find(|vehicle| vehicle["connection_status"] == "connected")
        .ok_or("no vehicle is connected")?;
    let vehicle_id = text(vehicle, "vehicle_id")?;

    step(&format!("sending ReadDTC to {}", text(vehicle, "vin")?));
    let submitted = Instant::now();
    let submission = json!({
        "vehicle_id": vehicle_id,
        "command_name": "ReadDTC",
        "command_params": { "ecuAddress": "0x10" },
    });
    let command = engineer.post("/api/v1/commands", &submission).await?;
    let command_id = text(&command, "command_id")?;

    step("watching the answer arrive");
    let mut last = String::new();
    let print = |event: &str| {
        say(&format!(
            "  after {:>5} ms  {event}",
            submitted.elapsed().as_millis()
        ));
        event.clone_into(&mut last);
    };
    engineer
        .watch(&text(&command, "stream_url")?, print)
        .await?;
    let last: Value = serde_json::from_str(&last)?;
    if last.get("status").and_then(Value::as_str) != Some("completed") {
        return Err("the command did not complete".into());
    }

    step("looking it up in the history");
    let stored = engineer
        .get(&format!("/api/v1/commands/{command_id}"))
        .await?;
    let responses = engineer
        .get(&format!("/api/v1/commands/{command_id}/responses"))
        .await?;
    let status = text(&stored, "status")?;
    let count = responses.as_array().map_or(0, Vec::len);
    say(&format!("  {command_id}  {status}, {count} response(s)"));
    if status != "completed" || count == 0 {
        return Err("the history does not show what was seen".into());
    }

    step("looking at the anomalies that the codes have made");
    for anomaly in &open_anomalies(&engineer, &vehicle_id).await? {
        say(&line_about_anomaly(anomaly)?);
    }
    Ok(Job { vehicle_id })
}

/// What the codes have made, also those of an earlier run: a code makes one anomaly until a workshop has
/// looked. Somebody looks for them as soon as the answer is there.
async fn open_anomalies(
    engineer: &Engineer,
    vehicle_id: &str,
) -> Result<Vec<Value>, Box<dyn Error>> {
    let path = format!("/api/v1/vehicles/{vehicle_id}/anomalies");
    let deadline = Instant::now() + PATIENCE;
    loop {
        let anomalies = engineer.get(&path).await?;
        let anomalies = anomalies.as_array().ok_or("the anomalies are no list")?;
        let is_open = |one: &&Value| !one["source"].is_null() && one["outcome"].is_null();
        let open: Vec<Value> = anomalies.iter().filter(is_open).cloned().collect();
        if !open.is_empty() {
            return Ok(open);
        }
        if Instant::now() > deadline {
            return Err("the codes have made no anomaly".into());
        }
        sleep(PAUSE).await;
    }
}

fn line_about_anomaly(anomaly: &Value) -> Result<String, Box<dyn Error>> {
    let source = &anomaly["source"];
    Ok(format!(
        "  {:<8}  {:<8}  {}, {}",
        text(source, "dtc_code")?,
        text(anomaly, "severity")?,
        text(anomaly, "anomaly_type")?,
        text(anomaly, "component_name")?,
    ))
}

fn line_about(vehicle: &Value) -> Result<String, Box<dyn Error>> {
    Ok(format!(
        "  {:<17}  {} {} {}, {}",
        text(vehicle, "vin")?,
        text(vehicle, "make")?,
        text(vehicle, "model")?,
        vehicle["year"],
        text(vehicle, "connection_status")?,
    ))
}
