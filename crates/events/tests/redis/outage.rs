use std::time::Duration;

use sovd_events::{BusError, EventBus, RedisBus, Signal, Subscription};
use tokio::time::timeout;

use crate::{
    server::Server,
    signals::{DEADLINE, command, event, next, next_event, watch},
};

/// How long an outage may hold up whoever publishes.
const PATIENCE: Duration = Duration::from_secs(2);

async fn assert_unavailable(bus: &RedisBus) {
    let event = event(command(1), 9);
    let published = timeout(PATIENCE, bus.publish(&event)).await.unwrap();
    let pinged = timeout(PATIENCE, bus.ping()).await.unwrap();
    for outcome in [published, pinged] {
        assert!(
            matches!(outcome, Err(BusError::Unavailable(_))),
            "{outcome:?}"
        );
    }
}

/// Waits until the bus hears others, or does not.
async fn hears(bus: &RedisBus, expected: bool) {
    let mut hears = bus.hears();
    let waiting = hears.wait_for(|hears| *hears == expected);
    timeout(DEADLINE, waiting).await.unwrap().unwrap();
}

async fn wait_for_reread(subscription: &mut Subscription) {
    let waiting = async { while subscription.next().await != Signal::Reread {} };
    timeout(DEADLINE, waiting).await.unwrap();
}

/// A server, a bus and a subscription that has nothing left to say.
async fn watching() -> (Server, RedisBus, Subscription) {
    let server = Server::start();
    let bus = server.bus();
    let mut subscription = watch(&bus, command(1)).await;
    bus.publish(&event(command(1), 1)).await.unwrap();
    assert_eq!(*next_event(&mut subscription).await, event(command(1), 1));
    (server, bus, subscription)
}

#[tokio::test]
async fn an_outage_is_reported_and_survived() {
    let (server, bus, mut subscription) = watching().await;
    server.redis.stop().unwrap();
    hears(&bus, false).await;
    assert_unavailable(&bus).await;
    let mut made_meanwhile = bus.subscribe(command(2));
    server.redis.start_again().unwrap();
    server.wait_for_subscribers(command(1), 1).await;
    server.wait_for_subscribers(command(2), 1).await;
    wait_for_reread(&mut subscription).await;
    wait_for_reread(&mut made_meanwhile).await;
    for (id, subscription) in [(1, &mut subscription), (2, &mut made_meanwhile)] {
        bus.publish(&event(command(id), 2)).await.unwrap();
        assert_eq!(*next_event(subscription).await, event(command(id), 2));
    }
    bus.ping().await.unwrap();
}

#[tokio::test]
async fn whoever_left_during_an_outage_is_not_subscribed_after_it() {
    let (server, bus, subscription) = watching().await;
    let _stays = watch(&bus, command(2)).await;
    server.redis.stop().unwrap();
    hears(&bus, false).await;
    drop(subscription);
    server.redis.start_again().unwrap();
    server.wait_for_subscribers(command(2), 1).await;
    server.wait_for_subscribers(command(1), 0).await;
    let calls = server.calls("subscribe").await;
    assert_eq!(calls, 2, "the one that stays, and the news");
}

#[tokio::test]
async fn a_program_may_start_before_its_redis() {
    let server = Server::start();
    server.redis.stop().unwrap();
    let bus = server.bus();
    let mut subscription = bus.subscribe(command(1));
    assert!(!*bus.hears().borrow());
    assert_unavailable(&bus).await;
    server.redis.start_again().unwrap();
    hears(&bus, true).await;
    wait_for_reread(&mut subscription).await;
    bus.publish(&event(command(1), 1)).await.unwrap();
    assert_eq!(*next_event(&mut subscription).await, event(command(1), 1));
}

#[tokio::test]
async fn a_killed_subscribing_connection_is_replaced() {
    let (server, bus, mut subscription) = watching().await;
    let killed: i64 = server.ask(&["CLIENT", "KILL", "TYPE", "pubsub"]).await;
    assert_eq!(killed, 1);
    // It comes when the new subscription is confirmed.
    assert_eq!(next(&mut subscription).await, Signal::Reread);
    bus.publish(&event(command(1), 2)).await.unwrap();
    let heard = next(&mut subscription).await;
    assert_eq!(heard, Signal::Event(event(command(1), 2).into()));
}

#[tokio::test]
async fn killed_publishing_connections_are_replaced() {
    let (server, bus, mut subscription) = watching().await;
    for number in 2..=5 {
        let _: i64 = server
            .ask(&["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"])
            .await;
        bus.publish(&event(command(1), number)).await.unwrap();
        let heard = next(&mut subscription).await;
        assert_eq!(heard, Signal::Event(event(command(1), number).into()));
    }
}

#[tokio::test]
async fn a_frozen_redis_holds_nobody_up() {
    let (server, bus, mut subscription) = watching().await;
    server.redis.pause().unwrap();
    assert_unavailable(&bus).await;
    server.redis.resume().unwrap();
    bus.publish(&event(command(1), 2)).await.unwrap();
    let heard = next_event(&mut subscription).await;
    // What was published in the pause may have waited for the end of it.
    if heard != event(command(1), 9).into() {
        assert_eq!(*heard, event(command(1), 2));
    }
}

/// Takes as long as two heartbeats: a connection that says nothing is found by them only.
#[tokio::test]
async fn a_silent_subscribing_connection_is_given_up() {
    let (server, bus, mut subscription) = watching().await;
    server.redis.pause().unwrap();
    hears(&bus, false).await;
    server.redis.resume().unwrap();
    server.wait_for_subscribers(command(1), 1).await;
    wait_for_reread(&mut subscription).await;
    bus.publish(&event(command(1), 2)).await.unwrap();
    assert_eq!(*next_event(&mut subscription).await, event(command(1), 2));
}

#[tokio::test]
async fn whoever_comes_and_goes_during_an_outage_leaves_nothing() {
    let server = Server::start();
    server.redis.stop().unwrap();
    let bus = server.bus();
    for number in 1..=100 {
        drop(bus.subscribe(command(number)));
    }
    assert_eq!(bus.watched(), []);
    let stays = bus.subscribe(command(7));
    assert_eq!(bus.watched(), [command(7)]);
    server.redis.start_again().unwrap();
    server.wait_for_subscribers(command(7), 1).await;
    server.wait_for_subscribers(command(8), 0).await;
    drop(stays);
}
