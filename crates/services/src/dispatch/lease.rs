use sovd_storage::{StorageError, queue};

use super::execution::{Abandoned, Execution};

impl Execution {
    /// Renews the lease until it is lost. A database that does not answer loses it too: another
    /// process may have the command by then.
    pub(super) async fn keep_lease(&self) -> Abandoned {
        let clock = &self.dispatcher.environment.clock;
        let lease = self.dispatcher.lease();
        let mut end = self.lease_end;
        let mut next = self.lease_end - lease + lease / 3;
        loop {
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
                Ok(true) => end = asked_at + lease,
                Ok(false) => return Abandoned::ClaimLost,
                Err(error) => {
                    let command_id = self.claim.command_id;
                    tracing::warn!(%command_id, %error, "cannot renew the lease, trying again");
                }
            }
        }
    }

    async fn renew(&self) -> Result<bool, StorageError> {
        let environment = &self.dispatcher.environment;
        let until = environment.clock.now() + self.dispatcher.lease();
        let mut connection = environment.database.connection().await?;
        queue::renew(&mut connection, &self.claim, until).await
    }
}
