//! Several servers at one database: what becomes of the commands of one that dies, and what the
//! servers tell each other while they live.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod aftermath;
mod client;
mod fleet;
mod server;

use std::time::Duration;

use aftermath::Ended;
use client::{Client, Order};
use fleet::Fleet;
use futures_util::{StreamExt, stream};
use server::{PATIENCE, Running};
use tokio::time::Instant;

/// More than fill the places of both servers.
const COMMANDS: i64 = 500;
/// Commands that one server carries out at a time.
const PLACES: u32 = 150;
/// Commands that a server leaves behind at least when it dies.
const LEFT_BEHIND: u32 = 50;

const LEASE: Duration = Duration::from_secs(5);
/// From the death of a server to the end of its last command.
const RECOVERY: Duration = LEASE.saturating_add(Duration::from_secs(5));

/// Longer than a test waits for anything: what happens earlier was announced.
const SWEEP: Duration = Duration::from_mins(1);

const HAVE_ENDED: &str = "SELECT count(*) FROM commands WHERE status IN ('completed', 'failed')";
const IN_QUEUE: &str = "SELECT count(*) FROM command_queue";

#[tokio::test]
async fn a_killed_server_loses_no_command_and_clears_no_fault_twice() {
    let fleet = Fleet::new().await;
    let mut command = fleet.server();
    // A clearing waits for nine chunks. One that begins anew when the lease is over must still end
    // in time. The machine may be too slow for so many commands at once: then they wait for the
    // database instead of being turned away.
    let command = command
        .env("SOVD__CONNECTOR__MOCK__MIN_DELAY_MS", "100")
        .env("SOVD__CONNECTOR__MOCK__MAX_DELAY_MS", "300")
        .env("SOVD__DISPATCH__CONCURRENCY", PLACES.to_string())
        .env("SOVD__DISPATCH__LEASE_SECONDS", LEASE.as_secs().to_string())
        .env("SOVD__DISPATCH__SWEEP_MS", "200")
        .env("SOVD__DATABASE__POOL_SIZE", "20")
        .env("SOVD__DATABASE__POOL_OVERFLOW", "10")
        .env("SOVD__DATABASE__CHECKOUT_TIMEOUT_MS", "20000");
    let mut servers = vec![Running::start(command).await, Running::start(command).await];
    let engineer = Client::log_in(&servers[0].address).await;
    let clients = [engineer.clone(), engineer.at(&servers[1].address)];

    // The vehicles come when there are commands enough for all places, and the kill comes before
    // too many have ended: how many are under way must not depend on how fast this machine is.
    let vehicles = fleet.vehicles(COMMANDS).await;
    let names = ["ReadDTC", "ClearDTC", "ReadDataByID"].into_iter().cycle();
    let orders: Vec<Order> = vehicles
        .iter()
        .zip(names)
        .map(|(vehicle_id, name)| Order::new(vehicle_id, name))
        .collect();
    let (first, more) = orders.split_at(2 * usize::try_from(PLACES).unwrap());
    submit(first, &clients).await;
    fleet.connect().await;

    let chance = getrandom::u32().unwrap();
    let enough = i64::from(30 + chance % (PLACES - LEFT_BEHIND - 29));
    let victim = usize::from(chance >> 31 == 1);
    println!("server {victim} is killed when {enough} of {COMMANDS} commands have ended");
    let killing = async {
        let deadline = Instant::now() + PATIENCE;
        fleet
            .until(HAVE_ENDED, |count| count >= enough, deadline)
            .await;
        let killed_at = Instant::now();
        let victim = servers.swap_remove(victim);
        victim.signal("KILL").await;
        let (code, log) = victim.ended().await;
        assert_eq!(code, None, "it ended by itself: {log}");
        killed_at
    };
    let (killed_at, ()) = tokio::join!(killing, submit(more, &clients));
    let deadline = killed_at + RECOVERY;
    fleet
        .until(HAVE_ENDED, |count| count == COMMANDS, deadline)
        .await;
    let recovery = killed_at.elapsed();

    // What is left are looks at the vehicles of which nobody knows whether they were cleared.
    let deadline = Instant::now() + PATIENCE;
    fleet.until(IN_QUEUE, |count| count == 0, deadline).await;
    let commands = aftermath::commands(&fleet).await;
    let count = |is_such: fn(&Ended) -> bool| {
        let such = commands.iter().filter(|ended| is_such(ended));
        u32::try_from(such.count()).unwrap()
    };
    let (left, again, unknown) = (
        count(Ended::was_left_behind),
        count(Ended::was_sent_again),
        count(Ended::is_unknown),
    );
    println!("{left} were left behind, {again} sent again, {unknown} unknown; {recovery:?}");
    assert_eq!(commands.len(), orders.len());
    commands.iter().for_each(Ended::check);
    assert!(
        left >= LEFT_BEHIND && again > 0 && unknown > 0,
        "a death that hits nothing shows nothing"
    );

    let survivor = servers.pop().unwrap();
    let engineer = engineer.at(&survivor.address);
    read(&engineer, &vehicles[0]).await;
    survivor.signal("TERM").await;
    let (code, log) = survivor.ended().await;
    assert_eq!(code, Some(0), "{log}");
}

#[tokio::test]
async fn servers_tell_each_other_what_to_do_and_what_they_did() {
    let fleet = Fleet::new().await;
    let vehicles = fleet.vehicles(1).await;
    fleet.connect().await;
    // Nobody looks for work in time, no lease ends, and who does not let go blocks the only place.
    let mut command = fleet.server();
    let command = command
        .env("SOVD__CONNECTOR__MOCK__MIN_DELAY_MS", "50")
        .env("SOVD__CONNECTOR__MOCK__MAX_DELAY_MS", "50")
        .env("SOVD__CONNECTOR__MOCK__HANG", "true")
        .env("SOVD__CONNECTOR__MOCK__ONLY", "ReadDataByID")
        .env("SOVD__DISPATCH__CONCURRENCY", "1")
        .env("SOVD__DISPATCH__LEASE_SECONDS", "3600")
        .env("SOVD__DISPATCH__SWEEP_MS", SWEEP.as_millis().to_string());
    let begun = Instant::now();
    let _dispatcher = Running::start(command).await;
    let server = Running::start(command.env("SOVD__DISPATCH__ENABLED", "false")).await;
    let engineer = Client::log_in(&server.address).await;

    // The first one may be found by the look that a dispatcher takes at its start.
    for _ in 0..3 {
        read(&engineer, &vehicles[0]).await;
    }

    let hanging = Order::new(&vehicles[0], "ReadDataByID");
    let command_id = engineer.submit(&hanging).await.unwrap();
    let mut watch = engineer.watch(&command_id).await;
    assert_eq!(watch.next().await.unwrap()["status"], "in_progress");
    let cancelled = engineer.cancel(&command_id).await;
    assert_eq!(cancelled["status"], "failed");
    assert_eq!(cancelled["failure_kind"], "cancelled");
    let events = watch.rest().await;
    assert_eq!(events.len(), 1, "{events:?}");
    assert_eq!(events[0]["failure_kind"], "cancelled");

    read(&engineer, &vehicles[0]).await;
    assert!(begun.elapsed() < SWEEP);
}

#[tokio::test]
async fn a_follower_that_reads_nothing_for_30_s_costs_the_others_nothing() {
    let fleet = Fleet::new().await;
    let vehicles = fleet.vehicles(1).await;
    let server = Running::start(&mut fleet.server()).await;
    let engineer = Client::log_in(&server.address).await;
    let order = Order::new(&vehicles[0], "ReadDTC");
    let command_id = engineer.submit(&order).await.unwrap();
    // 20 MB: far more than what lies in the sockets of the two ends.
    let answer = format!(
        "INSERT INTO responses (command_id, response_payload, sequence_number, is_final)
         SELECT '{command_id}', jsonb_build_object('blob', repeat('x', 100000)), n, n = 200
         FROM generate_series(1, 200) n;
         UPDATE commands SET status = 'completed', started_at = now(), completed_at = now();
         DELETE FROM command_queue"
    );
    fleet.sql.batch_execute(&answer).await.unwrap();
    // In progress, 200 parts, completed.
    let whole = engineer.watch(&command_id).await.rest().await.len();
    assert_eq!(whole, 202);

    let before = memory(&server);
    let lazy = engineer.watch(&command_id).await;
    let end = Instant::now() + Duration::from_secs(30);
    while Instant::now() < end {
        assert_eq!(engineer.watch(&command_id).await.rest().await.len(), whole);
    }
    let grown = memory(&server).saturating_sub(before);
    println!("{} MiB more", grown >> 20);
    assert!(grown < 64 << 20, "{grown} bytes more");
    assert_eq!(lazy.rest().await.len(), whole);
}

/// The resident memory of a server in bytes.
fn memory(server: &Running) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", server.id())).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:"));
    let kib: u64 = line
        .unwrap()
        .split_whitespace()
        .nth(1)
        .unwrap()
        .parse()
        .unwrap();
    kib << 10
}

/// Sends every command to one of the servers in turn. Who gets no answer asks the other one.
async fn submit(orders: &[Order], [one, other]: &[Client; 2]) {
    let turns = [(one, other), (other, one)].into_iter().cycle();
    stream::iter(orders.iter().zip(turns))
        .for_each_concurrent(16, async |(order, (first, second))| {
            if first.submit(order).await.is_err() {
                second.submit(order).await.unwrap();
            }
        })
        .await;
}

/// Reads the faults of a vehicle, and sees the whole answer on the way.
async fn read(engineer: &Client, vehicle_id: &str) {
    let order = Order::new(vehicle_id, "ReadDTC");
    let command_id = engineer.submit(&order).await.unwrap();
    let events = engineer.watch(&command_id).await.rest().await;
    let numbers: Vec<_> = events
        .iter()
        .filter_map(|event| event["sequence_number"].as_i64())
        .collect();
    assert_eq!(numbers, [1, 2, 3], "{events:?}");
    assert_eq!(events.last().unwrap()["status"], "completed");
}
