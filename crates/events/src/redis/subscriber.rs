use std::{collections::HashSet, sync::Arc, time::Duration};

use bb8_redis::redis::{
    Client, Msg, RedisError, RedisResult,
    aio::{PubSub, PubSubSink},
};
use futures_util::StreamExt;
use sovd_domain::{AccessChange, CommandId, FleetEvent};
use tokio::{
    sync::{mpsc::UnboundedReceiver, watch},
    time::{MissedTickBehavior, interval, timeout},
};

use super::{complaints::Complaints, echoes::Echoes, names::Channels};
use crate::{
    broadcast::{Broadcast, Broadcastable},
    fleet_event_hint::FleetEventHint,
    hint::Hint,
    hub::Hub,
};

/// The first pause before connecting again, doubled up to the last.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LAST_PAUSE: Duration = Duration::from_secs(1);
/// How often a silent connection is tried, and how long an answer may take.
const HEARTBEAT: Duration = Duration::from_secs(5);

/// What the watchers of this process ask of the subscriber.
#[derive(Debug, Clone, Copy)]
pub(super) enum Request {
    Watch(CommandId),
    Unwatch(CommandId),
}

/// Keeps the one subscribing connection of a process.
pub(super) struct Subscriber {
    client: Client,
    channels: Channels,
    ears: Ears,
    requests: UnboundedReceiver<Request>,
    complaints: Complaints,
}

/// Where what is heard goes.
pub(super) struct Ears {
    pub(super) hub: Arc<Hub>,
    pub(super) news: Broadcast<FleetEvent>,
    pub(super) hints: Broadcast<FleetEventHint>,
    pub(super) echoes: Arc<Echoes>,
    pub(super) access: Broadcast<AccessChange>,
    pub(super) connected: watch::Sender<bool>,
}

impl Subscriber {
    pub(super) fn new(
        client: Client,
        channels: Channels,
        ears: Ears,
        requests: UnboundedReceiver<Request>,
    ) -> Self {
        Self {
            client,
            channels,
            ears,
            requests,
            complaints: Complaints::default(),
        }
    }

    /// Serves until it is dropped.
    pub(super) async fn run(mut self) {
        let mut pause = FIRST_PAUSE;
        loop {
            match self.connect().await {
                Ok(connection) => {
                    tracing::debug!("subscribed to redis");
                    pause = FIRST_PAUSE;
                    let error = self.serve(connection).await;
                    tracing::warn!(%error, "lost the subscription to redis, connecting again");
                }
                Err(error) if pause == FIRST_PAUSE => {
                    tracing::warn!(%error, "redis is away: streams read the database meanwhile");
                }
                Err(_) => {}
            }
            self.ears.connected.send_replace(false);
            // Nobody is asked without a connection: who watches stands in the hub.
            let ignoring = async { while self.requests.recv().await.is_some() {} };
            let _ = timeout(pause, ignoring).await;
            pause = (pause * 2).min(LAST_PAUSE);
        }
    }

    async fn connect(&self) -> RedisResult<PubSub> {
        timeout(HEARTBEAT, self.client.get_async_pubsub())
            .await
            .unwrap_or_else(|_| Err(no_answer()))
    }

    /// Serves one connection until it breaks.
    async fn serve(&mut self, connection: PubSub) -> RedisError {
        let (sink, mut messages) = connection.split();
        let mut subscriptions = Subscriptions {
            channels: self.channels.clone(),
            sink,
            live: HashSet::new(),
            hub: Arc::clone(&self.ears.hub),
        };
        // Whoever asked while there was no connection stands in the hub.
        while self.requests.try_recv().is_ok() {}
        for command_id in self.ears.hub.watched() {
            if let Err(error) = subscriptions.handle(Request::Watch(command_id)).await {
                return error;
            }
        }
        let common = &[&self.channels.news, &self.channels.access];
        if let Err(error) = in_time(subscriptions.sink.subscribe(common)).await {
            return error;
        }
        self.ears.echoes.clear();
        self.ears.connected.send_replace(true);
        // What was published meanwhile is not repeated.
        self.ears.news.spread(Broadcastable::MISSED);
        self.ears.access.spread(Broadcastable::MISSED);
        let mut heartbeat = interval(HEARTBEAT);
        heartbeat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let outcome = tokio::select! {
                message = messages.next() => match message {
                    Some(message) => {
                        self.deliver(&message);
                        Ok(())
                    }
                    None => Err(no_answer()),
                },
                Some(request) = self.requests.recv() => subscriptions.handle(request).await,
                _ = heartbeat.tick() => subscriptions.ping().await,
            };
            if let Err(error) = outcome {
                return error;
            }
        }
    }

    /// Passes a message on as a reason to look something up. Anything that can write to Redis can
    /// have sent it.
    fn deliver(&mut self, message: &Msg) {
        let (name, payload) = (message.get_channel_name(), message.get_payload_bytes());
        let heard = if name == self.channels.news {
            self.deliver_fleet_event(payload)
        } else if name == self.channels.access {
            serde_json::from_slice(payload).map(|change| self.ears.access.spread(change))
        } else if let Some(command_id) = self.channels.command_of(name) {
            Hint::from_json(payload).map(|hint| self.ears.hub.hint(command_id, hint))
        } else {
            Ok(())
        };
        if let Err(error) = heard {
            self.complaints.note(name, error);
        }
    }

    fn deliver_fleet_event(&self, payload: &[u8]) -> Result<(), serde_json::Error> {
        if !self.ears.echoes.take(payload)
            && let Some(hint) = FleetEventHint::from_json(payload)?
        {
            self.ears.hints.spread(hint);
        }
        Ok(())
    }
}

/// The commands whose channels one connection is subscribed to.
struct Subscriptions {
    channels: Channels,
    sink: PubSubSink,
    live: HashSet<CommandId>,
    hub: Arc<Hub>,
}

impl Subscriptions {
    async fn handle(&mut self, request: Request) -> RedisResult<()> {
        match request {
            Request::Watch(command_id) => {
                if self.live.insert(command_id) {
                    in_time(self.sink.subscribe(self.channels.command(command_id))).await?;
                    // What came between the watcher's first look and now was not connected.
                    self.hub.reread(command_id);
                }
            }
            Request::Unwatch(command_id) => {
                if !self.hub.is_watched(command_id) && self.live.remove(&command_id) {
                    in_time(self.sink.unsubscribe(self.channels.command(command_id))).await?;
                }
            }
        }
        Ok(())
    }

    async fn ping(&mut self) -> RedisResult<()> {
        in_time(self.sink.ping::<bb8_redis::redis::Value>())
            .await
            .map(|_| ())
    }
}

async fn in_time<T>(answer: impl Future<Output = RedisResult<T>>) -> RedisResult<T> {
    timeout(HEARTBEAT, answer)
        .await
        .unwrap_or_else(|_| Err(no_answer()))
}

fn no_answer() -> RedisError {
    RedisError::from(std::io::Error::from(std::io::ErrorKind::ConnectionAborted))
}
