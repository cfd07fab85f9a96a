use std::time::Duration;

use sovd_events::{BusError, CommandSignal, EventBus, RedisBus, Subscription};
use tokio::time::timeout;

use super::server::Server;
use crate::subscription::{DEADLINE, command, event, next, next_event, watch};

/// How long an outage may block a publisher.
const TIMEOUT: Duration = Duration::from_secs(2);

async fn assert_unavailable(bus: &RedisBus) {
    let event = event(command(1), 9);
    let published = timeout(TIMEOUT, bus.publish(&event)).await.unwrap();
    let pinged = timeout(TIMEOUT, bus.ping()).await.unwrap();
    for outcome in [published, pinged] {
        assert!(
            matches!(outcome, Err(BusError::Unavailable(_))),
            "{outcome:?}"
        );
    }
}

/// Waits until the bus is connected, or is not.
async fn wait_for_connection(bus: &RedisBus, expected: bool) {
    let mut connected = bus.connected();
    let change = connected.wait_for(|connected| *connected == expected);
    timeout(DEADLINE, change).await.unwrap().unwrap();
}

async fn wait_for_reread(subscription: &mut Subscription) {
    let reread = async { while subscription.next().await != CommandSignal::Reread {} };
    timeout(DEADLINE, reread).await.unwrap();
}

/// Starts a server and a bus with a subscription whose signals have been received.
async fn subscribed() -> (Server, RedisBus, Subscription) {
    let server = Server::start();
    let bus = server.bus();
    let mut subscription = watch(&bus, command(1)).await;
    bus.publish(&event(command(1), 1)).await.unwrap();
    assert_eq!(*next_event(&mut subscription).await, event(command(1), 1));
    (server, bus, subscription)
}

#[tokio::test]
async fn reports_and_survives_an_outage() {
    let (server, bus, mut subscription) = subscribed().await;
    server.redis.stop().unwrap();
    wait_for_connection(&bus, false).await;
    assert_unavailable(&bus).await;
    let mut made_during_outage = bus.subscribe(command(2));
    server.redis.start_again().unwrap();
    server.wait_for_subscribers(command(1), 1).await;
    server.wait_for_subscribers(command(2), 1).await;
    wait_for_reread(&mut subscription).await;
    wait_for_reread(&mut made_during_outage).await;
    for (id, subscription) in [(1, &mut subscription), (2, &mut made_during_outage)] {
        bus.publish(&event(command(id), 2)).await.unwrap();
        assert_eq!(*next_event(subscription).await, event(command(id), 2));
    }
    bus.ping().await.unwrap();
}

#[tokio::test]
async fn does_not_restore_a_subscription_dropped_during_an_outage() {
    let (server, bus, subscription) = subscribed().await;
    let _remaining = watch(&bus, command(2)).await;
    server.redis.stop().unwrap();
    wait_for_connection(&bus, false).await;
    drop(subscription);
    server.redis.start_again().unwrap();
    server.wait_for_subscribers(command(2), 1).await;
    server.wait_for_subscribers(command(1), 0).await;
    let calls = server.calls("subscribe").await;
    assert_eq!(calls, 2, "the remaining command, and the common channels");
}

#[tokio::test]
async fn connects_to_a_redis_that_starts_later() {
    let server = Server::start();
    server.redis.stop().unwrap();
    let bus = server.bus();
    let mut subscription = bus.subscribe(command(1));
    assert!(!*bus.connected().borrow());
    assert_unavailable(&bus).await;
    server.redis.start_again().unwrap();
    wait_for_connection(&bus, true).await;
    wait_for_reread(&mut subscription).await;
    bus.publish(&event(command(1), 1)).await.unwrap();
    assert_eq!(*next_event(&mut subscription).await, event(command(1), 1));
}

#[tokio::test]
async fn replaces_a_killed_subscribing_connection() {
    let (server, bus, mut subscription) = subscribed().await;
    let killed: i64 = server.ask(&["CLIENT", "KILL", "TYPE", "pubsub"]).await;
    assert_eq!(killed, 1);
    // Sent when the new subscription is confirmed.
    assert_eq!(next(&mut subscription).await, CommandSignal::Reread);
    bus.publish(&event(command(1), 2)).await.unwrap();
    let heard = next(&mut subscription).await;
    assert_eq!(heard, CommandSignal::Event(event(command(1), 2).into()));
}

#[tokio::test]
async fn replaces_killed_publishing_connections() {
    let (server, bus, mut subscription) = subscribed().await;
    for number in 2..=5 {
        let _: i64 = server
            .ask(&["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"])
            .await;
        bus.publish(&event(command(1), number)).await.unwrap();
        let heard = next(&mut subscription).await;
        assert_eq!(
            heard,
            CommandSignal::Event(event(command(1), number).into())
        );
    }
}

#[tokio::test]
async fn does_not_block_publishers_on_a_frozen_redis() {
    let (server, bus, mut subscription) = subscribed().await;
    server.redis.pause().unwrap();
    assert_unavailable(&bus).await;
    server.redis.resume().unwrap();
    bus.publish(&event(command(1), 2)).await.unwrap();
    let heard = next_event(&mut subscription).await;
    // The event published during the freeze may be delivered after it.
    if heard != event(command(1), 9).into() {
        assert_eq!(*heard, event(command(1), 2));
    }
}

/// Takes two heartbeats, which are the only way to detect a silent connection.
#[tokio::test]
async fn replaces_a_silent_subscribing_connection() {
    let (server, bus, mut subscription) = subscribed().await;
    server.redis.pause().unwrap();
    wait_for_connection(&bus, false).await;
    server.redis.resume().unwrap();
    server.wait_for_subscribers(command(1), 1).await;
    wait_for_reread(&mut subscription).await;
    bus.publish(&event(command(1), 2)).await.unwrap();
    assert_eq!(*next_event(&mut subscription).await, event(command(1), 2));
}

#[tokio::test]
async fn discards_subscriptions_made_and_dropped_during_an_outage() {
    let server = Server::start();
    server.redis.stop().unwrap();
    let bus = server.bus();
    for number in 1..=100 {
        drop(bus.subscribe(command(number)));
    }
    assert_eq!(bus.subscribed_commands(), []);
    let remaining = bus.subscribe(command(7));
    assert_eq!(bus.subscribed_commands(), [command(7)]);
    server.redis.start_again().unwrap();
    server.wait_for_subscribers(command(7), 1).await;
    server.wait_for_subscribers(command(8), 0).await;
    drop(remaining);
}
