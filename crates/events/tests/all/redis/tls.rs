use std::{
    fs::{self, Permissions},
    net::TcpListener,
    os::unix::fs::PermissionsExt,
    path::Path,
};

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, date_time_ymd,
};
use sovd_devstack::{Redis, SearchPath};
use sovd_events::{
    BusError, CommandSignal, EventBus, FailureCounters, RedisBus, RedisCertificates, RedisServer,
};
use std::time::Duration;
use tempfile::TempDir;
use tokio::time::timeout;

use super::{
    failure_counters::{STRICT, is_blocked},
    server::Server,
};
use crate::{
    failure_counters::start,
    subscription::{DEADLINE, command, event, next, next_event},
};

/// A certificate authority.
struct Authority {
    pem: String,
    issuer: Issuer<'static, KeyPair>,
}

/// A certificate and its private key in PEM format.
struct Pair {
    certificate: String,
    key: String,
}

impl Authority {
    fn new() -> Self {
        Self::named("tests")
    }

    fn named(name: &str) -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new([]).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        params.key_usages = vec![
            KeyUsagePurpose::KeyCertSign,
            KeyUsagePurpose::DigitalSignature,
        ];
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let pem = params.self_signed(&key).unwrap().pem();
        Self {
            pem,
            issuer: Issuer::new(params, key),
        }
    }

    /// Issues a certificate for `name`, which has expired unless it `is_valid`.
    fn issue(&self, name: &str, is_valid: bool) -> Pair {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new([name.to_owned()]).unwrap();
        params.extended_key_usages = vec![
            ExtendedKeyUsagePurpose::ServerAuth,
            ExtendedKeyUsagePurpose::ClientAuth,
        ];
        if !is_valid {
            params.not_before = date_time_ymd(2000, 1, 1);
            params.not_after = date_time_ymd(2001, 1, 1);
        }
        Pair {
            certificate: params.signed_by(&key, &self.issuer).unwrap().pem(),
            key: key.serialize_pem(),
        }
    }
}

/// A Redis server with TLS.
struct TlsServer {
    server: Server,
    port: u16,
    _files: TempDir,
}

impl TlsServer {
    /// Starts a server with the certificate `pair` that verifies clients against `authority`.
    fn start(pair: &Pair, authority: &Authority, clients: &str) -> Self {
        let files = tempfile::tempdir().unwrap();
        set_mode(files.path(), 0o755);
        let write = |name: &str, content: &str| {
            let path = files.path().join(name);
            fs::write(&path, content).unwrap();
            set_mode(&path, 0o644);
            path.display().to_string()
        };
        let certificate = write("server.pem", &pair.certificate);
        let key = write("key.pem", &pair.key);
        let ca = write("ca.pem", &authority.pem);
        // Another program may take the port before the server does.
        for _ in 0..10 {
            let free = TcpListener::bind(("127.0.0.1", 0)).unwrap();
            let port = free.local_addr().unwrap().port();
            drop(free);
            let port_text = port.to_string();
            let arguments = [
                "--tls-port",
                &port_text,
                "--tls-cert-file",
                &certificate,
                "--tls-key-file",
                &key,
                "--tls-ca-cert-file",
                &ca,
                "--tls-auth-clients",
                clients,
            ];
            if let Ok(redis) = Redis::start_with(&SearchPath::system(), &arguments) {
                return Self {
                    server: Server { redis },
                    port,
                    _files: files,
                };
            }
        }
        panic!("no Redis with TLS starts");
    }

    fn connect(&self, user: &str, certificates: &RedisCertificates) -> RedisBus {
        let url = format!("rediss://{user}127.0.0.1:{}/0", self.port);
        RedisBus::new(RedisServer::new(&url, certificates).unwrap(), "sovd", 64)
    }
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

fn trusting(authority: &Authority) -> RedisCertificates {
    RedisCertificates {
        authorities: Some(authority.pem.clone().into_bytes()),
        client: None,
    }
}

fn showing(authority: &Authority, pair: &Pair) -> RedisCertificates {
    let (certificate, key) = (pair.certificate.clone(), pair.key.clone());
    RedisCertificates {
        client: Some((certificate.into_bytes(), key.into_bytes())),
        ..trusting(authority)
    }
}

/// Asserts that publishing and subscribing work over this bus.
async fn assert_connected(bus: &RedisBus) {
    // On a busy machine a handshake may exceed the timeout of a call.
    let ready = async { while bus.ping().await.is_err() {} };
    timeout(DEADLINE, ready).await.unwrap();
    let mut subscription = bus.subscribe(command(1));
    assert_eq!(next(&mut subscription).await, CommandSignal::Reread);
    bus.publish(&event(command(1), 1)).await.unwrap();
    assert_eq!(*next_event(&mut subscription).await, event(command(1), 1));
    assert!(*bus.connected().borrow());
}

/// Asserts that the bus cannot connect for `reason` and counts failures locally.
async fn assert_rejected(bus: &RedisBus, reason: &str) -> String {
    let reported = async {
        loop {
            let error = bus.ping().await.unwrap_err().to_string();
            if error.contains(reason) {
                return error;
            }
        }
    };
    let error = timeout(DEADLINE, reported).await.unwrap();
    assert!(!*bus.connected().borrow());
    let counters = bus.failure_counters();
    let counted = async {
        counters.record_failures(&[("name", STRICT)], start()).await;
        is_blocked(&counters, "name").await
    };
    let is_counted = timeout(DEADLINE, counted).await.unwrap();
    assert!(is_counted, "the process counts by itself");
    error
}

#[tokio::test]
async fn accepts_a_valid_certificate() {
    let authority = Authority::new();
    let pair = authority.issue("127.0.0.1", true);
    let server = TlsServer::start(&pair, &authority, "no");
    let bus = server.connect("", &trusting(&authority));
    assert_connected(&bus).await;
    let counters = bus.failure_counters();
    let (now, until) = (start(), start() + Duration::from_mins(1));
    assert!(counters.block("name", until, now).await);
    let keys: Vec<String> = server.server.ask(&["KEYS", "*"]).await;
    assert_eq!(keys, ["sovd:name"]);
}

#[tokio::test]
async fn rejects_a_certificate_for_another_name() {
    let authority = Authority::new();
    let pair = authority.issue("redis.example", true);
    let server = TlsServer::start(&pair, &authority, "no");
    let bus = server.connect("", &trusting(&authority));
    assert_rejected(&bus, "not valid for name").await;
}

#[tokio::test]
async fn rejects_an_expired_certificate() {
    let authority = Authority::new();
    let pair = authority.issue("127.0.0.1", false);
    let server = TlsServer::start(&pair, &authority, "no");
    let bus = server.connect("", &trusting(&authority));
    assert_rejected(&bus, "expired").await;
}

#[tokio::test]
async fn rejects_a_certificate_of_an_unknown_authority() {
    let authority = Authority::new();
    let pair = authority.issue("127.0.0.1", true);
    let server = TlsServer::start(&pair, &authority, "no");
    let others = [
        trusting(&Authority::named("others")),
        RedisCertificates::default(),
    ];
    for certificates in others {
        let bus = server.connect("", &certificates);
        assert_rejected(&bus, "UnknownIssuer").await;
    }
}

#[tokio::test]
async fn sends_the_client_certificate_on_request() {
    let authority = Authority::new();
    let pair = authority.issue("127.0.0.1", true);
    let server = TlsServer::start(&pair, &authority, "yes");
    let client = authority.issue("sovd", true);
    assert_connected(&server.connect("", &showing(&authority, &client))).await;
    let bus = server.connect("", &trusting(&authority));
    assert_rejected(&bus, "CertificateRequired").await;
}

#[tokio::test]
async fn authenticates_a_user_with_a_password() {
    let authority = Authority::new();
    let pair = authority.issue("127.0.0.1", true);
    let server = TlsServer::start(&pair, &authority, "no");
    let rules = [
        "ACL",
        "SETUSER",
        "sovd",
        "on",
        ">hunter2/#",
        "~*",
        "&*",
        "+@all",
    ];
    server.server.ask::<()>(&rules).await;
    assert_connected(&server.connect("sovd:hunter2%2F%23@", &trusting(&authority))).await;
    let bus = server.connect("sovd:hunter3@", &trusting(&authority));
    let error = assert_rejected(&bus, "Password authentication failed").await;
    assert!(!error.contains("hunter"), "{error}");
}

#[test]
fn rejects_unusable_certificates() {
    let authority = Authority::new();
    let (one, other) = (authority.issue("a", true), authority.issue("b", true));
    let new = |certificates: &RedisCertificates| {
        RedisServer::new("rediss://127.0.0.1", certificates).unwrap_err()
    };
    for authorities in ["", "text", &one.key] {
        let certificates = RedisCertificates {
            authorities: Some(authorities.into()),
            client: None,
        };
        let error = new(&certificates);
        assert!(matches!(error, BusError::Authorities(_)), "{error}");
    }
    for (certificate, key) in [
        (&one.certificate, &other.key),
        (&one.certificate, &one.certificate),
        (&one.key, &one.key),
    ] {
        let pair = Pair {
            certificate: certificate.clone(),
            key: key.clone(),
        };
        let error = new(&showing(&authority, &pair));
        assert!(matches!(error, BusError::ClientCertificate(_)), "{error}");
        assert!(!error.to_string().contains("PRIVATE"), "{error}");
    }
}

#[tokio::test]
async fn ignores_a_request_for_an_insecure_connection() {
    let authority = Authority::new();
    let pair = authority.issue("redis.example", true);
    let server = TlsServer::start(&pair, &authority, "no");
    let url = format!("rediss://127.0.0.1:{}/#insecure", server.port);
    let server = RedisServer::new(&url, &trusting(&authority)).unwrap();
    let bus = RedisBus::new(server, "sovd", 64);
    assert_rejected(&bus, "insecure").await;
}
