//! Several servers with one database: recovery after a crash, and cooperation.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod client;
mod server;
mod state_after_crash;
mod test_vehicles;

use std::time::Duration;

use client::{Client, Order};
use futures_util::{StreamExt, future::join_all, stream};
use server::Running;
use sovd_devstack::{TIMEOUT, wait_for_blocked};
use state_after_crash::EndedCommand;
use test_vehicles::Fleet;
use tokio::time::Instant;

/// More than both servers execute at a time.
const COMMANDS: i64 = 500;
/// Commands that one server executes at a time.
const CONCURRENCY: u32 = 150;
/// The minimum number of commands that the killed server abandons.
const ABANDONED: u32 = 50;

const LEASE: Duration = Duration::from_secs(5);
/// The time limit from the crash of a server to the end of its last command.
const RECOVERY: Duration = LEASE.saturating_add(Duration::from_secs(5));

/// Longer than any wait of a test, so that earlier work must have been notified.
const SWEEP: Duration = Duration::from_mins(1);

const HAVE_ENDED: &str = "SELECT count(*) FROM commands WHERE status IN ('completed', 'failed')";
const IN_QUEUE: &str = "SELECT count(*) FROM command_queue";

#[tokio::test]
async fn a_killed_server_loses_no_command_and_clears_no_fault_twice() {
    let fleet = Fleet::new().await;
    let mut command = fleet.server();
    // A clear waits for nine chunks. One that restarts after its lease expired must still end in time. On a
    // slow machine, commands wait for the database instead of failing.
    let command = command
        .env("SOVD__CONNECTOR__MOCK__MIN_DELAY_MS", "100")
        .env("SOVD__CONNECTOR__MOCK__MAX_DELAY_MS", "300")
        .env("SOVD__DISPATCH__CONCURRENCY", CONCURRENCY.to_string())
        .env("SOVD__DISPATCH__LEASE_SECONDS", LEASE.as_secs().to_string())
        .env("SOVD__DISPATCH__SWEEP_MS", "200")
        .env("SOVD__DATABASE__POOL_SIZE", "20")
        .env("SOVD__DATABASE__POOL_OVERFLOW", "10")
        .env("SOVD__DATABASE__CHECKOUT_TIMEOUT_MS", "20000");
    let mut servers = vec![Running::start(command).await, Running::start(command).await];
    let engineer = Client::log_in(&servers[0].address).await;
    let clients = [engineer.clone(), engineer.at(&servers[1].address)];

    // The vehicles connect when both servers have enough commands, and the kill happens before too many
    // have ended, so that the number of running commands does not depend on the speed of the machine.
    let vehicles = fleet.vehicles(COMMANDS).await;
    let names = ["ReadDTC", "ClearDTC", "ReadDataByID"].into_iter().cycle();
    let orders: Vec<Order> = vehicles
        .iter()
        .zip(names)
        .map(|(vehicle_id, name)| Order::new(vehicle_id, name))
        .collect();
    let (first, more) = orders.split_at(2 * usize::try_from(CONCURRENCY).unwrap());
    submit(first, &clients).await;
    fleet.connect().await;

    let random = getrandom::u32().unwrap();
    let enough = i64::from(30 + random % (CONCURRENCY - ABANDONED - 29));
    let victim = usize::from(random >> 31 == 1);
    println!("server {victim} is killed when {enough} of {COMMANDS} commands have ended");
    let kill = async {
        let deadline = Instant::now() + TIMEOUT;
        fleet
            .wait_until(HAVE_ENDED, |count| count >= enough, deadline)
            .await;
        let killed_at = Instant::now();
        let victim = servers.swap_remove(victim);
        victim.signal("KILL").await;
        let (code, log) = victim.ended().await;
        assert_eq!(code, None, "it ended by itself: {log}");
        killed_at
    };
    let (killed_at, ()) = tokio::join!(kill, submit(more, &clients));
    let deadline = killed_at + RECOVERY;
    fleet
        .wait_until(HAVE_ENDED, |count| count == COMMANDS, deadline)
        .await;
    let recovery = killed_at.elapsed();

    // The remaining queue entries are probes of clears with an unknown outcome.
    let deadline = Instant::now() + TIMEOUT;
    fleet
        .wait_until(IN_QUEUE, |count| count == 0, deadline)
        .await;
    let commands = state_after_crash::commands(&fleet).await;
    let count = |condition: fn(&EndedCommand) -> bool| {
        let matching = commands.iter().filter(|ended| condition(ended));
        u32::try_from(matching.count()).unwrap()
    };
    let (taken_over, again, unknown) = (
        count(EndedCommand::was_taken_over),
        count(EndedCommand::was_sent_again),
        count(EndedCommand::is_unknown),
    );
    println!("{taken_over} were taken over, {again} sent again, {unknown} unknown; {recovery:?}");
    assert_eq!(commands.len(), orders.len());
    commands.iter().for_each(EndedCommand::check);
    assert!(
        taken_over >= ABANDONED && again > 0 && unknown > 0,
        "the crash did not affect enough commands"
    );

    let survivor = servers.pop().unwrap();
    let engineer = engineer.at(&survivor.address);
    read(&engineer, &vehicles[0]).await;
    survivor.signal("TERM").await;
    let (code, log) = survivor.ended().await;
    assert_eq!(code, Some(0), "{log}");
}

#[tokio::test]
async fn a_batch_of_a_killed_server_leaves_nothing_and_can_be_submitted_again() {
    let fleet = Fleet::new().await;
    let vehicles = fleet.vehicles(32).await;
    let server = Running::start(&mut fleet.server()).await;
    let engineer = Client::log_in(&server.address).await;
    // The first insertion of a batch waits for the lock that the test holds.
    let stall = "CREATE FUNCTION stall() RETURNS trigger LANGUAGE plpgsql AS
                     $$ BEGIN PERFORM pg_advisory_xact_lock(1); RETURN NEW; END $$;
                 CREATE TRIGGER stall BEFORE INSERT ON commands FOR EACH ROW EXECUTE FUNCTION stall();
                 SELECT pg_advisory_lock(1)";
    fleet.sql.batch_execute(stall).await.unwrap();
    let orders: Vec<Order> = vehicles
        .iter()
        .map(|vehicle_id| Order::new(vehicle_id, "ReadDTC"))
        .collect();
    let submitting = join_all(orders.iter().map(|order| engineer.submit(order)));
    let killing = async {
        wait_for_blocked(&fleet.sql, 1).await;
        server.signal("KILL").await;
    };
    let (submitted, ()) = tokio::join!(submitting, killing);
    assert!(submitted.iter().all(Result::is_err), "{submitted:?}");
    server.ended().await;
    let unstall = "SELECT pg_advisory_unlock(1); DROP TRIGGER stall ON commands";
    fleet.sql.batch_execute(unstall).await.unwrap();
    for table in ["commands", "command_queue", "idempotency_keys"] {
        let sql = format!("SELECT count(*) FROM {table}");
        let row = fleet.sql.query_one(&sql, &[]).await.unwrap();
        assert_eq!(row.get::<_, i64>(0), 0, "{table}");
    }

    let server = Running::start(&mut fleet.server()).await;
    let engineer = engineer.at(&server.address);
    for order in &orders {
        engineer.submit(order).await.unwrap();
    }
}

#[tokio::test]
async fn servers_notify_each_other_of_work_cancellation_and_events() {
    let fleet = Fleet::new().await;
    let vehicles = fleet.vehicles(1).await;
    fleet.connect().await;
    // No sweep and no lease expiry occurs in time, and an unreleased command blocks the only slot.
    let mut command = fleet.server();
    let command = command
        .env("SOVD__CONNECTOR__MOCK__MIN_DELAY_MS", "50")
        .env("SOVD__CONNECTOR__MOCK__MAX_DELAY_MS", "50")
        .env("SOVD__CONNECTOR__MOCK__HANG", "true")
        .env("SOVD__CONNECTOR__MOCK__ONLY", "ReadDataByID")
        .env("SOVD__DISPATCH__CONCURRENCY", "1")
        .env("SOVD__DISPATCH__LEASE_SECONDS", "3600")
        .env("SOVD__DISPATCH__SWEEP_MS", SWEEP.as_millis().to_string());
    let started = Instant::now();
    let _dispatcher = Running::start(command).await;
    let server = Running::start(command.env("SOVD__DISPATCH__ENABLED", "false")).await;
    let engineer = Client::log_in(&server.address).await;

    // The first command may be found by the initial sweep of the dispatcher.
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
    assert!(started.elapsed() < SWEEP);
}

#[tokio::test]
async fn a_follower_that_reads_nothing_does_not_affect_others() {
    let fleet = Fleet::new().await;
    let vehicles = fleet.vehicles(1).await;
    let server = Running::start(&mut fleet.server()).await;
    let engineer = Client::log_in(&server.address).await;
    let order = Order::new(&vehicles[0], "ReadDTC");
    let command_id = engineer.submit(&order).await.unwrap();
    // 20 MB, far more than the socket buffers of both sides.
    let responses = format!(
        "INSERT INTO responses (command_id, response_payload, sequence_number, is_final)
         SELECT '{command_id}', jsonb_build_object('blob', repeat('x', 100000)), n, n = 200
         FROM generate_series(1, 200) n;
         UPDATE commands SET status = 'completed', started_at = now(), completed_at = now();
         DELETE FROM command_queue"
    );
    fleet.sql.batch_execute(&responses).await.unwrap();
    // In progress, 200 chunks, completed.
    let whole = engineer.watch(&command_id).await.rest().await.len();
    assert_eq!(whole, 202);

    let before = server.resident();
    let idle = engineer.watch(&command_id).await;
    // Below `server.response_write_seconds`, after which the server closes a connection that reads nothing.
    let end = Instant::now() + Duration::from_secs(20);
    while Instant::now() < end {
        assert_eq!(engineer.watch(&command_id).await.rest().await.len(), whole);
    }
    let grown = server.resident().saturating_sub(before);
    println!("{} MiB more", grown >> 10);
    assert!(grown < 64 << 10, "{grown} KiB more");
    assert_eq!(idle.rest().await.len(), whole);
}

/// Submits the commands to both servers alternately. If a server does not respond, uses the other one.
async fn submit(orders: &[Order], [one, other]: &[Client; 2]) {
    let servers = [(one, other), (other, one)].into_iter().cycle();
    stream::iter(orders.iter().zip(servers))
        .for_each_concurrent(16, async |(order, (first, second))| {
            if first.submit(order).await.is_err() {
                second.submit(order).await.unwrap();
            }
        })
        .await;
}

/// Reads the faults of a vehicle and checks the events of the command.
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
