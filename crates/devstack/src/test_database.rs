use std::mem;
use std::sync::mpsc;
use std::time::Duration;

use tokio_postgres::{Client, NoTls};

use crate::error::StackError;
use crate::maintenance::MaintenanceHandle;
use crate::sweep::drop_statements;

/// A database that only its holder knows. Dropping this drops it, whoever is connected.
#[derive(Debug)]
pub struct TestDatabase {
    name: String,
    url: String,
    maintenance: MaintenanceHandle,
}

impl TestDatabase {
    pub(crate) fn new(name: String, url: String, maintenance: MaintenanceHandle) -> Self {
        Self {
            name,
            url,
            maintenance,
        }
    }

    /// Its name on the server.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// `postgres://…`, for any client.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// A new connection, driven by a task of the calling runtime.
    ///
    /// # Errors
    ///
    /// When PostgreSQL does not answer.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime.
    pub async fn client(&self) -> Result<Client, StackError> {
        let (client, connection) = tokio_postgres::connect(&self.url, NoTls)
            .await
            .map_err(StackError::database(format!("connect to {}", self.name)))?;
        tokio::spawn(connection);
        Ok(client)
    }

    /// Leaves the database where it is and gives its name.
    pub(crate) fn keep(mut self) -> String {
        mem::take(&mut self.name)
    }
}

impl Drop for TestDatabase {
    /// Waits for the drop, so that a process that ends now leaves nothing behind; but not for
    /// long, because the server may be down.
    fn drop(&mut self) {
        const PATIENCE: Duration = Duration::from_secs(10);
        if self.name.is_empty() {
            return;
        }
        let (reply, answer) = mpsc::sync_channel(1);
        let done = Box::new(move |_| {
            let _ = reply.send(());
        });
        if self
            .maintenance
            .order(drop_statements(&self.name), done)
            .is_ok()
        {
            let _ = answer.recv_timeout(PATIENCE);
        }
    }
}
