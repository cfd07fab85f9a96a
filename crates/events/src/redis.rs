mod attempts;
mod connections;
mod publisher;
mod subscriber;

use std::{fmt::Display, sync::Arc};

use async_trait::async_trait;
use bb8_redis::redis::Client;
use sovd_domain::{AccessChange, CommandId, News, StreamEvent};
use tokio::sync::{
    mpsc::{self, UnboundedSender},
    watch,
};
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::{
    bus::{BusError, EventBus, Subscription},
    hub::Hub,
    stand::{Readings, Stand},
};
pub use attempts::RedisAttempts;
use connections::Connections;
use publisher::Publisher;
use subscriber::{Ears, Request, Subscriber};

/// A bus that spans processes.
///
/// Dropping it ends its subscribing connection.
pub struct RedisBus {
    connections: Connections,
    publisher: Publisher,
    hub: Arc<Hub>,
    news: Stand<News>,
    access: Stand<AccessChange>,
    requests: UnboundedSender<Request>,
    hears: watch::Receiver<bool>,
    _subscriber: DropGuard,
}

impl RedisBus {
    /// A bus over the Redis at `url`, whose watchers may be `backlog` signals behind before they
    /// are sent to the database. Redis may be away: the bus keeps trying.
    ///
    /// Its tasks run on the runtime that calls this, which must outlive every HTTP worker.
    ///
    /// # Errors
    ///
    /// When `url` is no address of a Redis.
    pub fn new(url: &str, backlog: usize) -> Result<Self, BusError> {
        let client = Client::open(url).map_err(|error| BusError::Address(error.to_string()))?;
        let hub = Arc::new(Hub::new(backlog));
        let (requests, inbox) = mpsc::unbounded_channel();
        let stop = CancellationToken::new();
        let (connected, hears) = watch::channel(false);
        let (news, access) = (Stand::new(), Stand::new());
        let ears = Ears {
            hub: Arc::clone(&hub),
            news: news.clone(),
            access: access.clone(),
            connected,
        };
        let subscriber = Subscriber::new(client.clone(), ears, inbox);
        tokio::spawn(stop.clone().run_until_cancelled_owned(subscriber.run()));
        let connections = Connections::new(client);
        Ok(Self {
            publisher: Publisher::new(connections.clone()),
            connections,
            hub,
            news,
            access,
            requests,
            hears,
            _subscriber: stop.drop_guard(),
        })
    }

    /// Attempts that are counted in the same Redis, over the same connections, in keys that begin
    /// with `prefix` and a colon. Whoever has the same prefix counts together.
    pub fn attempts(&self, prefix: &str) -> RedisAttempts {
        RedisAttempts::new(self.connections.clone(), prefix)
    }
}

#[async_trait]
impl EventBus for RedisBus {
    async fn publish(&self, event: &StreamEvent) -> Result<(), BusError> {
        self.publisher
            .publish(&channel(event.command_id()), event)
            .await
    }

    async fn publish_news(&self, news: &News) -> Result<(), BusError> {
        self.publisher.publish(NEWS, news).await
    }

    fn spread_here(&self, news: News) {
        self.news.spread(news);
    }

    fn read_news(&self) -> Readings<News> {
        self.news.subscribe()
    }

    async fn publish_access_change(&self, change: AccessChange) -> Result<(), BusError> {
        self.publisher.publish(ACCESS, &change).await
    }

    fn read_access_changes(&self) -> Readings<AccessChange> {
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

/// The channel of what changes in the fleet.
const NEWS: &str = "news";

/// The channel of whose rights have to be looked up again.
const ACCESS: &str = "access";

fn channel(command_id: CommandId) -> String {
    format!("response:{command_id}")
}

fn unavailable(error: impl Display) -> BusError {
    BusError::Unavailable(error.to_string())
}
