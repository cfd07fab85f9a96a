use std::sync::Arc;

use sovd_domain::News;
use tokio::sync::broadcast::{self, Receiver, Sender, error::RecvError};

/// How many pieces of news a reader may be behind before it is told to fetch everything again.
const BACKLOG: usize = 256;

/// Spreads news among the readers of this process.
#[derive(Clone)]
pub(crate) struct NewsStand(Sender<Arc<News>>);

impl NewsStand {
    pub(crate) fn new() -> Self {
        Self(broadcast::channel(BACKLOG).0)
    }

    pub(crate) fn spread(&self, news: News) {
        // Fails when nobody reads, which is no loss.
        let _ = self.0.send(Arc::new(news));
    }

    pub(crate) fn subscribe(&self) -> NewsSubscription {
        NewsSubscription(self.0.subscribe())
    }
}

/// A reader of news. Only the newest state counts: what it was too slow for is not repeated.
pub struct NewsSubscription(Receiver<Arc<News>>);

impl NewsSubscription {
    /// Waits for the next piece of news; [`News::Resync`] stands for all that was missed. After the
    /// bus is gone this never returns.
    pub async fn next(&mut self) -> Arc<News> {
        match self.0.recv().await {
            Ok(news) => news,
            Err(RecvError::Lagged(_)) => Arc::new(News::Resync),
            Err(RecvError::Closed) => std::future::pending().await,
        }
    }
}
