mod channels;
mod connections;
mod failure_counters;
mod log_throttle;
mod own_messages;
mod rates;
mod server;
mod subscriber;

use std::{fmt::Display, sync::Arc};

use async_trait::async_trait;
use bb8_redis::redis::{Client, cmd, pipe};
use serde::Serialize;
use sovd_domain::CommandId;
use tokio::sync::mpsc::{self, UnboundedSender};
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::{
    bus::{BusError, EventBus, Message, Subscription},
    local::LocalBus,
};
use channels::Channels;
use connections::Connections;
pub use failure_counters::RedisFailureCounters;
use log_throttle::LogThrottle;
use own_messages::OwnMessageFilter;
pub use rates::RedisRates;
pub use server::{RedisCertificates, RedisServer};
use subscriber::{Request, Subscriber};

/// An event bus between processes. Dropping it closes its subscribing connection.
pub struct RedisBus {
    local: LocalBus,
    client: Client,
    connections: Connections,
    channels: Channels,
    prefix: String,
    own_messages: Arc<OwnMessageFilter>,
    requests: UnboundedSender<Request>,
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
        let local = LocalBus::new(backlog);
        local.connected.send_replace(false);
        let own_messages = Arc::<OwnMessageFilter>::default();
        let (requests, inbox) = mpsc::unbounded_channel();
        let stop = CancellationToken::new();
        let subscriber = Subscriber {
            client: client.clone(),
            channels: channels.clone(),
            local: local.clone(),
            own_messages: Arc::clone(&own_messages),
            requests: inbox,
            log_throttle: LogThrottle::default(),
        };
        tokio::spawn(stop.clone().run_until_cancelled_owned(subscriber.run()));
        Self {
            local,
            connections: Connections::new(client.clone()),
            client,
            channels,
            prefix: prefix.to_owned(),
            own_messages,
            requests,
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
    fn local(&self) -> &LocalBus {
        &self.local
    }

    async fn publish_all(&self, messages: &[Message]) -> Result<(), BusError> {
        if messages.is_empty() {
            return Ok(());
        }
        let mut published = pipe();
        let mut expected = Vec::new();
        for message in messages {
            let (channel, payload) = match message {
                // Subscribers in this process need not wait for Redis nor trust it.
                Message::Event(event) => {
                    self.local.subscriptions.deliver(event.clone());
                    (self.channels.command(event.command_id()), json(event)?)
                }
                Message::FleetEvent(event) => {
                    self.broadcast_locally(event.clone());
                    let payload = json(event)?;
                    self.own_messages.expect(&payload);
                    expected.push(payload.clone());
                    (self.channels.fleet_events.clone(), payload)
                }
                Message::AccessChange(change) => {
                    (self.channels.access_changes.clone(), json(change)?)
                }
            };
            published.publish(channel, payload).ignore();
        }
        let sent = self.connections.execute_all(&published).await;
        if sent.is_err() {
            for payload in expected {
                self.own_messages.remove(payload.as_bytes());
            }
        }
        sent
    }

    async fn ping(&self) -> Result<(), BusError> {
        self.connections.execute(&cmd("PING")).await
    }

    fn subscribe(&self, command_id: CommandId) -> Subscription {
        let requests = self.requests.clone();
        let unsubscribe = move || {
            let _ = requests.send(Request::Unsubscribe(command_id));
        };
        let subscription = Subscription::new(&self.local.subscriptions, command_id, unsubscribe);
        // Fails only after the bus was dropped.
        let _ = self.requests.send(Request::Subscribe(command_id));
        subscription
    }
}

fn json(message: &impl Serialize) -> Result<String, BusError> {
    serde_json::to_string(message).map_err(unavailable)
}

fn unavailable(error: impl Display) -> BusError {
    BusError::Unavailable(error.to_string())
}
