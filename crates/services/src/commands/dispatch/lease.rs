use std::{
    sync::atomic::{AtomicI64, Ordering},
    time::Duration,
};

use chrono::{DateTime, Utc};
use sovd_storage::{StorageError, commands::queue};
use tokio::time::sleep;

use super::task::{Abandoned, ClaimedTask};

/// Time that a task without a lease has to end by itself.
const GRACE: Duration = Duration::from_millis(500);

/// The end of a lease unless it is renewed.
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
    /// Returns whether no other process can hold the task. To be checked right before a command is sent,
    /// because the process may have been suspended.
    pub(super) fn holds_lease(&self) -> bool {
        self.now() < self.lease_end.get()
    }

    /// Renews the lease until it is lost. It is also lost if the database does not respond in time, because
    /// another process may then claim the command.
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
                    // The task itself may just have ended the lease, and gets the time to finish. A task
                    // that lost its claim cannot write meanwhile.
                    sleep(GRACE).await;
                    return Abandoned::ClaimLost;
                }
                Err(error) => {
                    let command_id = self.claim.command_id;
                    tracing::warn!(%command_id, %error, "failed to renew the lease; retrying");
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
