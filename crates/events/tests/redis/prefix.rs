use std::collections::BTreeSet;

use futures_util::StreamExt;
use sovd_domain::{AccessChange, ConnectionStatus, FleetEvent, UserId, VehicleId};
use sovd_events::EventBus;
use tokio::time::timeout;
use uuid::Uuid;

use crate::{
    server::Server,
    signals::{DEADLINE, command, event},
};

/// What the bus of an installation listens to, and what it publishes on.
async fn channels(server: &Server, prefix: &str) -> (BTreeSet<String>, BTreeSet<String>) {
    let mut eavesdropper = server.client().get_async_pubsub().await.unwrap();
    eavesdropper.psubscribe("*").await.unwrap();
    let bus = server.bus_of(prefix);
    let _subscription = bus.subscribe(command(1));
    let mut subscribed = BTreeSet::new();
    let subscribing = async {
        while subscribed.len() < 3 {
            subscribed = server.ask(&["PUBSUB", "CHANNELS"]).await;
        }
    };
    timeout(DEADLINE, subscribing).await.unwrap();

    let news = FleetEvent::Vehicle {
        vehicle_id: VehicleId(Uuid::from_u128(1)),
        owner_id: None,
        connection_status: ConnectionStatus::Connected,
        last_seen_at: None,
    };
    let user_id = UserId(Uuid::from_u128(1));
    let change = AccessChange::User { user_id };
    bus.publish(&event(command(1), 1)).await.unwrap();
    bus.publish_fleet_event(&news).await.unwrap();
    bus.publish_access_change(change).await.unwrap();
    let messages = eavesdropper.on_message().take(3);
    let published = messages.map(|message| message.get_channel_name().to_owned());
    let published = timeout(DEADLINE, published.collect()).await.unwrap();

    drop(bus);
    let closing = async {
        while !server
            .ask::<Vec<String>>(&["PUBSUB", "CHANNELS"])
            .await
            .is_empty()
        {}
    };
    timeout(DEADLINE, closing).await.unwrap();
    (subscribed, published)
}

fn names<const N: usize>(names: [&str; N]) -> BTreeSet<String> {
    names.map(str::to_owned).into()
}

#[tokio::test]
async fn installations_with_different_prefixes_share_no_channel() {
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
