use std::{
    rc::Rc,
    time::{Duration, Instant},
};

use sovd_devstack::Postgres;
use tokio::time::sleep;
use tokio_postgres::Client;

use crate::{
    binaries::Binaries,
    databases::{self, ACCOUNTS, Role, connect, count},
    server::Server,
    user::log_in,
};

/// The time in which a server completes the commands of a measurement before the next one.
const DRAIN_TIMEOUT: Duration = Duration::from_mins(2);

/// A server under test, with its own database and users that are logged in.
pub(crate) struct Candidate {
    pub(crate) server: Server,
    pub(crate) tokens: Vec<Rc<str>>,
    pub(crate) sql: Client,
}

impl Candidate {
    pub(crate) async fn start(
        postgres: &Postgres,
        database: &str,
        binaries: &Binaries,
        role: Role,
    ) -> Self {
        let url = databases::create(postgres, database, binaries, role).await;
        let server = Server::start(binaries, &url, &[]);
        let mut tokens = Vec::new();
        for account in 0..ACCOUNTS {
            tokens.push(log_in(server.address, &format!("load{account}")).await);
        }
        let sql = connect(&url).await;
        Self {
            server,
            tokens,
            sql,
        }
    }

    /// Waits until all commands for connected vehicles have ended, and removes the others.
    pub(crate) async fn drain(&self) {
        let offline = "
            WITH gone AS (
                DELETE FROM command_queue USING vehicles
                WHERE vehicles.vehicle_id = command_queue.vehicle_id
                  AND connection_status = 'disconnected'
                RETURNING command_id)
            UPDATE commands SET status = 'failed', failure_kind = 'cancelled', completed_at = now()
            WHERE command_id IN (SELECT command_id FROM gone)";
        self.sql.execute(offline, &[]).await.unwrap();
        let started = Instant::now();
        while count(&self.sql, "SELECT count(*) FROM command_queue").await > 0 {
            assert!(started.elapsed() < DRAIN_TIMEOUT, "commands do not end");
            sleep(Duration::from_millis(100)).await;
        }
    }
}
