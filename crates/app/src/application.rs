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
    migrate::Migrator,
    redis_server,
    shutdown::Shutdown,
};

/// The part of the shutdown time that is reserved for releasing unfinished commands.
const RESERVE: Duration = Duration::from_secs(2);

/// The part of the shutdown time that is reserved for the end of the process.
const MARGIN: Duration = Duration::from_millis(500);

/// The server program, bound to its address.
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
    /// Checks the settings and the files that they name, without connecting to other servers.
    ///
    /// # Errors
    ///
    /// [`StartError::SigningKey`], [`StartError::AgentPolicy`], [`StartError::Redis`],
    /// [`StartError::File`] or [`StartError::AnomalyRules`].
    pub fn check(settings: &Settings) -> Result<(), StartError> {
        build::signing_keys(&settings.auth)?;
        build::agent_policy(&settings.agents)?;
        redis_server::from(&settings.redis)?;
        anomaly_rules::read(settings.maintenance.anomaly_rules.as_deref()).map(drop)
    }

    /// Creates the program from its settings.
    ///
    /// # Errors
    ///
    /// See [`StartError`].
    pub async fn build(settings: Settings) -> Result<Self, StartError> {
        let keys = build::signing_keys(&settings.auth)?;
        let policy = build::agent_policy(&settings.agents)?;
        let rules = anomaly_rules::read(settings.maintenance.anomaly_rules.as_deref())?;
        let migrator = Migrator::new(&settings);
        migrator.wait(settings.database.start_timeout()).await?;
        migrator.refuse_pending().await?;
        let file = settings.maintenance.anomaly_rules.as_deref();
        let file = file.map(|path| path.display().to_string());
        tracing::info!(
            file,
            rules = rules.iter().count(),
            "loaded the anomaly rules"
        );
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
                commands: settings.commands.retention(),
                audit: settings.audit.retention(),
                agents: settings.agents.retention(),
            },
            audit: settings.audit,
            grace: settings.server.shutdown_grace(),
        })
    }

    /// Returns the addresses on which the server listens.
    pub fn addresses(&self) -> &[SocketAddr] {
        self.server.addresses()
    }

    /// Serves until `shutdown` is requested.
    ///
    /// # Errors
    ///
    /// [`StartError::Serve`] if the server or the dispatcher fails.
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
        let abort = CancellationToken::new();
        let _background =
            start_background_tasks(&parts, retention, &shutdown.graceful).drop_guard();
        let sealing = start_sealing(&parts, &audit);
        let handle = server.handle();
        let mut dispatcher =
            dispatcher.map(|it| tokio::spawn(it.run(shutdown.graceful.clone(), abort.clone())));
        let mut server = tokio::spawn(server.run());

        tokio::select! {
            biased;
            () = shutdown.graceful.cancelled() => {}
            // A server must not accept commands that it cannot send.
            failure = failure_of(&mut dispatcher) => {
                tracing::error!(error = %failure, "the dispatcher failed");
                shutdown.stop_now();
                return Err(StartError::Serve(std::io::Error::other(failure)));
            }
            result = &mut server => {
                shutdown.stop_now();
                abort.cancel();
                return result
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
            let commands = finish_commands(dispatcher, &abort, deadline);
            tokio::join!(sockets, commands, handle.stop(true));
            tokio::join!(parts.event_publisher.flush(), parts.refusals.flush());
            // Last, so that all entries written until now are sealed.
            if let Some((stop, task)) = sealing {
                drop(stop);
                if let Err(error) = task.await {
                    tracing::warn!(%error, "sealing the audit trail failed");
                }
            }
        };
        // After the deadline, the end of the process closes the remaining connections.
        tokio::select! {
            () = finish => {}
            () = sleep_until(deadline) => server.abort(),
            () = shutdown.immediate.cancelled() => server.abort(),
        }
        abort.cancel();
        tracing::info!("stopped");
        Ok(())
    }
}

/// Waits until the dispatcher ends, which is a failure.
async fn failure_of(dispatcher: &mut Option<JoinHandle<()>>) -> String {
    match dispatcher {
        None => std::future::pending().await,
        Some(dispatcher) => match dispatcher.await {
            Ok(()) => "the dispatcher ended unexpectedly".to_owned(),
            Err(error) => error.to_string(),
        },
    }
}

/// Starts the background tasks, which run until `stop` or the returned token is cancelled.
fn start_background_tasks(
    parts: &Parts,
    retention: Retention,
    stop: &CancellationToken,
) -> CancellationToken {
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
    tokio::spawn(work_notifier.forward(database(), stop.clone()));
    tokio::spawn(housekeeping.run(stop.clone()));
    tokio::spawn(events::listen(database(), bus(), stop.clone()));
    tokio::spawn(detection.run(stop.clone()));
    tokio::spawn(credentials.run(database(), bus(), clock(), stop.clone()));
    stop
}

/// Starts sealing the audit trail unless it is disabled. The task outlasts the other tasks, and stops
/// when the guard is dropped.
fn start_sealing(parts: &Parts, audit: &Audit) -> Option<(DropGuard, JoinHandle<()>)> {
    let interval = audit.seal_interval()?;
    let stop = CancellationToken::new();
    let task = tokio::spawn(sealing::run(
        parts.database.clone(),
        Arc::clone(&parts.clock),
        interval,
        stop.clone(),
    ));
    Some((stop.drop_guard(), task))
}

async fn close_sockets(state: &ApiState, deadline: Instant) {
    state.closing.cancel();
    state.open_sockets.close();
    let _ = timeout_at(deadline, state.open_sockets.wait()).await;
}

/// Waits for running commands, and releases those that take too long.
async fn finish_commands(
    dispatcher: Option<JoinHandle<()>>,
    abort: &CancellationToken,
    deadline: Instant,
) {
    let Some(mut dispatcher) = dispatcher else {
        return;
    };
    let finish_by = deadline.checked_sub(RESERVE).unwrap_or(deadline);
    if timeout_at(finish_by, &mut dispatcher).await.is_err() {
        abort.cancel();
        let _ = timeout_at(deadline, dispatcher).await;
    }
}
