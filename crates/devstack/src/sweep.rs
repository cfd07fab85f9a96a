use tokio_postgres::{Client, Error};

use crate::owner_tag::OwnerTag;

/// Drops the test databases of processes that are gone.
///
/// The databases are listed before the locks. A process takes its lock before it creates its
/// first database, so the owner of every listed database, if it lives, is among the locks. One
/// whose owner has lost its connection for a moment is safe while anybody uses it, because the
/// drop is not forced.
pub(crate) async fn drop_leftovers(client: &Client) -> Result<(), Error> {
    let databases = test_databases(client).await?;
    let alive = live_owners(client).await?;
    for (name, tag) in databases {
        if !alive.contains(&tag) {
            // Fails when it is in use, or when another process sweeps too; both are fine.
            let _ = client
                .batch_execute(&format!("DROP DATABASE IF EXISTS {name}"))
                .await;
        }
    }
    Ok(())
}

/// Drops all databases of one owner, whoever is connected to them.
pub(crate) async fn drop_all_of(client: &Client, owner: OwnerTag) -> Result<(), Error> {
    for (name, tag) in test_databases(client).await? {
        if tag == owner {
            for statement in drop_statements(&name) {
                client.batch_execute(&statement).await?;
            }
        }
    }
    Ok(())
}

pub(crate) fn drop_statements(name: &str) -> Vec<String> {
    let drop = format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)");
    vec![end_sessions_statement(name), drop]
}

/// Ends all clients' sessions of a database and waits up to a second until they are gone.
/// `FORCE` waits as well, but in steps of 100 ms, which every test would pay for. The server's
/// own workers are left to it: only a superuser may end them.
pub(crate) fn end_sessions_statement(name: &str) -> String {
    let sessions = format!(
        "FROM pg_stat_activity WHERE datname = '{name}' AND backend_type = 'client backend'"
    );
    format!(
        "DO $$ BEGIN \
           PERFORM pg_terminate_backend(pid) {sessions}; \
           FOR attempt IN 1..200 LOOP \
             PERFORM pg_stat_clear_snapshot(); \
             EXIT WHEN NOT EXISTS (SELECT {sessions}); \
             PERFORM pg_sleep(0.005); \
           END LOOP; \
         END $$"
    )
}

async fn test_databases(client: &Client) -> Result<Vec<(String, OwnerTag)>, Error> {
    let rows = client
        .query("SELECT datname::text FROM pg_database", &[])
        .await?;
    let names = rows
        .iter()
        .filter_map(|row| row.try_get::<_, String>(0).ok());
    Ok(names
        .filter_map(|name| OwnerTag::of_database(&name).map(|tag| (name, tag)))
        .collect())
}

/// `pg_locks` shows the locks taken in every database of the server. `objsubid` 1 marks keys of
/// 64 bits.
async fn live_owners(client: &Client) -> Result<Vec<OwnerTag>, Error> {
    let held = "SELECT classid, objid FROM pg_locks \
                WHERE locktype = 'advisory' AND objsubid = 1 AND granted";
    let rows = client.query(held, &[]).await?;
    rows.iter()
        .map(|row| Ok(OwnerTag::of_lock(row.try_get(0)?, row.try_get(1)?)))
        .collect()
}
