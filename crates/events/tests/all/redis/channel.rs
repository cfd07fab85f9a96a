use futures_util::StreamExt;
use serde_json::Value;
use sovd_domain::StreamEvent;
use sovd_events::{
    BusError, CommandSignal, EventBus, Hint, RedisCertificates, RedisServer, Subscription,
};
use tokio::time::timeout;

use super::server::Server;
use crate::subscription::{DEADLINE, command, event, next, next_event, watch};

/// Returns the next hint that is not a probe, skipping other signals.
async fn next_hint(subscription: &mut Subscription) -> Hint {
    loop {
        if let CommandSignal::Hint(hint) = next(subscription).await
            && hint != Hint::Response(0)
        {
            return hint;
        }
    }
}

#[tokio::test]
async fn requests_a_reread_when_a_subscription_is_confirmed() {
    let server = Server::start();
    let bus = server.bus();
    let mut subscription = bus.subscribe(command(1));
    assert_eq!(next(&mut subscription).await, CommandSignal::Reread);
    assert_eq!(server.subscribers(command(1)).await, 1);
    bus.publish(&event(command(1), 1)).await.unwrap();
    let heard = next(&mut subscription).await;
    assert_eq!(heard, CommandSignal::Event(event(command(1), 1).into()));
}

#[tokio::test]
async fn sends_hints_to_other_processes() {
    let server = Server::start();
    let (here, there) = (server.bus(), server.bus());
    let mut own = watch(&here, command(1)).await;
    let mut other = watch(&there, command(1)).await;
    server.wait_for_subscribers(command(1), 2).await;
    here.publish(&event(command(1), 1)).await.unwrap();
    assert_eq!(*next_event(&mut own).await, event(command(1), 1));
    assert_eq!(next_hint(&mut other).await, Hint::Response(1));
    there.publish(&event(command(1), 2)).await.unwrap();
    assert_eq!(*next_event(&mut other).await, event(command(1), 2));
    assert_eq!(next_hint(&mut own).await, Hint::Response(2));
}

#[tokio::test]
async fn publishes_the_event_on_the_documented_channel() {
    let server = Server::start();
    let bus = server.bus();
    let mut exact = server.client().get_async_pubsub().await.unwrap();
    let channel = "response:00000000-0000-0000-0000-000000000001";
    exact.subscribe(channel).await.unwrap();
    let mut pattern = server.client().get_async_pubsub().await.unwrap();
    pattern.psubscribe("response:*").await.unwrap();
    let event = event(command(1), 3);
    bus.publish(&event).await.unwrap();
    for reader in [&mut exact, &mut pattern] {
        let mut messages = reader.on_message();
        let message = timeout(DEADLINE, messages.next()).await.unwrap().unwrap();
        assert_eq!(message.get_channel_name(), channel);
        let payload: Value = serde_json::from_slice(message.get_payload_bytes()).unwrap();
        assert_eq!(payload, serde_json::to_value(&event).unwrap());
    }
}

#[tokio::test]
async fn treats_a_message_of_another_program_as_a_hint() {
    let server = Server::start();
    let bus = server.bus();
    let mut subscription = watch(&bus, command(1)).await;
    server.wait_for_subscribers(command(1), 1).await;
    let json = serde_json::to_string(&event(command(2), 7)).unwrap();
    let channel = format!("response:{}", command(1));
    let _: i64 = server.ask(&["PUBLISH", &channel, &json]).await;
    assert_eq!(next_hint(&mut subscription).await, Hint::Response(7));
}

#[tokio::test]
async fn ignores_invalid_messages() {
    let server = Server::start();
    let bus = server.bus();
    let mut subscription = watch(&bus, command(1)).await;
    server.wait_for_subscribers(command(1), 1).await;
    let channel = format!("response:{}", command(1));
    for garbage in ["", "{", "null", "{\"event\":\"party\"}", "\u{0}"] {
        let readers: i64 = server.ask(&["PUBLISH", &channel, garbage]).await;
        assert_eq!(readers, 1);
    }
    bus.publish(&event(command(1), 1)).await.unwrap();
    let heard: StreamEvent = (*next_event(&mut subscription).await).clone();
    assert_eq!(heard, event(command(1), 1));
    assert_eq!(server.subscribers(command(1)).await, 1);
    assert_eq!(
        server.calls("subscribe").await,
        2,
        "the common channels, and the command"
    );
}

#[tokio::test]
async fn shares_one_channel_subscription_between_followers() {
    let server = Server::start();
    let bus = server.bus();
    let mut followers = Vec::new();
    for _ in 0..50 {
        followers.push(watch(&bus, command(1)).await);
    }
    server.wait_for_subscribers(command(1), 1).await;
    assert_eq!(
        server.calls("subscribe").await,
        2,
        "the common channels, and the command"
    );
    let mut other = watch(&bus, command(2)).await;
    server.wait_for_subscribers(command(2), 1).await;
    assert_eq!(server.calls("subscribe").await, 3);
    let clients: String = server.ask(&["CLIENT", "LIST", "TYPE", "pubsub"]).await;
    assert_eq!(clients.lines().count(), 1, "{clients}");
    bus.publish(&event(command(1), 1)).await.unwrap();
    for follower in &mut followers {
        assert_eq!(*next_event(follower).await, event(command(1), 1));
    }
    bus.publish(&event(command(2), 1)).await.unwrap();
    assert_eq!(*next_event(&mut other).await, event(command(2), 1));
}

#[tokio::test]
async fn unsubscribes_with_the_last_follower() {
    let server = Server::start();
    let bus = server.bus();
    let first = watch(&bus, command(1)).await;
    let mut last = watch(&bus, command(1)).await;
    drop(first);
    bus.publish(&event(command(1), 1)).await.unwrap();
    next_event(&mut last).await;
    server.wait_for_subscribers(command(1), 1).await;
    assert_eq!(server.calls("unsubscribe").await, 0);
    drop(last);
    server.wait_for_subscribers(command(1), 0).await;
}

#[tokio::test]
async fn closes_the_subscribing_connection_on_drop() {
    let server = Server::start();
    let bus = server.bus();
    let _subscription = watch(&bus, command(1)).await;
    server.wait_for_subscribers(command(1), 1).await;
    drop(bus);
    server.wait_for_subscribers(command(1), 0).await;
}

#[tokio::test]
async fn rejects_an_invalid_url() {
    for url in ["", "localhost", "http://127.0.0.1:6379", "redis://"] {
        let outcome = RedisServer::new(url, &RedisCertificates::default());
        assert!(
            matches!(outcome, Err(BusError::Address(_))),
            "{url}: {outcome:?}"
        );
    }
}
