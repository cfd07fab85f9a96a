use std::sync::Arc;

use async_trait::async_trait;
use sovd_domain::{AccessChange, CommandId, News, StreamEvent};
use tokio::sync::watch;

use crate::{
    broadcast::{Readings, Stand},
    bus::{BusError, EventBus, Subscription},
    fleet_event_hint::NewsHint,
    hub::Hub,
};

/// A bus for a single process.
#[derive(Clone)]
pub struct LocalBus {
    hub: Arc<Hub>,
    news: Stand<News>,
    hints: Stand<NewsHint>,
    access: Stand<AccessChange>,
    hears: Arc<watch::Sender<bool>>,
}

impl LocalBus {
    /// A bus whose watchers may be `backlog` signals behind before they are sent to the database.
    pub fn new(backlog: usize) -> Self {
        Self {
            hub: Arc::new(Hub::new(backlog)),
            news: Stand::new(),
            hints: Stand::new(),
            access: Stand::new(),
            hears: Arc::new(watch::Sender::new(true)),
        }
    }
}

#[async_trait]
impl EventBus for LocalBus {
    async fn publish(&self, event: &StreamEvent) -> Result<(), BusError> {
        self.hub.deliver(event.clone());
        Ok(())
    }

    async fn publish_news(&self, news: &News) -> Result<(), BusError> {
        self.spread_here(news.clone());
        Ok(())
    }

    fn spread_here(&self, news: News) {
        self.news.spread(news);
    }

    fn read_news(&self) -> Readings<News> {
        self.news.subscribe()
    }

    fn has_news_readers(&self) -> bool {
        self.news.has_readers()
    }

    fn read_news_hints(&self) -> Readings<NewsHint> {
        self.hints.subscribe()
    }

    async fn publish_access_change(&self, change: AccessChange) -> Result<(), BusError> {
        self.access.spread(change);
        Ok(())
    }

    fn read_access_changes(&self) -> Readings<AccessChange> {
        self.access.subscribe()
    }

    fn subscribe(&self, command_id: CommandId) -> Subscription {
        let receiver = self.hub.watch(command_id);
        let hub = Arc::clone(&self.hub);
        Subscription::new(receiver, move || {
            hub.forget_unwatched(command_id);
        })
    }

    fn watched(&self) -> Vec<CommandId> {
        self.hub.watched()
    }

    fn reread(&self, command_id: CommandId) {
        self.hub.reread(command_id);
    }

    fn hears(&self) -> watch::Receiver<bool> {
        self.hears.subscribe()
    }

    async fn ping(&self) -> Result<(), BusError> {
        Ok(())
    }
}
