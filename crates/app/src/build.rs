//! Makes the parts from the settings.

use std::{sync::Arc, time::Duration};

use sovd_api::{ApiState, OpenStreams, ServerSettings, SocketSettings};
use sovd_connector::{Connector, Journal, MockBehaviour, MockConnector, MockFailure, Registry};
use sovd_domain::{Catalog, RuleBook, SystemRandom};
use sovd_events::{
    EventBus, FailureCounters, LocalBus, LocalFailureCounters, RedisBus, SharedRates,
};
use sovd_services::{
    CredentialCache, Environment, EventPublisher, SystemTimer, WorkNotifier,
    agents::{AgentPolicy, Agents, BlockedAttemptLocks},
    audit::{
        Audit,
        refusals::{RefusalCount, RefusalQueue, Refusals},
    },
    bulk_reads::{BulkReadSettings, BulkReads},
    commands::{
        Commands, WaitingLimits,
        dispatch::{Backoff, DispatchSettings, Dispatcher},
        streams::Streams,
    },
    fleet::{events::Fleet, vehicles::Vehicles},
    health::Health,
    identity::{
        auth::{
            Auth, AuthSettings, SignatureAlgorithm, SigningKeyError, SigningKeys, ThrottleSettings,
        },
        service_accounts::ServiceAccounts,
        users::Users,
    },
    in_flight::InFlight,
    limits::{LimitSettings, Limits},
    maintenance::{
        anomalies::Anomalies, bookings::Bookings, detection::DetectionNotifier, insights::Insights,
    },
};
use sovd_settings as settings;
use sovd_settings::Settings;
use sovd_storage::{
    Database, PoolSettings,
    migrations::{self, MigrationState},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{error::StartError, redis_server};

/// How often a dispatcher asks whether something in the queue is due although nothing was announced.
/// Half of the time in which the work of a process that was killed is to be taken over.
const IDLE_SWEEP: Duration = Duration::from_secs(5);

/// Waits for the database and makes sure that it is as new as the program.
pub(crate) async fn ready_database(settings: &settings::Database) -> Result<(), StartError> {
    let url = settings.url.expose();
    migrations::wait_for(url, settings.start_timeout())
        .await
        .map_err(|source| StartError::DatabaseAway {
            url: settings.url.to_string(),
            seconds: settings.wait_seconds,
            source,
        })?;
    let states = migrations::status(url)
        .await
        .map_err(|source| StartError::Database {
            url: settings.url.to_string(),
            source,
        })?;
    refuse_pending(states)
}

pub(crate) fn refuse_pending(states: Vec<MigrationState>) -> Result<(), StartError> {
    let pending: Vec<String> = states
        .into_iter()
        .filter(|state| !state.applied)
        .map(|state| state.name)
        .collect();
    if pending.is_empty() {
        Ok(())
    } else {
        Err(StartError::PendingMigrations { pending })
    }
}

/// What the services work with, and the limits of users.
pub(crate) fn environment(
    settings: &Settings,
    rules: RuleBook,
    policy: AgentPolicy,
) -> Result<(Environment, Arc<Limits>), StartError> {
    let database = &settings.database;
    let pool = PoolSettings {
        size: database.pool_size,
        overflow: database.pool_overflow,
        checkout_timeout: database.checkout_timeout(),
        statement_timeout: database.statement_timeout(),
    };
    let Messenger {
        bus,
        attempts,
        limits,
    } = messenger(settings)?;
    let database = Database::new(database.url.expose(), pool);
    let refusals = RefusalCount::default();
    let environment = Environment {
        refusal_queue: RefusalQueue::new(database.clone(), refusals.clone()),
        database,
        bulk_reads: BulkReads::new(BulkReadSettings {
            lists_per_caller: settings.limits.lists_in_flight,
            exports_per_caller: settings.limits.exports_per_user,
            exports: settings.limits.exports_in_flight,
        }),
        event_publisher: EventPublisher::new(Arc::clone(&bus)),
        bus,
        agents: Arc::new(policy),
        blocked_attempt_locks: BlockedAttemptLocks::default(),
        credential_cache: CredentialCache::new(settings.auth.memory()),
        refusals,
        attempts,
        catalog: Arc::new(Catalog::standard()),
        rules: Arc::new(rules),
        clock: Arc::new(SystemTimer),
        random: Arc::new(SystemRandom),
        work_notifier: WorkNotifier::default(),
        detection_notifier: DetectionNotifier::default(),
    };
    Ok((environment, Arc::new(limits)))
}

/// What agents may change, which only those judge who know the permissions.
pub(crate) fn agent_policy(agents: &settings::Agents) -> Result<AgentPolicy, StartError> {
    let policy = AgentPolicy::new(&agents.allow, agents.blocked_attempts, agents.window());
    Ok(policy?)
}

/// What processes share.
struct Messenger {
    bus: Arc<dyn EventBus>,
    attempts: Arc<dyn FailureCounters>,
    limits: Limits,
}

fn messenger(settings: &Settings) -> Result<Messenger, StartError> {
    let limits = LimitSettings {
        commands_per_minute: settings.limits.commands_per_minute,
        requests_per_minute: settings.limits.requests_per_minute,
    };
    let buffer = settings.streams.buffer;
    if let Some(server) = redis_server::from(&settings.redis)? {
        let bus = RedisBus::new(server, &settings.redis.key_prefix, buffer);
        let rates = (!limits.are_off()).then(|| Arc::new(bus.rates()) as Arc<dyn SharedRates>);
        return Ok(Messenger {
            attempts: Arc::new(bus.attempts()),
            limits: Limits::new(limits, rates),
            bus: Arc::new(bus),
        });
    }
    tracing::info!("no redis.url: events stay in this process, which is right for a single one");
    Ok(Messenger {
        bus: Arc::new(LocalBus::new(buffer)),
        attempts: Arc::new(LocalFailureCounters::default()),
        limits: Limits::new(limits, None),
    })
}

pub(crate) fn dispatcher(
    settings: &Settings,
    environment: Environment,
) -> Result<Dispatcher, StartError> {
    let mock = MockConnector::new(
        mock_behaviour(&settings.connector.mock),
        Arc::clone(&environment.random),
    )
    .with_journal(mock_journal(&settings.connector.mock));
    let connectors: Vec<Arc<dyn Connector>> = vec![Arc::new(mock)];
    let registry = Registry::new(connectors, &settings.connector.default)?;
    let dispatch = DispatchSettings {
        concurrency: settings.dispatch.concurrency,
        lease: settings.dispatch.lease(),
        sweep: settings.dispatch.sweep_interval(),
        idle_sweep: settings.dispatch.sweep_interval().max(IDLE_SWEEP),
        backoff: Backoff {
            first: settings.dispatch.first_retry(),
            longest: settings.dispatch.longest_retry(),
        },
    };
    Ok(Dispatcher::new(environment, Arc::new(registry), dispatch))
}

fn mock_behaviour(mock: &settings::MockConnector) -> MockBehaviour {
    MockBehaviour {
        min_delay: mock.min_delay(),
        max_delay: mock.max_delay(),
        chunks: usize::try_from(mock.chunks).unwrap_or(usize::MAX),
        failure: match mock.failure {
            settings::MockFailure::None => None,
            settings::MockFailure::Rejected => Some(MockFailure::Rejected),
            settings::MockFailure::Unreachable => Some(MockFailure::Unreachable),
            settings::MockFailure::Timeout => Some(MockFailure::Timeout),
            settings::MockFailure::Broken => Some(MockFailure::Broken),
        },
        hang: mock.hang,
        lose_final: mock.lose_final,
        only: mock.only.clone(),
    }
}

fn mock_journal(mock: &settings::MockConnector) -> Journal {
    match &mock.journal {
        Some(path) => Journal::file(path),
        None => Journal::in_memory(),
    }
}

pub(crate) fn api_state(
    settings: &Settings,
    keys: SigningKeys,
    environment: &Environment,
    limits: Arc<Limits>,
) -> ApiState {
    let auth = Auth::new(
        environment.clone(),
        auth_settings(&settings.auth, keys),
        Arc::clone(&limits),
    );
    ApiState {
        users: Arc::new(Users::new(environment.clone(), auth.passwords())),
        service_accounts: Arc::new(ServiceAccounts::new(environment.clone())),
        agents: Arc::new(Agents::new(environment.clone())),
        refusals: Arc::new(Refusals::new(environment.clone())),
        auth: Arc::new(auth),
        vehicles: Arc::new(Vehicles::new(environment.clone())),
        anomalies: Arc::new(Anomalies::new(environment.clone())),
        commands: Arc::new(Commands::new(
            environment.clone(),
            limits,
            WaitingLimits {
                per_vehicle: settings.dispatch.waiting_per_vehicle,
                per_user: settings.dispatch.waiting_per_user,
            },
        )),
        bookings: Arc::new(Bookings::new(
            environment.clone(),
            settings.maintenance.slot(),
        )),
        insights: Arc::new(Insights::new(
            environment.clone(),
            settings.maintenance.insight_threshold,
        )),
        streams: Arc::new(Streams::new(environment.clone())),
        fleet: Arc::new(Fleet::new(environment.clone())),
        audit: Arc::new(Audit::new(environment.clone())),
        health: Arc::new(Health::new(environment.clone())),
        sockets: SocketSettings {
            ping: settings.streams.ping_interval(),
            idle: settings.streams.idle_timeout(),
            keep_alive: settings.streams.keep_alive_interval(),
        },
        in_flight: Arc::new(InFlight::new(
            "requests of one caller",
            settings.limits.requests_in_flight,
        )),
        open_streams: Arc::new(OpenStreams::new(settings.streams.per_user)),
        closing: CancellationToken::new(),
        open_sockets: TaskTracker::new(),
        body_limit: settings.server.body_limit_bytes,
        body_timeout: settings.server.body_timeout(),
    }
}

fn auth_settings(auth: &settings::Auth, keys: SigningKeys) -> AuthSettings {
    AuthSettings {
        keys,
        access_ttl: auth.access_ttl(),
        leeway: auth.leeway(),
        refresh_ttl: auth.refresh_ttl(),
        session_ttl: auth.session_ttl(),
        bcrypt_cost: auth.bcrypt_cost,
        throttle: ThrottleSettings {
            account_attempts: auth.account_attempts,
            address_attempts: auth.address_attempts,
        },
    }
}

/// The keys of the tokens, which only their library can judge.
pub(crate) fn signing_keys(auth: &settings::Auth) -> Result<SigningKeys, StartError> {
    let algorithm = match auth.jwt_algorithm {
        settings::JwtAlgorithm::Hs256 => SignatureAlgorithm::Hs256,
        settings::JwtAlgorithm::Hs384 => SignatureAlgorithm::Hs384,
        settings::JwtAlgorithm::Hs512 => SignatureAlgorithm::Hs512,
        settings::JwtAlgorithm::Rs256 => SignatureAlgorithm::Rs256,
        settings::JwtAlgorithm::Es256 => SignatureAlgorithm::Es256,
        settings::JwtAlgorithm::EdDsa => SignatureAlgorithm::EdDsa,
    };
    let key = auth.signing_key().cloned().unwrap_or_default();
    SigningKeys::new(algorithm, &key, auth.previous_key()).map_err(|source| {
        StartError::SigningKey {
            key: match source {
                SigningKeyError::Current(_) => auth.jwt_algorithm.signing_key_path(),
                SigningKeyError::Previous(_) => auth.jwt_algorithm.previous_key_path(),
            },
            source,
        }
    })
}

pub(crate) fn server_settings(server: &settings::Server) -> ServerSettings {
    ServerSettings {
        host: server.host.clone(),
        port: server.port,
        workers: server.worker_threads(),
        cors_origins: server.cors_origins.clone(),
        trusted_proxies: server.trusted_networks(),
        https_only: server.https_only(),
        connections: server.max_connections,
        connections_per_address: server.connections_per_address,
        head_timeout: server.head_timeout(),
        write_timeout: server.write_timeout(),
        idle_timeout: server.idle_timeout(),
        shutdown: server.shutdown_grace(),
    }
}
