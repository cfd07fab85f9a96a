use std::process::{Command, Stdio};

use sovd_devstack::{Postgres, PostgresOptions, SearchPath};
use tokio_postgres::{Client, NoTls};

use crate::binaries::Binaries;

/// Connected vehicles, with ids that the SQL of the yardstick can compute.
pub(crate) const VEHICLES: usize = 1_000;
/// Users of the server, one for each user of the load.
pub(crate) const ACCOUNTS: usize = 256;
/// The password of all users.
pub(crate) const PASSWORD: &str = "engineer123";

/// Disconnected vehicles have ids above those of the connected ones. The first hash of the password has
/// cost 4, so that logging in takes no time; the users `bcrypt…` have one of cost 12.
const PREPARE: &str = "
    INSERT INTO users (user_id, username, email, password_hash, role)
    SELECT ('00000000-0000-4000-9000-' || lpad(to_hex(n), 12, '0'))::uuid, 'load' || n,
           'load' || n || '@example.com',
           '$2b$04$KO8HgMxXotcuHip4uQbJS.s.YO/xUbfj2C0xrV2NR3qRLHvx8rgtu', $ROLE
    FROM generate_series(0, 255) n;
    INSERT INTO users (username, email, password_hash, role)
    SELECT 'bcrypt' || n, 'bcrypt' || n || '@example.com',
           '$2b$12$QoM4N.MURWzKjefDOCLahu.sa1anq1/4nTfNVdBO19FNR/2y3XpK6', 'engineer'
    FROM generate_series(0, 255) n;
    INSERT INTO vehicles (vehicle_id, vin, make, model, year, connection_status, last_seen_at)
    SELECT ('00000000-0000-4000-8000-' || lpad(to_hex(n), 12, '0'))::uuid,
           'LOADTEST' || lpad(n::text, 9, '0'), 'Tesla', 'Model 3', 2023,
           CASE WHEN n < 1000 THEN 'connected' ELSE 'disconnected' END, now()
    FROM generate_series(0, 1999) n;
    VACUUM ANALYZE";

/// The role of the users `load…`.
#[derive(Clone, Copy)]
pub(crate) enum Role {
    Engineer,
    Admin,
}

/// Starts PostgreSQL with the durability of a real installation.
pub(crate) fn start_postgres(with_statements: bool) -> Postgres {
    let mut settings = vec![
        ("fsync", "on"),
        ("synchronous_commit", "on"),
        ("full_page_writes", "on"),
        ("shared_buffers", "256MB"),
        ("max_wal_size", "4GB"),
    ];
    if with_statements {
        settings.push(("shared_preload_libraries", "pg_stat_statements"));
        settings.push(("pg_stat_statements.track", "all"));
    }
    let owned = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
    let options = PostgresOptions {
        settings: settings.into_iter().map(owned).collect(),
        ..PostgresOptions::default()
    };
    Postgres::start_with(&SearchPath::system(), options).unwrap()
}

/// Creates a database with the migrations of a build, vehicles and users, and returns its URL.
pub(crate) async fn create(
    postgres: &Postgres,
    name: &str,
    binaries: &Binaries,
    role: Role,
) -> String {
    let administrator = connect(&postgres.url()).await;
    let create = format!("CREATE DATABASE {name}");
    administrator.batch_execute(&create).await.unwrap();
    let url = format!("postgres://sovd@127.0.0.1:{}/{name}", postgres.port());
    let status = Command::new(&binaries.migrate)
        .arg("up")
        .env_clear()
        .env("DATABASE_URL", &url)
        .current_dir(std::env::temp_dir())
        .stdout(Stdio::null())
        .status()
        .unwrap();
    assert!(status.success(), "the migrations failed");
    let role = match role {
        Role::Engineer => "'engineer'",
        Role::Admin => "'admin'",
    };
    let client = connect(&url).await;
    // Statement by statement, because VACUUM refuses to run in the implicit transaction of a batch.
    for statement in PREPARE.replace("$ROLE", role).split(';') {
        client.batch_execute(statement).await.unwrap();
    }
    url
}

/// Opens a connection, driven by a task of the current runtime.
pub(crate) async fn connect(url: &str) -> Client {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await.unwrap();
    tokio::spawn(connection);
    client
}

/// Returns the only number of the only row of a query.
pub(crate) async fn count(client: &Client, query: &str) -> i64 {
    client.query_one(query, &[]).await.unwrap().get(0)
}
