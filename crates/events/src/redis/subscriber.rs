use std::{collections::HashSet, convert::Infallible, sync::Arc, time::Duration};

use bb8_redis::redis::{
    Client, Msg, RedisError, RedisResult, Value,
    aio::{PubSub, PubSubSink},
};
use futures_util::StreamExt;
use sovd_domain::CommandId;
use tokio::{
    sync::mpsc::UnboundedReceiver,
    time::{MissedTickBehavior, interval, timeout},
};

use super::{channels::Channels, log_throttle::LogThrottle, own_messages::OwnMessageFilter};
use crate::{
    broadcast::Broadcastable, fleet_event_hint::FleetEventHint, hint::Hint, local::LocalBus,
    subscriptions::CommandSubscriptions,
};

/// The first delay before reconnecting, doubled up to the last.
const FIRST_DELAY: Duration = Duration::from_millis(100);
const LAST_DELAY: Duration = Duration::from_secs(1);
/// The interval between pings and the time limit for a response.
const HEARTBEAT: Duration = Duration::from_secs(5);

/// A change of this process's subscriptions.
#[derive(Debug, Clone, Copy)]
pub(super) enum Request {
    Subscribe(CommandId),
    Unsubscribe(CommandId),
}

/// Maintains the subscribing connection of a process.
pub(super) struct Subscriber {
    pub(super) client: Client,
    pub(super) channels: Channels,
    /// Where received messages are delivered.
    pub(super) local: LocalBus,
    pub(super) own_messages: Arc<OwnMessageFilter>,
    pub(super) requests: UnboundedReceiver<Request>,
    pub(super) log_throttle: LogThrottle,
}

impl Subscriber {
    /// Runs until it is dropped.
    pub(super) async fn run(mut self) {
        let mut delay = FIRST_DELAY;
        loop {
            match within_heartbeat(self.client.get_async_pubsub()).await {
                Ok(connection) => {
                    tracing::debug!("subscribed to redis");
                    delay = FIRST_DELAY;
                    let Err(error) = self.serve(connection).await;
                    tracing::warn!(%error, "lost the subscription to redis; reconnecting");
                }
                Err(error) if delay == FIRST_DELAY => {
                    tracing::warn!(%error, "redis is unavailable; streams read the database");
                }
                Err(_) => {}
            }
            self.local.connected.send_replace(false);
            // Without a connection, requests need no handling: `subscriptions` has the current state.
            let discard = async { while self.requests.recv().await.is_some() {} };
            let _ = timeout(delay, discard).await;
            delay = (delay * 2).min(LAST_DELAY);
        }
    }

    /// Serves one connection until it fails.
    async fn serve(&mut self, connection: PubSub) -> RedisResult<Infallible> {
        let (sink, mut messages) = connection.split();
        let mut channels = SubscribedChannels {
            channels: self.channels.clone(),
            sink,
            commands: HashSet::new(),
            subscriptions: Arc::clone(&self.local.subscriptions),
        };
        // `subscriptions` includes the effect of earlier requests.
        while self.requests.try_recv().is_ok() {}
        for command_id in self.local.subscriptions.commands() {
            channels.handle(Request::Subscribe(command_id)).await?;
        }
        let common = &[&self.channels.fleet_events, &self.channels.access_changes];
        within_heartbeat(channels.sink.subscribe(common)).await?;
        self.own_messages.clear();
        self.local.connected.send_replace(true);
        // Messages that were published without a connection are lost.
        self.local.fleet_events.send(Broadcastable::MISSED);
        self.local.access_changes.send(Broadcastable::MISSED);
        let mut heartbeat = interval(HEARTBEAT);
        heartbeat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                message = messages.next() => self.deliver(&message.ok_or_else(no_response)?),
                Some(request) = self.requests.recv() => channels.handle(request).await?,
                _ = heartbeat.tick() => {
                    within_heartbeat(channels.sink.ping::<Value>()).await?;
                }
            }
        }
    }

    /// Delivers a message as a hint, because any client of Redis may have sent it.
    fn deliver(&mut self, message: &Msg) {
        let (channel, payload) = (message.get_channel_name(), message.get_payload_bytes());
        let delivered = if channel == self.channels.fleet_events {
            self.deliver_fleet_event(payload)
        } else if channel == self.channels.access_changes {
            serde_json::from_slice(payload).map(|change| self.local.access_changes.send(change))
        } else if let Some(command_id) = self.channels.command_of(channel) {
            Hint::from_json(payload)
                .map(|hint| self.local.subscriptions.deliver_hint(command_id, hint))
        } else {
            Ok(())
        };
        if let Err(error) = delivered {
            self.log_throttle.warn(channel, error);
        }
    }

    fn deliver_fleet_event(&self, payload: &[u8]) -> Result<(), serde_json::Error> {
        if !self.own_messages.remove(payload)
            && let Some(hint) = FleetEventHint::from_json(payload)?
        {
            self.local.hints.send(hint);
        }
        Ok(())
    }
}

/// The channels of commands to which one connection is subscribed.
struct SubscribedChannels {
    channels: Channels,
    sink: PubSubSink,
    commands: HashSet<CommandId>,
    subscriptions: Arc<CommandSubscriptions>,
}

impl SubscribedChannels {
    async fn handle(&mut self, request: Request) -> RedisResult<()> {
        match request {
            Request::Subscribe(command_id) => {
                if self.commands.insert(command_id) {
                    let channel = self.channels.command(command_id);
                    within_heartbeat(self.sink.subscribe(channel)).await?;
                    // Messages between the subscriber's first read and now were not received.
                    self.subscriptions.request_reread(command_id);
                }
            }
            Request::Unsubscribe(command_id) => {
                if !self.subscriptions.contains(command_id) && self.commands.remove(&command_id) {
                    let channel = self.channels.command(command_id);
                    within_heartbeat(self.sink.unsubscribe(channel)).await?;
                }
            }
        }
        Ok(())
    }
}

async fn within_heartbeat<T>(response: impl Future<Output = RedisResult<T>>) -> RedisResult<T> {
    timeout(HEARTBEAT, response)
        .await
        .unwrap_or_else(|_| Err(no_response()))
}

fn no_response() -> RedisError {
    RedisError::from(std::io::Error::from(std::io::ErrorKind::ConnectionAborted))
}
