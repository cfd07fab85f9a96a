use std::{
    error::Error,
    net::SocketAddr,
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use tokio::time::sleep;

use crate::{
    client::{Engineer, text},
    output::{print, print_step},
};

/// The time limit for the detection of anomalies.
const TIMEOUT: Duration = Duration::from_secs(10);
/// The interval at which anomalies are queried.
const POLL_INTERVAL: Duration = Duration::from_millis(50);

/// Reads the trouble codes of a connected vehicle and returns the ID of the vehicle.
pub(crate) async fn run(address: SocketAddr) -> Result<String, Box<dyn Error>> {
    print_step(&format!("logging in as {}", Engineer::NAME));
    let engineer = Engineer::log_in(address).await?;

    print_step("listing vehicles");
    let vehicles = engineer.get("/api/v1/vehicles").await?;
    let vehicles = vehicles.as_array().ok_or("the vehicles are not a list")?;
    for vehicle in vehicles {
        print(&describe_vehicle(vehicle)?);
    }
    let is_connected = |vehicle: &&Value| vehicle["connection_status"] == "connected";
    let connected = vehicles.iter().find(is_connected);
    let vehicle = connected.ok_or("no vehicle is connected")?;
    let vehicle_id = text(vehicle, "vehicle_id")?;

    print_step(&format!("sending ReadDTC to {}", text(vehicle, "vin")?));
    let submitted = Instant::now();
    let submission = json!({
        "vehicle_id": vehicle_id,
        "command_name": "ReadDTC",
        "command_params": { "ecuAddress": "0x10" },
    });
    let command = engineer.post("/api/v1/commands", &submission).await?;
    let command_id = text(&command, "command_id")?;

    print_step("following the responses");
    let mut last = String::new();
    let print_event = |event: &str| {
        let elapsed = submitted.elapsed().as_millis();
        print(&format!("  after {elapsed:>5} ms  {event}"));
        event.clone_into(&mut last);
    };
    let stream = text(&command, "stream_url")?;
    engineer.follow(&stream, print_event).await?;
    let last: Value = serde_json::from_str(&last)?;
    if last.get("status").and_then(Value::as_str) != Some("completed") {
        return Err("the command did not complete".into());
    }

    print_step("reading the stored command");
    let path = format!("/api/v1/commands/{command_id}");
    let stored = engineer.get(&path).await?;
    let responses = engineer.get(&format!("{path}/responses")).await?;
    let status = text(&stored, "status")?;
    let count = responses.as_array().map_or(0, Vec::len);
    print(&format!("  {command_id}  {status}, {count} response(s)"));
    if status != "completed" || count == 0 {
        return Err("the stored command is incomplete".into());
    }

    print_step("listing the anomalies that were detected in the trouble codes");
    for anomaly in &open_anomalies(&engineer, &vehicle_id).await? {
        print(&describe_anomaly(anomaly)?);
    }
    Ok(vehicle_id)
}

/// Returns the open anomalies that were detected in responses, including those of an earlier run: a trouble
/// code has one open anomaly at most. Detection starts when the command completes.
async fn open_anomalies(
    engineer: &Engineer,
    vehicle_id: &str,
) -> Result<Vec<Value>, Box<dyn Error>> {
    let path = format!("/api/v1/vehicles/{vehicle_id}/anomalies");
    let deadline = Instant::now() + TIMEOUT;
    loop {
        let anomalies = engineer.get(&path).await?;
        let anomalies = anomalies.as_array().ok_or("the anomalies are not a list")?;
        let is_open = |one: &&Value| !one["source"].is_null() && one["outcome"].is_null();
        let open: Vec<Value> = anomalies.iter().filter(is_open).cloned().collect();
        if !open.is_empty() {
            return Ok(open);
        }
        if Instant::now() > deadline {
            return Err("no anomaly was detected".into());
        }
        sleep(POLL_INTERVAL).await;
    }
}

fn describe_anomaly(anomaly: &Value) -> Result<String, Box<dyn Error>> {
    let source = &anomaly["source"];
    Ok(format!(
        "  {:<8}  {:<8}  {}, {}",
        text(source, "dtc_code")?,
        text(anomaly, "severity")?,
        text(anomaly, "anomaly_type")?,
        text(anomaly, "component_name")?,
    ))
}

fn describe_vehicle(vehicle: &Value) -> Result<String, Box<dyn Error>> {
    Ok(format!(
        "  {:<17}  {} {} {}, {}",
        text(vehicle, "vin")?,
        text(vehicle, "make")?,
        text(vehicle, "model")?,
        vehicle["year"],
        text(vehicle, "connection_status")?,
    ))
}
