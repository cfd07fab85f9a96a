use std::{
    sync::atomic::{AtomicI64, Ordering},
    time::Duration,
};

use chrono::{DateTime, Utc};
use sovd_storage::{StorageError, commands::queue};
use tokio::time::sleep;

use super::task::{Abandoned, ClaimedTask};

/// How long a task without a lease may take to find that out by itself.
const GRACE: Duration = Duration::from_millis(500);

/// The moment at which a lease ends unless it is renewed.
#[derive(Debug)]
pub(super) struct LeaseEnd(AtomicI64);

impl LeaseEnd {
    pub(super) fn at(moment: DateTime<Utc>) -> Self {
        Self(AtomicI64::new(moment.timestamp_micros()))
    }

    fn get(&self) -> DateTime<Utc> {
        let micros = self.0.load(Ordering::Relaxed);
        DateTime::from_timestamp_micros(micros).unwrap_or(DateTime::<Utc>::MIN_UTC)
    }

    fn set(&self, moment: DateTime<Utc>) {
        self.0.store(moment.timestamp_micros(), Ordering::Relaxed);
    }
}

impl ClaimedTask {
    /// Whether nobody else can have the task. To be asked right before anything is sent: the process
    /// may have stood still for a while.
    pub(super) fn holds_lease(&self) -> bool {
        self.now() < self.lease_end.get()
    }

    /// Renews the lease until it is lost. A database that does not answer loses it too: another
    /// process may have the command by then.
    pub(super) async fn keep_lease(&self) -> Abandoned {
        let clock = &self.dispatcher.context.clock;
        let lease = self.dispatcher.lease();
        let mut next = self.lease_end.get() - lease + lease / 3;
        loop {
            let end = self.lease_end.get();
            tokio::select! {
                () = clock.sleep_until(next) => {}
                () = clock.sleep_until(end) => return Abandoned::ClaimLost,
            }
            let asked_at = clock.now();
            next = asked_at + lease / 3;
            let renewed = tokio::select! {
                renewed = self.renew() => renewed,
                () = clock.sleep_until(end) => return Abandoned::ClaimLost,
            };
            match renewed {
                Ok(true) => self.lease_end.set(asked_at + lease),
                Ok(false) => {
                    // It may be the task's own end that took the lease away just now. That one is
                    // let finish; whoever really lost the claim can write nothing meanwhile.
                    sleep(GRACE).await;
                    return Abandoned::ClaimLost;
                }
                Err(error) => {
                    let command_id = self.claim.command_id;
                    tracing::warn!(%command_id, %error, "cannot renew the lease, trying again");
                }
            }
        }
    }

    async fn renew(&self) -> Result<bool, StorageError> {
        let context = &self.dispatcher.context;
        let until = context.clock.now() + self.dispatcher.lease();
        let mut connection = context.database.connection().await?;
        queue::renew(&mut connection, &self.claim, until).await
    }
}
