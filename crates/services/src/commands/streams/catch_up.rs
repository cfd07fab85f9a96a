use std::{collections::HashMap, sync::Arc, time::Duration};

use sovd_domain::{Command, CommandId, CommandStatus, Response};
use sovd_events::EventBus;
use sovd_storage::{
    Connection, Database, StorageError,
    commands::{
        self,
        responses::{self, Position},
    },
};
use tokio::{
    sync::{
        mpsc::{self, UnboundedReceiver, UnboundedSender},
        oneshot, watch,
    },
    time::{Instant, sleep, sleep_until, timeout},
};

/// The number of responses of one command read at a time, which bounds the memory of a slow follower.
const PAGE: i64 = 64;

/// The number of positions read in one statement, which bounds the size of its result.
const BATCH: usize = 32;

/// The timeout of a run.
const TIMEOUT: Duration = Duration::from_secs(40);

/// The interval between sweeps of followed commands while the bus is connected. A process may crash
/// between the commit and the publication of an event.
const SWEEP_INTERVAL: Duration = Duration::from_secs(5);

/// The interval between runs, each of which sweeps, while the bus is disconnected.
const OUTAGE_INTERVAL: Duration = Duration::from_millis(500);

/// The delay before a failed run is repeated.
const RETRY_DELAY: Duration = Duration::from_millis(500);

/// The handle of the catch-up worker, which reads the database for all followers of the process. Each of its
/// runs serves all requests since the previous one. Clones share the worker.
#[derive(Clone)]
pub(super) struct CatchUp(UnboundedSender<Request>);

/// A command and its next responses, shared by all followers at the same position.
pub(super) struct Page {
    pub(super) command: Arc<Command>,
    pub(super) responses: Arc<Vec<Response>>,
    /// Whether there are currently no further responses.
    pub(super) is_last: bool,
}

struct Request {
    command_id: CommandId,
    after: i32,
    response: oneshot::Sender<Option<Page>>,
}

impl Request {
    fn position(&self) -> Position {
        (self.command_id, self.after)
    }
}

impl CatchUp {
    /// Starts a worker, which ends with the last clone of its handle.
    pub(super) fn start(database: Database, bus: Arc<dyn EventBus>) -> Self {
        let (sender, requests) = mpsc::unbounded_channel();
        let worker = CatchUpWorker {
            hears: bus.connected(),
            database,
            bus,
            requests,
            stages: HashMap::new(),
        };
        tokio::spawn(worker.run());
        Self(sender)
    }

    /// Returns the command and its responses after a number, or `None` if it was deleted. Waits while the
    /// database is unavailable.
    pub(super) async fn read(&self, command_id: CommandId, after: i32) -> Option<Page> {
        let (response, page) = oneshot::channel();
        let request = Request {
            command_id,
            after,
            response,
        };
        // The worker only ends before its handles when the program ends.
        self.0.send(request).ok()?;
        page.await.ok()?
    }
}

/// The status of a command and the number of its last response.
type Stage = (CommandStatus, i32);

struct CatchUpWorker {
    database: Database,
    bus: Arc<dyn EventBus>,
    requests: UnboundedReceiver<Request>,
    hears: watch::Receiver<bool>,
    /// The stages of the followed commands at the last sweep.
    stages: HashMap<CommandId, Stage>,
}

impl CatchUpWorker {
    async fn run(mut self) {
        let mut pending: Vec<Request> = Vec::new();
        let mut last_run = Instant::now();
        let mut last_sweep = last_run;
        loop {
            let hears = *self.hears.borrow_and_update();
            let next_sweep = last_sweep
                + if hears {
                    SWEEP_INTERVAL
                } else {
                    OUTAGE_INTERVAL
                };
            let mut is_due = false;
            tokio::select! {
                // Requests of a failed run are retried first.
                () = std::future::ready(()), if !pending.is_empty() => {}
                request = self.requests.recv() => match request {
                    Some(request) => pending.push(request),
                    None => return,
                },
                () = sleep_until(next_sweep) => is_due = true,
                // Events published during an outage of the bus were missed.
                Ok(()) = self.hears.changed() => is_due = true,
            }
            if !hears {
                sleep_until(last_run + OUTAGE_INTERVAL).await;
            }
            while let Ok(request) = self.requests.try_recv() {
                pending.push(request);
            }
            pending.retain(|request| !request.response.is_closed());
            last_run = Instant::now();
            is_due |= last_run >= next_sweep;
            if is_due {
                last_sweep = last_run;
            }
            let outcome = timeout(TIMEOUT, self.serve(&mut pending, is_due)).await;
            let outcome =
                outcome.unwrap_or_else(|_| Err(StorageError::Unavailable("timeout".to_owned())));
            if let Err(error) = outcome {
                tracing::warn!(%error, "failed to read events for followers; retrying");
                sleep(RETRY_DELAY).await;
            }
        }
    }

    /// Serves the pending requests, after a sweep of all followed commands if that is due.
    async fn serve(
        &mut self,
        pending: &mut Vec<Request>,
        is_due: bool,
    ) -> Result<(), StorageError> {
        let watched = if is_due {
            self.bus.subscribed_commands()
        } else {
            Vec::new()
        };
        if pending.is_empty() && watched.is_empty() {
            return Ok(());
        }
        let (followers, commands) = (pending.len(), watched.len());
        tracing::trace!(followers, commands, "reading the database for followers");
        let mut connection = self.database.connection().await?;
        if !watched.is_empty() {
            let stages = responses::progress(&mut connection, &watched).await?;
            self.signal_changes(&watched, stages);
        }
        pending.sort_unstable_by_key(Request::position);
        let mut batch = BATCH;
        while !pending.is_empty() {
            let start = last_batch(pending, batch);
            let batch_requests = pending.get(start..).unwrap_or_default();
            match pages(&mut connection, batch_requests).await {
                Ok(pages) => {
                    for (request, page) in pending.drain(start..).zip(pages) {
                        // The follower may have disconnected.
                        let _ = request.response.send(page);
                    }
                }
                Err(StorageError::Unavailable(reason)) => {
                    return Err(StorageError::Unavailable(reason));
                }
                // An unreadable row affects only its own followers.
                Err(_) if batch > 1 => batch = 1,
                Err(error) => {
                    tracing::error!(%error, "failed to read the events of a command");
                    pending.truncate(start);
                }
            }
        }
        Ok(())
    }

    /// Signals the followers of changed commands to catch up.
    fn signal_changes(&mut self, watched: &[CommandId], stages: HashMap<CommandId, Stage>) {
        for command_id in watched {
            let stage = stages.get(command_id);
            // A deleted command has changed too.
            if stage.is_none() || stage != self.stages.get(command_id) {
                self.bus.request_reread(*command_id);
            }
        }
        self.stages = stages;
    }
}

/// Returns the start of the longest tail of the sorted requests with at most `limit` distinct positions.
fn last_batch(pending: &[Request], limit: usize) -> usize {
    let mut positions = 0;
    let mut last = None;
    let is_within = |request: &&Request| {
        if last != Some(request.position()) {
            last = Some(request.position());
            positions += 1;
        }
        positions <= limit
    };
    pending.len() - pending.iter().rev().take_while(is_within).count()
}

/// Returns the next page for each request, or `None` if its command was deleted.
async fn pages(
    connection: &mut Connection,
    requests: &[Request],
) -> Result<Vec<Option<Page>>, StorageError> {
    let mut positions: Vec<Position> = requests.iter().map(Request::position).collect();
    positions.dedup();
    let ids: Vec<CommandId> = positions
        .iter()
        .map(|(command_id, _)| *command_id)
        .collect();
    // Commands are read first: if one has completed, all of its responses are committed.
    let found = commands::find_all(connection, &ids).await?;
    let found: HashMap<CommandId, Arc<Command>> = found
        .into_iter()
        .map(|command| (command.command_id, Arc::new(command)))
        .collect();
    let next = responses::list_next(connection, &positions, PAGE).await?;
    let next: HashMap<Position, Arc<Vec<Response>>> = next
        .into_iter()
        .map(|(position, responses)| (position, Arc::new(responses)))
        .collect();
    let page = |request: &Request| {
        let command = Arc::clone(found.get(&request.command_id)?);
        let responses = next.get(&request.position()).cloned().unwrap_or_default();
        Some(Page {
            command,
            is_last: i64::try_from(responses.len()).is_ok_and(|length| length < PAGE),
            responses,
        })
    };
    Ok(requests.iter().map(page).collect())
}
