use std::{sync::Arc, time::Duration};

use sovd_connector::Registry;
use sovd_domain::{Catalog, Random, RuleBook, SystemRandom};
use sovd_events::{EventBus, LocalFailureCounters};
use sovd_services::{
    Access, CredentialCache, EventPublisher, Timer, WorkNotifier,
    agents::{AgentGuard, AgentPolicy, Agents},
    audit::{Audit, refusals::Refusals},
    bulk_reads::{BulkReadSettings, BulkReads},
    commands::{
        Commands, WaitingLimits,
        dispatch::{DispatchContext, DispatchSettings, Dispatcher},
        streams::Streams,
    },
    fleet::{events::Fleet, vehicles::Vehicles},
    housekeeping::{Housekeeping, Retention},
    identity::auth::{Auth, AuthSettings},
    limits::{LimitSettings, Limits},
    maintenance::{
        anomalies::Anomalies,
        bookings::Bookings,
        detection::{DetectionNotifier, DetectionWorker},
        insights::Insights,
    },
};
use sovd_storage::Database;

use crate::test_timer::TestTimer;

/// The rules that the product ships.
const RULES: &str = include_str!("../../../../config/anomaly_rules.toml");

/// The parts of one process, and the services made of them.
#[derive(Clone)]
pub(crate) struct Parts {
    pub(crate) database: Database,
    pub(crate) bus: Arc<dyn EventBus>,
    pub(crate) refusals: Refusals,
    pub(crate) event_publisher: EventPublisher,
    pub(crate) work_notifier: WorkNotifier,
    pub(crate) catalog: Arc<Catalog>,
    pub(crate) rules: Arc<RuleBook>,
    pub(crate) clock: Arc<dyn Timer>,
    pub(crate) random: Arc<dyn Random>,
    detection_notifier: DetectionNotifier,
    agent_guard: AgentGuard,
    access: Access,
    credentials: CredentialCache,
}

impl Parts {
    pub(crate) fn new(
        database: Database,
        bus: Arc<dyn EventBus>,
        timer: TestTimer,
        catalog: Catalog,
    ) -> Self {
        let clock: Arc<dyn Timer> = Arc::new(timer);
        let refusals = Refusals::new(database.clone(), Arc::clone(&clock));
        Self::with_refusals(database, bus, clock, Arc::new(catalog), refusals)
    }

    /// Returns the parts of a process with another pool, whose refusals are still written by this one.
    pub(crate) fn with_database(&self, database: Database) -> Self {
        Self::with_refusals(
            database,
            Arc::clone(&self.bus),
            Arc::clone(&self.clock),
            Arc::clone(&self.catalog),
            self.refusals.clone(),
        )
    }

    fn with_refusals(
        database: Database,
        bus: Arc<dyn EventBus>,
        clock: Arc<dyn Timer>,
        catalog: Arc<Catalog>,
        refusals: Refusals,
    ) -> Self {
        let random: Arc<dyn Random> = Arc::new(SystemRandom);
        let agent_guard = AgentGuard::new(
            database.clone(),
            AgentPolicy::new(&[], 5, Duration::from_mins(10)).unwrap(),
            refusals.rate_limit().clone(),
            Arc::clone(&clock),
            Arc::clone(&random),
        );
        let bulk_reads = BulkReads::new(BulkReadSettings {
            lists_per_caller: 100,
            exports_per_caller: 100,
            exports: 100,
        });
        let event_publisher = EventPublisher::new(Arc::clone(&bus));
        Self {
            access: Access::new(
                database.clone(),
                bulk_reads,
                agent_guard.clone(),
                refusals.clone(),
                Arc::clone(&clock),
            ),
            credentials: CredentialCache::new(Duration::from_secs(5), event_publisher.clone()),
            database,
            bus,
            refusals,
            event_publisher,
            work_notifier: WorkNotifier::default(),
            catalog,
            rules: Arc::new(RULES.parse().unwrap()),
            clock,
            random,
            detection_notifier: DetectionNotifier::default(),
            agent_guard,
        }
    }

    pub(crate) fn agents(&self) -> Agents {
        Agents::new(self.access.clone(), Arc::clone(&self.random))
    }

    pub(crate) fn anomalies(&self) -> Anomalies {
        Anomalies::new(self.access.clone(), Arc::clone(&self.random))
    }

    pub(crate) fn audit(&self) -> Audit {
        Audit::new(self.access.clone(), self.credentials.clone())
    }

    pub(crate) fn auth(&self, settings: AuthSettings) -> Auth {
        Auth::new(
            self.access.clone(),
            self.credentials.clone(),
            Arc::new(LocalFailureCounters::default()),
            Arc::clone(&self.random),
            settings,
            unlimited(),
        )
    }

    pub(crate) fn bookings(&self) -> Bookings {
        let slot = Duration::from_mins(30);
        Bookings::new(self.access.clone(), Arc::clone(&self.random), slot)
    }

    pub(crate) fn commands(&self) -> Commands {
        Commands::new(
            self.access.clone(),
            Arc::clone(&self.catalog),
            self.event_publisher.clone(),
            self.work_notifier.clone(),
            Arc::clone(&self.random),
            unlimited(),
            WaitingLimits {
                per_vehicle: 0,
                per_user: 0,
            },
        )
    }

    pub(crate) fn detection(&self) -> DetectionWorker {
        DetectionWorker::new(
            self.database.clone(),
            Arc::clone(&self.rules),
            self.detection_notifier.clone(),
            Arc::clone(&self.clock),
            Arc::clone(&self.random),
        )
    }

    pub(crate) fn dispatcher(
        &self,
        connectors: Registry,
        work_notifier: WorkNotifier,
        settings: DispatchSettings,
    ) -> Dispatcher {
        let context = DispatchContext {
            database: self.database.clone(),
            catalog: Arc::clone(&self.catalog),
            rules: Arc::clone(&self.rules),
            event_publisher: self.event_publisher.clone(),
            work_notifier,
            detection_notifier: self.detection_notifier.clone(),
            clock: Arc::clone(&self.clock),
            random: Arc::clone(&self.random),
        };
        Dispatcher::new(context, Arc::new(connectors), settings)
    }

    pub(crate) fn fleet(&self) -> Fleet {
        Fleet::new(
            self.access.clone(),
            Arc::clone(&self.bus),
            self.credentials.clone(),
        )
    }

    pub(crate) fn housekeeping(&self, retention: Retention) -> Housekeeping {
        Housekeeping::new(
            self.database.clone(),
            Arc::clone(&self.clock),
            self.agent_guard.clone(),
            self.refusals.clone(),
            retention,
        )
    }

    pub(crate) fn insights(&self, threshold: u32) -> Insights {
        Insights::new(
            self.access.clone(),
            Arc::clone(&self.rules),
            Arc::clone(&self.random),
            threshold,
        )
    }

    pub(crate) fn streams(&self) -> Streams {
        Streams::new(
            self.database.clone(),
            Arc::clone(&self.bus),
            self.credentials.clone(),
        )
    }

    pub(crate) fn vehicles(&self) -> Vehicles {
        Vehicles::new(self.access.clone(), Arc::clone(&self.random))
    }
}

fn unlimited() -> Arc<Limits> {
    let settings = LimitSettings {
        commands_per_minute: 0,
        requests_per_minute: 0,
    };
    Arc::new(Limits::new(settings, None))
}
