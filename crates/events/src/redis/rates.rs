use std::{num::NonZeroU32, sync::Arc, time::Duration};

use async_trait::async_trait;
use bb8_redis::redis::{AsyncConnectionConfig, Client, aio::MultiplexedConnection, cmd};
use tokio::{sync::watch, time::sleep};
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::rates::{Admission, SharedRates};

const COUNT: &str = include_str!("rate.lua");

/// How long a caller waits for Redis.
const RESPONSE_TIMEOUT: Duration = Duration::from_millis(250);

const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

/// The delay between attempts to connect.
const RETRY_DELAY: Duration = Duration::from_millis(500);

/// Rate limits that processes share in Redis. Each use takes one round trip.
///
/// Callers share one connection, which a task opens. While there is none,
/// [`count`](SharedRates::count) returns immediately.
pub struct RedisRates {
    link: Arc<watch::Sender<Link>>,
    prefix: String,
    _task: DropGuard,
}

/// The connection and its number, which distinguishes it from previous ones.
type Link = Option<(u64, MultiplexedConnection)>;

impl RedisRates {
    pub(super) fn new(client: Client, prefix: &str) -> Self {
        let link = Arc::new(watch::Sender::new(None));
        let stop = CancellationToken::new();
        let task = keep_connected(client, Arc::clone(&link));
        tokio::spawn(stop.clone().run_until_cancelled_owned(task));
        Self {
            link,
            prefix: prefix.to_owned(),
            _task: stop.drop_guard(),
        }
    }

    fn drop_link(&self, number: u64) {
        self.link.send_if_modified(|link| {
            let is_current = matches!(link, Some((current, _)) if *current == number);
            if is_current {
                *link = None;
            }
            is_current
        });
    }
}

#[async_trait]
impl SharedRates for RedisRates {
    async fn count(&self, name: &str, per_minute: NonZeroU32) -> Option<Admission> {
        let (number, mut connection) = self.link.borrow().clone()?;
        let mut script = cmd("EVAL");
        script.arg(COUNT).arg(1);
        script.arg(format!("{}:{name}", self.prefix));
        script.arg(per_minute.get());
        match script.query_async::<u64>(&mut connection).await {
            Ok(0) => Some(Admission::Admitted),
            Ok(wait) => Some(Admission::RefusedFor(Duration::from_micros(wait))),
            Err(error) => {
                tracing::debug!(%error, "failed to count a rate in redis");
                self.drop_link(number);
                None
            }
        }
    }
}

/// Opens a connection whenever none is open.
async fn keep_connected(client: Client, link: Arc<watch::Sender<Link>>) {
    let config = AsyncConnectionConfig::new()
        .set_response_timeout(Some(RESPONSE_TIMEOUT))
        .set_connection_timeout(Some(CONNECT_TIMEOUT));
    let mut changes = link.subscribe();
    let mut is_reported = false;
    for number in 0.. {
        let connection = loop {
            match client
                .get_multiplexed_async_connection_with_config(&config)
                .await
            {
                Ok(connection) => break connection,
                Err(error) => {
                    if !is_reported {
                        tracing::warn!(%error, "redis is unavailable; each process counts rates alone");
                        is_reported = true;
                    }
                    sleep(RETRY_DELAY).await;
                }
            }
        };
        if is_reported {
            tracing::info!("rates are counted in redis again");
            is_reported = false;
        }
        link.send_replace(Some((number, connection)));
        if changes.wait_for(Option::is_none).await.is_err() {
            return;
        }
    }
}
