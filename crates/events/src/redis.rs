mod channels;
mod connections;
mod failure_counters;
mod log_throttle;
mod own_messages;
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
    subscriptions::CommandSubscriptions,
};
use channels::Channels;
use connections::Connections;
pub use failure_counters::RedisFailureCounters;
use own_messages::OwnMessageFilter;
use publisher::Publisher;
pub use rates::RedisRates;
pub use server::{RedisCertificates, RedisServer};
use subscriber::{Destinations, Request, Subscriber};

/// An event bus between processes. Dropping it closes its subscribing connection.
pub struct RedisBus {
    client: Client,
    connections: Connections,
    publisher: Publisher,
    channels: Channels,
    prefix: String,
    subscriptions: Arc<CommandSubscriptions>,
    fleet_events: Broadcast<FleetEvent>,
    hints: Broadcast<FleetEventHint>,
    own_messages: Arc<OwnMessageFilter>,
    access_changes: Broadcast<AccessChange>,
    requests: UnboundedSender<Request>,
    connected: watch::Receiver<bool>,
    _subscriber: DropGuard,
}

impl RedisBus {
    /// Creates a bus over `server`. If the server is unavailable, the bus keeps trying to connect. A
    /// subscription that is more than `backlog` signals behind yields
    /// [`CommandSignal::Reread`](crate::CommandSignal::Reread).
    ///
    /// Installations with different values of `prefix` can share a server. Keys start with the prefix, and
    /// so do channels unless it is the default, `sovd`.
    ///
    /// Its tasks run on the current runtime, which must outlive every HTTP worker.
    pub fn new(server: RedisServer, prefix: &str, backlog: usize) -> Self {
        let client = server.into_client();
        let channels = Channels::new(prefix);
        let (requests, inbox) = mpsc::unbounded_channel();
        let stop = CancellationToken::new();
        let (connection_state, connected) = watch::channel(false);
        let destinations = Destinations {
            subscriptions: Arc::new(CommandSubscriptions::new(backlog)),
            fleet_events: Broadcast::new(),
            hints: Broadcast::new(),
            own_messages: Arc::default(),
            access_changes: Broadcast::new(),
            connected: Arc::new(connection_state),
        };
        let subscriber = Subscriber::new(
            client.clone(),
            channels.clone(),
            destinations.clone(),
            inbox,
        );
        tokio::spawn(stop.clone().run_until_cancelled_owned(subscriber.run()));
        let connections = Connections::new(client.clone());
        Self {
            client,
            publisher: Publisher::new(connections.clone()),
            connections,
            channels,
            prefix: prefix.to_owned(),
            subscriptions: destinations.subscriptions,
            fleet_events: destinations.fleet_events,
            hints: destinations.hints,
            own_messages: destinations.own_messages,
            access_changes: destinations.access_changes,
            requests,
            connected,
            _subscriber: stop.drop_guard(),
        }
    }

    /// Returns failure counters that all processes with the same prefix share. They use the connections of
    /// the bus.
    pub fn failure_counters(&self) -> RedisFailureCounters {
        RedisFailureCounters::new(self.connections.clone(), &self.prefix)
    }

    /// Opens a connection for rate limits that all processes with the same prefix share.
    pub fn rates(&self) -> RedisRates {
        RedisRates::new(self.client.clone(), &self.prefix)
    }
}

#[async_trait]
impl EventBus for RedisBus {
    async fn publish(&self, event: &StreamEvent) -> Result<(), BusError> {
        // Subscribers in this process need not wait for Redis nor trust it.
        self.subscriptions.deliver(event.clone());
        let channel = self.channels.command(event.command_id());
        self.publisher.publish(&channel, &json(event)?).await
    }

    async fn publish_fleet_event(&self, event: &FleetEvent) -> Result<(), BusError> {
        self.fleet_events.send(event.clone());
        let payload = json(event)?;
        self.own_messages.expect(&payload);
        let channel = &self.channels.fleet_events;
        let published = self.publisher.publish(channel, &payload).await;
        if published.is_err() {
            self.own_messages.remove(payload.as_bytes());
        }
        published
    }

    fn broadcast_locally(&self, event: FleetEvent) {
        self.fleet_events.send(event);
    }

    fn fleet_events(&self) -> BroadcastReceiver<FleetEvent> {
        self.fleet_events.subscribe()
    }

    fn has_fleet_event_receivers(&self) -> bool {
        self.fleet_events.has_receivers()
    }

    fn fleet_event_hints(&self) -> BroadcastReceiver<FleetEventHint> {
        self.hints.subscribe()
    }

    async fn publish_access_change(&self, change: AccessChange) -> Result<(), BusError> {
        let channel = &self.channels.access_changes;
        self.publisher.publish(channel, &json(&change)?).await
    }

    fn access_changes(&self) -> BroadcastReceiver<AccessChange> {
        self.access_changes.subscribe()
    }

    fn subscribe(&self, command_id: CommandId) -> Subscription {
        let receiver = self.subscriptions.add(command_id);
        // Fails only after the bus was dropped.
        let _ = self.requests.send(Request::Subscribe(command_id));
        let (requests, subscriptions) = (self.requests.clone(), Arc::clone(&self.subscriptions));
        Subscription::new(receiver, move || {
            subscriptions.remove_unused(command_id);
            let _ = requests.send(Request::Unsubscribe(command_id));
        })
    }

    fn subscribed_commands(&self) -> Vec<CommandId> {
        self.subscriptions.commands()
    }

    fn request_reread(&self, command_id: CommandId) {
        self.subscriptions.request_reread(command_id);
    }

    fn connected(&self) -> watch::Receiver<bool> {
        self.connected.clone()
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
