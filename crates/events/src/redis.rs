mod complaints;
mod connections;
mod echoes;
mod failure_counters;
mod names;
mod publisher;
mod rates;
mod server;
mod subscriber;

use std::{fmt::Display, sync::Arc};

use async_trait::async_trait;
use bb8_redis::redis::Client;
use serde::Serialize;
use sovd_domain::{AccessChange, CommandId, FleetEvent, StreamEvent};
use tokio::sync::{
    mpsc::{self, UnboundedSender},
    watch,
};
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::{
    broadcast::{Broadcast, BroadcastReceiver},
    bus::{BusError, EventBus, Subscription},
    fleet_event_hint::FleetEventHint,
    hub::Hub,
};
use connections::Connections;
use echoes::Echoes;
pub use failure_counters::RedisFailureCounters;
use names::Channels;
use publisher::Publisher;
pub use rates::RedisRates;
pub use server::{RedisCertificates, RedisServer};
use subscriber::{Ears, Request, Subscriber};

/// A bus that spans processes.
///
/// Dropping it ends its subscribing connection.
pub struct RedisBus {
    client: Client,
    connections: Connections,
    publisher: Publisher,
    channels: Channels,
    prefix: String,
    hub: Arc<Hub>,
    news: Broadcast<FleetEvent>,
    hints: Broadcast<FleetEventHint>,
    echoes: Arc<Echoes>,
    access: Broadcast<AccessChange>,
    requests: UnboundedSender<Request>,
    hears: watch::Receiver<bool>,
    _subscriber: DropGuard,
}

impl RedisBus {
    /// A bus over `server`, whose watchers may be `backlog` signals behind before they are sent to
    /// the database. The server may be away: the bus keeps trying.
    ///
    /// Installations with different values of `prefix` share a server without seeing each other.
    /// Keys begin with it, and channels too unless it is the default, `sovd`.
    ///
    /// Its tasks run on the runtime that calls this, which must outlive every HTTP worker.
    pub fn new(server: RedisServer, prefix: &str, backlog: usize) -> Self {
        let client = server.into_client();
        let channels = Channels::new(prefix);
        let hub = Arc::new(Hub::new(backlog));
        let (requests, inbox) = mpsc::unbounded_channel();
        let stop = CancellationToken::new();
        let (connected, hears) = watch::channel(false);
        let (news, access) = (Broadcast::new(), Broadcast::new());
        let (hints, echoes) = (Broadcast::new(), Arc::new(Echoes::default()));
        let ears = Ears {
            hub: Arc::clone(&hub),
            news: news.clone(),
            hints: hints.clone(),
            echoes: Arc::clone(&echoes),
            access: access.clone(),
            connected,
        };
        let subscriber = Subscriber::new(client.clone(), channels.clone(), ears, inbox);
        tokio::spawn(stop.clone().run_until_cancelled_owned(subscriber.run()));
        let connections = Connections::new(client.clone());
        Self {
            client,
            publisher: Publisher::new(connections.clone()),
            connections,
            channels,
            prefix: prefix.to_owned(),
            hub,
            news,
            hints,
            echoes,
            access,
            requests,
            hears,
            _subscriber: stop.drop_guard(),
        }
    }

    /// Attempts that are counted in the same Redis, over the same connections, by all processes with
    /// the same prefix.
    pub fn attempts(&self) -> RedisFailureCounters {
        RedisFailureCounters::new(self.connections.clone(), &self.prefix)
    }

    /// Rates that are counted in the same Redis, over a connection of their own, by all processes
    /// with the same prefix. Opens the connection.
    pub fn rates(&self) -> RedisRates {
        RedisRates::new(self.client.clone(), &self.prefix)
    }
}

#[async_trait]
impl EventBus for RedisBus {
    async fn publish(&self, event: &StreamEvent) -> Result<(), BusError> {
        // Watchers in this process need not wait for Redis, nor doubt what comes back from it.
        self.hub.deliver(event.clone());
        let channel = self.channels.command(event.command_id());
        self.publisher.publish(&channel, &json(event)?).await
    }

    async fn publish_fleet_event(&self, news: &FleetEvent) -> Result<(), BusError> {
        self.news.spread(news.clone());
        let payload = json(news)?;
        self.echoes.expect(&payload);
        let published = self.publisher.publish(&self.channels.news, &payload).await;
        if published.is_err() {
            self.echoes.take(payload.as_bytes());
        }
        published
    }

    fn broadcast_locally(&self, news: FleetEvent) {
        self.news.spread(news);
    }

    fn fleet_events(&self) -> BroadcastReceiver<FleetEvent> {
        self.news.subscribe()
    }

    fn has_fleet_event_receivers(&self) -> bool {
        self.news.has_readers()
    }

    fn fleet_event_hints(&self) -> BroadcastReceiver<FleetEventHint> {
        self.hints.subscribe()
    }

    async fn publish_access_change(&self, change: AccessChange) -> Result<(), BusError> {
        let payload = json(&change)?;
        self.publisher
            .publish(&self.channels.access, &payload)
            .await
    }

    fn access_changes(&self) -> BroadcastReceiver<AccessChange> {
        self.access.subscribe()
    }

    fn subscribe(&self, command_id: CommandId) -> Subscription {
        let receiver = self.hub.watch(command_id);
        // The subscriber has gone only when the bus has, and then nothing is to be heard.
        let _ = self.requests.send(Request::Watch(command_id));
        let (requests, hub) = (self.requests.clone(), Arc::clone(&self.hub));
        Subscription::new(receiver, move || {
            hub.forget_unwatched(command_id);
            let _ = requests.send(Request::Unwatch(command_id));
        })
    }

    fn watched(&self) -> Vec<CommandId> {
        self.hub.watched()
    }

    fn reread(&self, command_id: CommandId) {
        self.hub.reread(command_id);
    }

    fn hears(&self) -> watch::Receiver<bool> {
        self.hears.clone()
    }

    async fn ping(&self) -> Result<(), BusError> {
        self.publisher.ping().await
    }
}

fn json(message: &impl Serialize) -> Result<String, BusError> {
    serde_json::to_string(message).map_err(unavailable)
}

fn unavailable(error: impl Display) -> BusError {
    BusError::Unavailable(error.to_string())
}
