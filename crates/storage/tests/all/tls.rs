//! TLS to a PostgreSQL with certificates.

use std::{fs, path::PathBuf, time::Duration};

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, date_time_ymd};
use sovd_devstack::{Postgres, PostgresOptions, SearchPath};
use sovd_storage::{Database, PoolSettings, StorageError, migrations};
use tempfile::TempDir;

/// devstack itself connects as `sovd`; other users must use TLS.
const HBA: &str = "
hostnossl all sovd 127.0.0.1/32 trust
hostssl all sovd 127.0.0.1/32 trust
hostssl all encrypted 127.0.0.1/32 trust
hostssl all certified 127.0.0.1/32 cert
hostssl all secretive 127.0.0.1/32 scram-sha-256
";

struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

/// A certificate and its key.
struct Pair {
    certificate: String,
    key: String,
}

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params
            .distinguished_name
            .push(DnType::CommonName, "test CA");
        let key = KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        Self {
            issuer: Issuer::new(params, key),
            pem,
        }
    }

    fn sign(&self, name: &str, last_year: i32) -> Pair {
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        params.not_before = date_time_ymd(2020, 1, 1);
        params.not_after = date_time_ymd(last_year, 1, 1);
        let key = KeyPair::generate().unwrap();
        Pair {
            certificate: params.signed_by(&key, &self.issuer).unwrap().pem(),
            key: key.serialize_pem(),
        }
    }
}

/// A server whose certificate is for `localhost`, and files for its clients.
struct Secured {
    server: Postgres,
    authority: Authority,
    files: TempDir,
}

impl Secured {
    async fn start(last_year: i32) -> Self {
        let authority = Authority::new();
        let server = authority.sign("localhost", last_year);
        let text = str::to_owned;
        let options = PostgresOptions {
            settings: [
                ("ssl", "on"),
                ("ssl_cert_file", "server.crt"),
                ("ssl_key_file", "server.key"),
                ("ssl_ca_file", "root.crt"),
            ]
            .map(|(name, value)| (text(name), text(value)))
            .to_vec(),
            files: vec![
                (text("pg_hba.conf"), text(HBA)),
                (text("server.crt"), server.certificate),
                (text("server.key"), server.key),
                (text("root.crt"), authority.pem.clone()),
            ],
            ..PostgresOptions::default()
        };
        let server = Postgres::start_with(&SearchPath::system(), options).unwrap();
        let (client, connection) = tokio_postgres::connect(&server.url(), tokio_postgres::NoTls)
            .await
            .unwrap();
        tokio::spawn(connection);
        client
            .batch_execute(
                "CREATE ROLE encrypted LOGIN; CREATE ROLE certified LOGIN;
                 CREATE ROLE secretive LOGIN PASSWORD 'hunter2'",
            )
            .await
            .unwrap();
        let files = tempfile::tempdir().unwrap();
        let secured = Self {
            server,
            authority,
            files,
        };
        secured.file("ca.pem", &secured.authority.pem);
        secured
    }

    fn file(&self, name: &str, content: &str) -> PathBuf {
        let path = self.files.path().join(name);
        fs::write(&path, content).unwrap();
        path
    }

    fn url(&self, user: &str, host: &str, query: &str) -> String {
        let (port, files) = (self.server.port(), self.files.path().display());
        let query = query.replace("{files}", &files.to_string());
        format!("postgres://{user}@{host}:{port}/postgres?hostaddr=127.0.0.1&{query}")
    }

    async fn connect(&self, user: &str, host: &str, query: &str) -> Result<(), StorageError> {
        migrations::wait_for(&self.url(user, host, query), Duration::ZERO).await
    }

    async fn accepts(&self, user: &str, host: &str, query: &str) {
        let outcome = self.connect(user, host, query).await;
        assert!(outcome.is_ok(), "{user} {host} {query}: {outcome:?}");
    }

    async fn refuses(&self, user: &str, host: &str, query: &str, reason: &str) {
        let error = self.connect(user, host, query).await.unwrap_err();
        let text = error.to_string();
        assert!(text.contains(reason), "{user} {host} {query}: {text}");
        assert!(!text.contains("hunter2"), "{text}");
    }
}

const FULL: &str = "sslmode=verify-full&sslrootcert={files}/ca.pem";
const CA: &str = "sslmode=verify-ca&sslrootcert={files}/ca.pem";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn verifies_the_server_as_the_mode_requires() {
    let secured = Secured::start(4000).await;
    secured.file("other.pem", &Authority::new().pem);

    secured.accepts("encrypted", "localhost", FULL).await;
    secured.accepts("encrypted", "localhost", CA).await;
    secured.accepts("encrypted", "elsewhere", CA).await;
    let refused = "TLS handshake failed";
    secured
        .refuses("encrypted", "elsewhere", FULL, refused)
        .await;
    for mode in ["verify-full", "verify-ca", "require", "prefer"] {
        let query = format!("sslmode={mode}&sslrootcert={{files}}/other.pem");
        secured
            .refuses("encrypted", "localhost", &query, refused)
            .await;
    }
    for query in ["sslmode=require", "sslmode=prefer", "connect_timeout=5"] {
        secured.accepts("encrypted", "elsewhere", query).await;
    }
    let require = "sslmode=require&sslrootcert={files}/ca.pem";
    secured.accepts("encrypted", "elsewhere", require).await;
    secured
        .refuses(
            "encrypted",
            "localhost",
            "sslmode=disable",
            "no pg_hba.conf entry",
        )
        .await;
    let missing = "sslmode=verify-full&sslrootcert={files}/missing.pem";
    secured
        .refuses("encrypted", "localhost", missing, "missing.pem")
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rejects_an_expired_certificate_if_it_is_verified() {
    let secured = Secured::start(2021).await;
    for query in [FULL, CA] {
        secured
            .refuses("encrypted", "localhost", query, "TLS handshake failed")
            .await;
    }
    secured
        .accepts("encrypted", "localhost", "sslmode=require")
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn authenticates_with_a_client_certificate() {
    let secured = Secured::start(4000).await;
    let own = secured.authority.sign("certified", 4000);
    let foreign = Authority::new().sign("certified", 4000);
    for (name, pair) in [("own", own), ("foreign", foreign)] {
        secured.file(&format!("{name}.crt"), &pair.certificate);
        secured.file(&format!("{name}.key"), &pair.key);
    }
    let with = |name| format!("{FULL}&sslcert={{files}}/{name}.crt&sslkey={{files}}/{name}.key");
    secured
        .accepts("certified", "localhost", &with("own"))
        .await;
    secured
        .refuses("certified", "localhost", FULL, "certificate")
        .await;
    assert!(
        secured
            .connect("certified", "localhost", &with("foreign"))
            .await
            .is_err()
    );
    secured
        .refuses("certified", "localhost", &with("no"), "no.key")
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn binds_the_password_to_the_channel() {
    let secured = Secured::start(4000).await;
    let query = format!("{FULL}&channel_binding=require");
    secured
        .accepts("secretive:hunter2", "localhost", &query)
        .await;
    secured
        .refuses(
            "secretive:hunter3",
            "localhost",
            &query,
            "authentication failed",
        )
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn encrypts_every_connection_of_a_pool() {
    let secured = Secured::start(4000).await;
    let url = secured.url("encrypted", "localhost", FULL);
    let settings = PoolSettings {
        size: 1,
        overflow: 1,
        checkout_timeout: Duration::from_secs(10),
        statement_timeout: Duration::from_secs(10),
    };
    let pool = Database::new(&url, settings);
    pool.ping().await.unwrap();
    pool.listen().await.unwrap();
    let plain = secured.url("encrypted", "localhost", "sslmode=disable");
    Database::new(&plain, settings)
        .listen()
        .await
        .map(drop)
        .unwrap_err();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn accepts_a_server_without_tls_only_by_default() {
    let server = Postgres::start(&SearchPath::system()).unwrap();
    let connect = async |query: &str| {
        let url = format!("{}?{query}", server.url());
        migrations::wait_for(&url, Duration::ZERO).await
    };
    for query in ["", "sslmode=prefer", "sslmode=disable"] {
        connect(query).await.unwrap();
    }
    let error = connect("sslmode=require").await.unwrap_err().to_string();
    assert!(error.contains("does not support TLS"), "{error}");
}
