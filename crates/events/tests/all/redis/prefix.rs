use std::collections::BTreeSet;

use futures_util::StreamExt;
use sovd_domain::{AccessChange, ConnectionStatus, FleetEvent, UserId, VehicleId};
use sovd_events::EventBus;
use tokio::time::timeout;
use uuid::Uuid;

use super::server::Server;
use crate::subscription::{DEADLINE, command, event};

/// Returns the channels to which the bus of an installation subscribes, and those on which it publishes.
async fn channels(server: &Server, prefix: &str) -> (BTreeSet<String>, BTreeSet<String>) {
    let mut observer = server.client().get_async_pubsub().await.unwrap();
    observer.psubscribe("*").await.unwrap();
    let bus = server.bus_of(prefix);
    let _subscription = bus.subscribe(command(1));
    let mut subscribed = BTreeSet::new();
    let all_subscribed = async {
        while subscribed.len() < 3 {
            subscribed = server.ask(&["PUBSUB", "CHANNELS"]).await;
        }
    };
    timeout(DEADLINE, all_subscribed).await.unwrap();

    let fleet_event = FleetEvent::Vehicle {
        vehicle_id: VehicleId(Uuid::from_u128(1)),
        owner_id: None,
        connection_status: ConnectionStatus::Connected,
        last_seen_at: None,
    };
    let user_id = UserId(Uuid::from_u128(1));
    let change = AccessChange::User { user_id };
    bus.publish(&event(command(1), 1)).await.unwrap();
    bus.publish_fleet_event(&fleet_event).await.unwrap();
    bus.publish_access_change(change).await.unwrap();
    let messages = observer.on_message().take(3);
    let published = messages.map(|message| message.get_channel_name().to_owned());
    let published = timeout(DEADLINE, published.collect()).await.unwrap();

    drop(bus);
    let all_closed = async {
        while !server
            .ask::<Vec<String>>(&["PUBSUB", "CHANNELS"])
            .await
            .is_empty()
        {}
    };
    timeout(DEADLINE, all_closed).await.unwrap();
    (subscribed, published)
}

fn names<const N: usize>(names: [&str; N]) -> BTreeSet<String> {
    names.map(str::to_owned).into()
}

#[tokio::test]
async fn separates_installations_with_different_prefixes() {
    let server = Server::start();
    for (prefix, expected) in [
        (
            "sovd",
            names([
                "access",
                "news",
                "response:00000000-0000-0000-0000-000000000001",
            ]),
        ),
        (
            "berlin",
            names([
                "berlin:access",
                "berlin:news",
                "berlin:response:00000000-0000-0000-0000-000000000001",
            ]),
        ),
    ] {
        let (subscribed, published) = channels(&server, prefix).await;
        assert_eq!(subscribed, expected);
        assert_eq!(published, expected);
    }
}
