use std::{net::SocketAddr, sync::Arc, time::Duration};

use sovd_api::{ApiState, Server};
use sovd_services::{
    audit::sealing,
    commands::dispatch::Dispatcher,
    fleet::events,
    housekeeping::{Housekeeping, Retention},
    maintenance::detection::DetectionWorker,
};
use sovd_settings::{Audit, Settings};
use tokio::{
    task::JoinHandle,
    time::{Instant, sleep_until, timeout_at},
};
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::{
    anomaly_rules,
    build::{self, Parts},
    error::StartError,
    redis_server,
    shutdown::Shutdown,
};

/// What is kept of the shutdown time to hand abandoned commands back.
const RESERVE: Duration = Duration::from_secs(2);

/// What is kept of it to be gone in time.
const MARGIN: Duration = Duration::from_millis(500);

/// The whole program, bound to its address and not yet serving.
pub struct Application {
    server: Server,
    parts: Parts,
    state: ApiState,
    dispatcher: Option<Dispatcher>,
    audit: Audit,
    retention: Retention,
    grace: Duration,
}

impl Application {
    /// Whether the program could be made from these settings and the files that they name, as far as
    /// that shows without the outside world.
    ///
    /// # Errors
    ///
    /// [`StartError::SigningKey`] when a key for tokens is none that the algorithm takes;
    /// [`StartError::AgentPolicy`] when what agents may change is not a permission for that;
    /// [`StartError::Redis`] and [`StartError::RedisFile`] when Redis cannot be connected to with the
    /// address and the files for TLS;
    /// [`StartError::AnomalyRulesAway`] and [`StartError::AnomalyRules`] when there are no rules to
    /// find anomalies by.
    pub fn check(settings: &Settings) -> Result<(), StartError> {
        build::signing_keys(&settings.auth)?;
        build::agent_policy(&settings.agents)?;
        redis_server::from(&settings.redis)?;
        anomaly_rules::read(settings.maintenance.anomaly_rules.as_deref()).map(drop)
    }

    /// Makes the program from its settings.
    ///
    /// # Errors
    ///
    /// See [`StartError`].
    pub async fn build(settings: Settings) -> Result<Self, StartError> {
        let keys = build::signing_keys(&settings.auth)?;
        let policy = build::agent_policy(&settings.agents)?;
        let rules = anomaly_rules::read(settings.maintenance.anomaly_rules.as_deref())?;
        build::ready_database(&settings.database).await?;
        let file = settings.maintenance.anomaly_rules.as_deref();
        let file = file.map(|path| path.display().to_string());
        tracing::info!(file, rules = rules.iter().count(), "rules for anomalies");
        let parts = build::parts(&settings, rules, policy)?;
        let dispatcher = build::dispatcher(&settings, &parts)?;
        let state = build::api_state(&settings, keys, &parts);
        let server = Server::bind(state.clone(), &build::server_settings(&settings.server))?;
        for address in server.addresses() {
            tracing::info!(%address, environment = %settings.environment, "listening");
        }
        Ok(Self {
            server,
            parts,
            state,
            dispatcher: settings.dispatch.enabled.then_some(dispatcher),
            retention: Retention {
                audit: settings.audit.retention(),
                agents: settings.agents.retention(),
            },
            audit: settings.audit,
            grace: settings.server.shutdown_grace(),
        })
    }

    /// The addresses that it listens on.
    pub fn addresses(&self) -> &[SocketAddr] {
        self.server.addresses()
    }

    /// Serves until `shutdown` asks to stop.
    ///
    /// # Errors
    ///
    /// [`StartError::Serve`] when the system takes the sockets away.
    pub async fn run(self, shutdown: Shutdown) -> Result<(), StartError> {
        let Self {
            server,
            parts,
            state,
            dispatcher,
            audit,
            retention,
            grace,
        } = self;
        let give_up = CancellationToken::new();
        let _beside = beside(&parts, retention, shutdown.soft()).drop_guard();
        let sealing = start_sealing(&parts, &audit);
        let handle = server.handle();
        let mut dispatching =
            dispatcher.map(|it| tokio::spawn(it.run(shutdown.soft().clone(), give_up.clone())));
        let mut serving = tokio::spawn(server.run());

        tokio::select! {
            biased;
            () = shutdown.soft().cancelled() => {}
            // A server that takes commands and sends none is worse than none.
            death = died(&mut dispatching) => {
                tracing::error!(error = %death, "the dispatcher died");
                shutdown.stop_now();
                return Err(StartError::Serve(std::io::Error::other(death)));
            }
            served = &mut serving => {
                shutdown.stop_now();
                give_up.cancel();
                return served
                    .map_err(std::io::Error::other)
                    .flatten()
                    .map_err(StartError::Serve);
            }
        }
        tracing::info!("stopping");
        let deadline = Instant::now() + grace.saturating_sub(MARGIN);
        handle.pause().await;
        let finish = async {
            let sockets = close_sockets(&state, deadline);
            let commands = finish_commands(dispatching, &give_up, deadline);
            tokio::join!(sockets, commands, handle.stop(true));
            tokio::join!(parts.event_publisher.flush(), parts.refusals.flush());
            // The last one, so that nothing written until now waits for another start.
            if let Some(sealing) = sealing {
                sealing.finish().await;
            }
        };
        // Past the deadline nobody is waited for: the end of the process closes what is left.
        tokio::select! {
            () = finish => {}
            () = sleep_until(deadline) => serving.abort(),
            () = shutdown.hard().cancelled() => serving.abort(),
        }
        give_up.cancel();
        tracing::info!("stopped");
        Ok(())
    }
}

/// Ends when the dispatcher does, which it should not by itself.
async fn died(dispatching: &mut Option<JoinHandle<()>>) -> String {
    match dispatching {
        None => std::future::pending().await,
        Some(dispatching) => match dispatching.await {
            Ok(()) => "it ended without being asked to".to_owned(),
            Err(error) => error.to_string(),
        },
    }
}

/// Starts what goes on beside the requests, until `stop` or the token that it gives is cancelled.
fn beside(parts: &Parts, retention: Retention, stop: &CancellationToken) -> CancellationToken {
    let stop = stop.child_token();
    let (database, bus) = (|| parts.database.clone(), || Arc::clone(&parts.bus));
    let clock = || Arc::clone(&parts.clock);
    let housekeeping = Housekeeping::new(
        database(),
        clock(),
        parts.agents.clone(),
        parts.refusals.clone(),
        retention,
    );
    let detection = DetectionWorker::new(
        database(),
        Arc::clone(&parts.rules),
        parts.detection_notifier.clone(),
        clock(),
        Arc::clone(&parts.random),
    );
    let (work_notifier, credentials) = (parts.work_notifier.clone(), parts.credentials.clone());
    tokio::spawn(work_notifier.spread(database(), stop.clone()));
    tokio::spawn(housekeeping.run(stop.clone()));
    tokio::spawn(events::listen(database(), bus(), stop.clone()));
    tokio::spawn(detection.run(stop.clone()));
    tokio::spawn(credentials.run(database(), bus(), clock(), stop.clone()));
    stop
}

/// The sealer of the audit trail, which goes on while the others stop. Dropping it stops it too.
struct Sealing {
    stop: DropGuard,
    task: JoinHandle<()>,
}

/// Nothing when this process does not seal.
fn start_sealing(parts: &Parts, audit: &Audit) -> Option<Sealing> {
    let interval = audit.seal_interval()?;
    let stop = CancellationToken::new();
    let task = tokio::spawn(sealing::run(
        parts.database.clone(),
        Arc::clone(&parts.clock),
        interval,
        stop.clone(),
    ));
    Some(Sealing {
        stop: stop.drop_guard(),
        task,
    })
}

impl Sealing {
    /// Lets it seal what was written so far.
    async fn finish(self) {
        drop(self.stop);
        if let Err(error) = self.task.await {
            tracing::warn!(%error, "the sealer of the audit trail died");
        }
    }
}

async fn close_sockets(state: &ApiState, deadline: Instant) {
    state.closing.cancel();
    state.open_sockets.close();
    let _ = timeout_at(deadline, state.open_sockets.wait()).await;
}

/// Lets commands that are under way end, and hands back those that take too long.
async fn finish_commands(
    dispatching: Option<JoinHandle<()>>,
    give_up: &CancellationToken,
    deadline: Instant,
) {
    let Some(mut dispatching) = dispatching else {
        return;
    };
    let patience = deadline.checked_sub(RESERVE).unwrap_or(deadline);
    if timeout_at(patience, &mut dispatching).await.is_err() {
        give_up.cancel();
        let _ = timeout_at(deadline, dispatching).await;
    }
}
