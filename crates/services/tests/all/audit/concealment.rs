//! Requests for concealed and for missing objects run the same statements.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use sovd_domain::{
    AnomalyId, BookingId, BookingStatus, CommandId, Role, SessionId, UserId, VehicleId,
};
use sovd_services::{
    Caller, ServiceError,
    identity::auth::{Auth, AuthSettings, SignatureAlgorithm, SigningKeys, ThrottleSettings},
    maintenance::bookings::{BookingChange, NewBooking},
};
use sovd_storage::{Database, PoolSettings};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, copy},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
};
use uuid::Uuid;

use crate::{
    fixture::{TestBed, VEHICLE, engineer},
    parts::Parts,
    scripted_connector::ScriptedConnector,
};

/// The vehicle of the customer of the seeds.
const OWNED: VehicleId = VehicleId(Uuid::from_u128(0x103));

/// Objects of another user, or of a vehicle that does not belong to the customer.
const CONCEALED: &str = "
    INSERT INTO anomaly_events (id, vehicle_id, detected_at, anomaly_type, severity)
        VALUES ('00000000-0000-0000-0000-0000000000a1', $V, now(), 'test', 'Low');
    INSERT INTO service_bookings (id, vehicle_id, appointment_time, status)
        VALUES ('00000000-0000-0000-0000-0000000000b1', $V, now() + interval '1 day', 'PENDING')";

const ATTEMPTS: [(&str, &str); 12] = [
    ("command", "command.read"),
    ("stream of a command", "command.read"),
    ("cancellation of a command", "command.cancel"),
    ("anomaly", "anomaly.read"),
    ("diagnoses of an anomaly", "anomaly.read"),
    ("booking", "booking.read"),
    ("cancellation of a booking", "booking.update"),
    ("booking about an anomaly", "booking.create"),
    ("vehicle", "vehicle.read"),
    ("booking for a vehicle", "booking.create"),
    ("stream of a vehicle", "vehicle.watch"),
    ("session", "session.end"),
];

/// Forwards connections to PostgreSQL and counts their statements.
struct Counter {
    url: String,
    statements: Arc<AtomicUsize>,
}

impl Counter {
    async fn before(url: &str) -> Self {
        let server = url.split(['@', '/']).nth(3).unwrap().to_owned();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let statements = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&statements);
        let url = url.replace(&server, &address);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let server = TcpStream::connect(&server).await.unwrap();
                let (from_client, mut to_client) = client.into_split();
                let (mut from_server, to_server) = server.into_split();
                tokio::spawn(forward(from_client, to_server, Arc::clone(&counted)));
                tokio::spawn(async move { copy(&mut from_server, &mut to_client).await });
            }
        });
        Self { url, statements }
    }

    fn total(&self) -> usize {
        self.statements.load(Ordering::SeqCst)
    }
}

/// Forwards the messages of a client. Messages before the start of the session have no type.
async fn forward(
    mut client: OwnedReadHalf,
    mut server: OwnedWriteHalf,
    statements: Arc<AtomicUsize>,
) -> std::io::Result<()> {
    const TLS_REQUEST: i32 = 80_877_103;
    let mut has_started = false;
    loop {
        let kind = if has_started {
            Some(client.read_u8().await?)
        } else {
            None
        };
        let length = client.read_i32().await?;
        let mut body = vec![0; usize::try_from(length).unwrap() - 4];
        client.read_exact(&mut body).await?;
        match kind {
            // Execute, and Query of the simple protocol.
            Some(kind) => {
                if matches!(kind, b'E' | b'Q') {
                    statements.fetch_add(1, Ordering::SeqCst);
                }
                server.write_u8(kind).await?;
            }
            None => has_started = body.get(..4) != Some(&TLS_REQUEST.to_be_bytes()[..]),
        }
        server.write_i32(length).await?;
        server.write_all(&body).await?;
    }
}

struct Services {
    parts: Parts,
    auth: Auth,
}

impl Services {
    fn new(parts: Parts) -> Self {
        let secret = "0123456789abcdef0123456789abcdef";
        let settings = AuthSettings {
            keys: SigningKeys::new(SignatureAlgorithm::HS256, &secret.into(), None).unwrap(),
            access_ttl: Duration::from_mins(15),
            leeway: Duration::ZERO,
            refresh_ttl: Duration::from_hours(1),
            session_ttl: Duration::from_hours(24),
            bcrypt_cost: 4,
            throttle: ThrottleSettings {
                account_attempts: 0,
                address_attempts: 0,
            },
        };
        Self {
            auth: parts.auth(settings),
            parts,
        }
    }

    /// Requests an object that is concealed from the caller.
    async fn attempt(&self, name: &str, id: Uuid) -> ServiceError {
        let parts = &self.parts;
        let (customer, service) = (customer(), service());
        let (commands, anomalies, bookings) =
            (parts.commands(), parts.anomalies(), parts.bookings());
        let booking = |vehicle_id, anomaly_event_id| NewBooking {
            vehicle_id,
            service_center_id: None,
            appointment_time: parts.clock.now() + chrono::TimeDelta::days(1),
            customer_notes: None,
            anomaly_event_id,
        };
        let outcome = match name {
            "command" => commands.get(&service, CommandId(id)).await.map(drop),
            "stream of a command" => {
                let streams = parts.streams();
                let following = streams.follow(&commands, &service, CommandId(id), 0);
                following.await.map(drop)
            }
            "cancellation of a command" => commands.cancel(&service, CommandId(id)).await.map(drop),
            "anomaly" => anomalies.get(&customer, AnomalyId(id)).await.map(drop),
            "diagnoses of an anomaly" => {
                let page = sovd_domain::Page::new(None, None).unwrap();
                let listing = anomalies.diagnoses(&customer, AnomalyId(id), page);
                listing.await.map(drop)
            }
            "booking" => bookings.get(&customer, BookingId(id)).await.map(drop),
            "cancellation of a booking" => {
                let change = BookingChange {
                    status: Some(BookingStatus::Cancelled),
                    ..BookingChange::default()
                };
                let changing = bookings.change(&customer, BookingId(id), change);
                changing.await.map(drop)
            }
            "booking about an anomaly" => {
                let booking = booking(OWNED, Some(AnomalyId(id)));
                bookings.create(&customer, booking).await.map(drop)
            }
            "vehicle" => {
                let vehicles = parts.vehicles();
                vehicles.get(&customer, VehicleId(id)).await.map(drop)
            }
            "booking for a vehicle" => {
                let booking = booking(VehicleId(id), None);
                bookings.create(&customer, booking).await.map(drop)
            }
            "stream of a vehicle" => {
                let fleet = parts.fleet();
                fleet.watch(&customer, Some(VehicleId(id))).await.map(drop)
            }
            "session" => self.auth.end_session(&customer, SessionId(id)).await,
            _ => panic!("{name}"),
        };
        outcome.unwrap_err()
    }
}

fn caller(number: u128, role: Role) -> Caller {
    let mut caller = engineer();
    caller.user.user_id = UserId(Uuid::from_u128(number));
    caller.user.role = role;
    caller.credential = sovd_services::Credential::Session(SessionId(Uuid::from_u128(number)));
    caller
}

fn customer() -> Caller {
    caller(3, Role::Customer)
}

fn service() -> Caller {
    caller(4, Role::Service)
}

#[tokio::test]
async fn concealed_and_missing_objects_run_the_same_statements() {
    let bed = TestBed::new(ScriptedConnector::new()).await;
    let command = bed.submit("ReadDTC").await;
    let concealed = CONCEALED.replace("$V", &format!("'{}'", VEHICLE.0));
    let sql = bed.sql().await;
    sql.batch_execute(&concealed).await.unwrap();

    let counter = Counter::before(bed.url()).await;
    let pool = PoolSettings {
        size: 1,
        overflow: 0,
        checkout_timeout: Duration::from_secs(3),
        statement_timeout: Duration::from_secs(30),
    };
    // The refusal queue keeps its direct connection, so that only requests are counted.
    let database = Database::new(&counter.url, pool);
    let services = Services::new(bed.parts.with_database(database));
    for (name, action) in ATTEMPTS {
        let concealed = match name {
            name if name.ends_with("command") => command.0,
            "session" => Uuid::from_u128(2),
            name if name.ends_with("vehicle") => VEHICLE.0,
            name if name.ends_with("anomaly") => Uuid::from_u128(0xa1),
            _ => Uuid::from_u128(0xb1),
        };
        let mut counts = Vec::new();
        // The first request also prepares statements.
        for id in [Uuid::from_u128(0xffff), Uuid::from_u128(0xfffe), concealed] {
            let before = counter.total();
            let error = services.attempt(name, id).await;
            assert!(
                matches!(error, ServiceError::NotFound { .. }),
                "{name}: {error}"
            );
            counts.push(counter.total() - before);
        }
        assert!(counts[1] > 0, "{name}");
        assert_eq!(counts[1], counts[2], "{name}");

        bed.parts.refusals.flush().await;
        let audited = "SELECT count(*) FROM audit_logs
                       WHERE result = 'refused' AND action = $1 AND entity_id = $2";
        let row = sql
            .query_one(audited, &[&action, &concealed])
            .await
            .unwrap();
        assert!(row.get::<_, i64>(0) > 0, "{name}");
    }
    let refused = "SELECT count(*) FROM audit_logs WHERE result = 'refused'
                   AND entity_type <> 'vehicle'";
    let row = sql.query_one(refused, &[]).await.unwrap();
    assert_eq!(
        row.get::<_, i64>(0),
        9,
        "requests for missing objects are audited"
    );
}
