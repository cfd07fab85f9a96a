//! Creates the parts of the program from the settings.

use std::{sync::Arc, time::Duration};

use sovd_api::{ApiState, OpenStreams, ServerSettings, SocketSettings};
use sovd_connector::{Connector, Journal, MockBehavior, MockConnector, MockFailure, Registry};
use sovd_domain::{Catalog, Random, RuleBook, SystemRandom};
use sovd_events::{
    EventBus, FailureCounters, LocalBus, LocalFailureCounters, RedisBus, SharedRates,
};
use sovd_services::{
    Access, CredentialCache, EventPublisher, SystemTimer, Timer, WorkNotifier,
    agents::{AgentGuard, AgentPolicy, Agents},
    audit::{Audit, refusals::Refusals},
    bulk_reads::{BulkReadSettings, BulkReads},
    commands::{
        Commands, WaitingLimits,
        dispatch::{Backoff, DispatchContext, DispatchSettings, Dispatcher},
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
use sovd_storage::{Database, PoolSettings};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{error::StartError, redis_server};

/// The interval at which a dispatcher checks the queue without a notification. Half of the time within which
/// the work of a killed process must be taken over.
const IDLE_SWEEP: Duration = Duration::from_secs(5);

/// The parts that several services share.
pub(crate) struct Parts {
    pub(crate) database: Database,
    pub(crate) bus: Arc<dyn EventBus>,
    pub(crate) access: Access,
    pub(crate) agents: AgentGuard,
    pub(crate) refusals: Refusals,
    pub(crate) credentials: CredentialCache,
    pub(crate) event_publisher: EventPublisher,
    pub(crate) work_notifier: WorkNotifier,
    pub(crate) detection_notifier: DetectionNotifier,
    pub(crate) catalog: Arc<Catalog>,
    pub(crate) rules: Arc<RuleBook>,
    pub(crate) clock: Arc<dyn Timer>,
    pub(crate) random: Arc<dyn Random>,
    failure_counters: Arc<dyn FailureCounters>,
    limits: Arc<Limits>,
}

/// Creates the parts.
pub(crate) fn parts(
    settings: &Settings,
    rules: RuleBook,
    policy: AgentPolicy,
) -> Result<Parts, StartError> {
    let (bus, failure_counters, limits) = shared(settings)?;
    let clock: Arc<dyn Timer> = Arc::new(SystemTimer);
    let random: Arc<dyn Random> = Arc::new(SystemRandom);
    let database = Database::new(
        settings.database.url.expose(),
        PoolSettings {
            size: settings.database.pool_size,
            overflow: settings.database.pool_overflow,
            checkout_timeout: settings.database.checkout_timeout(),
            statement_timeout: settings.database.statement_timeout(),
        },
    );
    let bulk_reads = BulkReads::new(BulkReadSettings {
        lists_per_caller: settings.limits.lists_in_flight,
        exports_per_caller: settings.limits.exports_per_user,
        exports: settings.limits.exports_in_flight,
    });
    let refusals = Refusals::new(database.clone(), Arc::clone(&clock));
    let agents = AgentGuard::new(
        database.clone(),
        policy,
        refusals.rate_limit().clone(),
        Arc::clone(&clock),
        Arc::clone(&random),
    );
    let event_publisher = EventPublisher::new(Arc::clone(&bus));
    Ok(Parts {
        access: Access::new(
            database.clone(),
            bulk_reads,
            agents.clone(),
            refusals.clone(),
            Arc::clone(&clock),
        ),
        credentials: CredentialCache::new(
            settings.auth.credential_cache_ttl(),
            event_publisher.clone(),
        ),
        database,
        bus,
        agents,
        refusals,
        event_publisher,
        work_notifier: WorkNotifier::default(),
        detection_notifier: DetectionNotifier::default(),
        catalog: Arc::new(Catalog::standard()),
        rules: Arc::new(rules),
        clock,
        random,
        failure_counters,
        limits: Arc::new(limits),
    })
}

/// Creates the policy of agents, whose permissions only the services can parse.
pub(crate) fn agent_policy(agents: &settings::Agents) -> Result<AgentPolicy, StartError> {
    let policy = AgentPolicy::new(&agents.allow, agents.blocked_attempts, agents.window());
    Ok(policy?)
}

/// What processes share over Redis, or a single process has for itself.
type Shared = (Arc<dyn EventBus>, Arc<dyn FailureCounters>, Limits);

fn shared(settings: &Settings) -> Result<Shared, StartError> {
    let limits = LimitSettings {
        commands_per_minute: settings.limits.commands_per_minute,
        requests_per_minute: settings.limits.requests_per_minute,
    };
    let buffer = settings.streams.buffer;
    if let Some(server) = redis_server::from(&settings.redis)? {
        let bus = RedisBus::new(server, &settings.redis.key_prefix, buffer);
        let rates = (!limits.are_off()).then(|| Arc::new(bus.rates()) as Arc<dyn SharedRates>);
        let failure_counters = Arc::new(bus.failure_counters());
        return Ok((Arc::new(bus), failure_counters, Limits::new(limits, rates)));
    }
    tracing::info!("redis.url is not set; running as a single process");
    let failure_counters = Arc::new(LocalFailureCounters::default());
    let bus = Arc::new(LocalBus::new(buffer));
    Ok((bus, failure_counters, Limits::new(limits, None)))
}

pub(crate) fn dispatcher(settings: &Settings, parts: &Parts) -> Result<Dispatcher, StartError> {
    let behavior = mock_behavior(&settings.connector.mock);
    let mut mock = MockConnector::new(behavior, Arc::clone(&parts.random));
    if let Some(path) = &settings.connector.mock.journal {
        mock = mock.with_journal(Journal::file(path));
    }
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
    let context = DispatchContext {
        database: parts.database.clone(),
        catalog: Arc::clone(&parts.catalog),
        rules: Arc::clone(&parts.rules),
        event_publisher: parts.event_publisher.clone(),
        work_notifier: parts.work_notifier.clone(),
        detection_notifier: parts.detection_notifier.clone(),
        clock: Arc::clone(&parts.clock),
        random: Arc::clone(&parts.random),
    };
    Ok(Dispatcher::new(context, Arc::new(registry), dispatch))
}

fn mock_behavior(mock: &settings::MockConnector) -> MockBehavior {
    MockBehavior {
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

pub(crate) fn api_state(settings: &Settings, keys: SigningKeys, parts: &Parts) -> ApiState {
    let access = || parts.access.clone();
    let credentials = || parts.credentials.clone();
    let random = || Arc::clone(&parts.random);
    let bus = || Arc::clone(&parts.bus);
    let auth = Auth::new(
        access(),
        credentials(),
        Arc::clone(&parts.failure_counters),
        random(),
        auth_settings(&settings.auth, keys),
        Arc::clone(&parts.limits),
    );
    let commands = Commands::new(
        access(),
        Arc::clone(&parts.catalog),
        parts.event_publisher.clone(),
        parts.work_notifier.clone(),
        random(),
        Arc::clone(&parts.limits),
        WaitingLimits {
            per_vehicle: settings.dispatch.waiting_per_vehicle,
            per_user: settings.dispatch.waiting_per_user,
        },
    );
    let maintenance = &settings.maintenance;
    let threshold = maintenance.insight_threshold;
    let rules = Arc::clone(&parts.rules);
    let passwords = auth.passwords();
    ApiState {
        users: Arc::new(Users::new(access(), credentials(), random(), passwords)),
        service_accounts: Arc::new(ServiceAccounts::new(access(), credentials(), random())),
        agents: Arc::new(Agents::new(access(), random())),
        refusals: Arc::new(parts.refusals.clone()),
        auth: Arc::new(auth),
        vehicles: Arc::new(Vehicles::new(access(), random())),
        anomalies: Arc::new(Anomalies::new(access(), random())),
        commands: Arc::new(commands),
        bookings: Arc::new(Bookings::new(access(), random(), maintenance.slot())),
        insights: Arc::new(Insights::new(access(), rules, random(), threshold)),
        streams: Arc::new(Streams::new(parts.database.clone(), bus(), credentials())),
        fleet: Arc::new(Fleet::new(access(), bus(), credentials())),
        audit: Arc::new(Audit::new(access(), credentials())),
        health: Arc::new(Health::new(parts.database.clone(), bus())),
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

/// Creates the token keys, which only the services can parse.
pub(crate) fn signing_keys(auth: &settings::Auth) -> Result<SigningKeys, StartError> {
    let algorithm = match auth.jwt_algorithm {
        settings::JwtAlgorithm::Hs256 => SignatureAlgorithm::HS256,
        settings::JwtAlgorithm::Hs384 => SignatureAlgorithm::HS384,
        settings::JwtAlgorithm::Hs512 => SignatureAlgorithm::HS512,
        settings::JwtAlgorithm::Rs256 => SignatureAlgorithm::RS256,
        settings::JwtAlgorithm::Es256 => SignatureAlgorithm::ES256,
        settings::JwtAlgorithm::EdDsa => SignatureAlgorithm::EdDSA,
    };
    let key = auth.signing_key().cloned().unwrap_or_default();
    let (current, previous) = auth.jwt_algorithm.key_paths();
    SigningKeys::new(algorithm, &key, auth.previous_key()).map_err(|source| {
        StartError::SigningKey {
            key: match source {
                SigningKeyError::Current(_) => current,
                SigningKeyError::Previous(_) => previous,
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
