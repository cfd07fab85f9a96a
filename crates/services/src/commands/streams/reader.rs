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

/// How many responses of one command are read at a time, so that whoever reads slowly has no more
/// than these in memory.
const PAGE: i64 = 64;

/// How many followers are answered with one statement, so that what is read at a time stays small.
const BATCH: usize = 32;

/// How long a look may take.
const PATIENCE: Duration = Duration::from_secs(40);

/// How often what is watched is looked at although the bus is heard: the process that committed an
/// event may have died before it could publish it.
const SAFETY: Duration = Duration::from_secs(5);

/// The shortest time between two looks while the bus is not heard, for all followers together.
const PACE: Duration = Duration::from_millis(500);

/// How long to wait before the database is tried again.
const PAUSE: Duration = Duration::from_millis(500);

/// Reads the database for all followers of the process: one look at a time, which answers everybody
/// who asked since the one before. Clones share it.
#[derive(Clone)]
pub(super) struct Reader(UnboundedSender<Request>);

/// A command as it is, and its next responses. All who asked for the same share them.
pub(super) struct Page {
    pub(super) command: Arc<Command>,
    pub(super) responses: Arc<Vec<Response>>,
    /// Whether there are no more of them now.
    pub(super) is_last: bool,
}

struct Request {
    command_id: CommandId,
    after: i32,
    answer: oneshot::Sender<Option<Page>>,
}

impl Request {
    fn place(&self) -> Position {
        (self.command_id, self.after)
    }
}

impl Reader {
    /// A reader whose task ends with its last clone.
    pub(super) fn start(database: Database, bus: Arc<dyn EventBus>) -> Self {
        let (sender, requests) = mpsc::unbounded_channel();
        let looker = Looker {
            hears: bus.connected(),
            database,
            bus,
            requests,
            seen: HashMap::new(),
        };
        tokio::spawn(looker.run());
        Self(sender)
    }

    /// The command and its responses after a number; nothing when it was deleted. Waits for a
    /// database that is away.
    pub(super) async fn read(&self, command_id: CommandId, after: i32) -> Option<Page> {
        let (answer, page) = oneshot::channel();
        let request = Request {
            command_id,
            after,
            answer,
        };
        // The task goes only when the program does, and then nobody waits for this any more.
        self.0.send(request).ok()?;
        page.await.ok()?
    }
}

/// How far a watched command had come when it was last looked at.
type Stage = (CommandStatus, i32);

struct Looker {
    database: Database,
    bus: Arc<dyn EventBus>,
    requests: UnboundedReceiver<Request>,
    hears: watch::Receiver<bool>,
    seen: HashMap<CommandId, Stage>,
}

impl Looker {
    async fn run(mut self) {
        let mut pending: Vec<Request> = Vec::new();
        let mut last_look = Instant::now();
        let mut last_sweep = last_look;
        loop {
            let hears = *self.hears.borrow_and_update();
            let next_sweep = last_sweep + if hears { SAFETY } else { PACE };
            let mut is_due = false;
            tokio::select! {
                // What could not be answered before is tried again first.
                () = std::future::ready(()), if !pending.is_empty() => {}
                request = self.requests.recv() => match request {
                    Some(request) => pending.push(request),
                    None => return,
                },
                () = sleep_until(next_sweep) => is_due = true,
                // Whatever was said while nobody heard it has to be looked for.
                Ok(()) = self.hears.changed() => is_due = true,
            }
            if !hears {
                sleep_until(last_look + PACE).await;
            }
            while let Ok(request) = self.requests.try_recv() {
                pending.push(request);
            }
            pending.retain(|request| !request.answer.is_closed());
            last_look = Instant::now();
            is_due |= last_look >= next_sweep;
            if is_due {
                last_sweep = last_look;
            }
            let looked = timeout(PATIENCE, self.look(&mut pending, is_due)).await;
            let looked = looked.unwrap_or_else(|_| {
                Err(StorageError::Unavailable("it does not answer".to_owned()))
            });
            if let Err(error) = looked {
                tracing::warn!(%error, "streams wait for the database");
                sleep(PAUSE).await;
            }
        }
    }

    /// Answers what is pending; looks at everything that is watched too, if that is due.
    async fn look(&mut self, pending: &mut Vec<Request>, is_due: bool) -> Result<(), StorageError> {
        let watched = if is_due {
            self.bus.subscribed_commands()
        } else {
            Vec::new()
        };
        if pending.is_empty() && watched.is_empty() {
            return Ok(());
        }
        let (followers, commands) = (pending.len(), watched.len());
        tracing::trace!(followers, commands, "looking at the database for followers");
        let mut connection = self.database.connection().await?;
        if !watched.is_empty() {
            let stages = responses::progress(&mut connection, &watched).await?;
            self.compare(&watched, stages);
        }
        pending.sort_unstable_by_key(Request::place);
        let mut batch = BATCH;
        while !pending.is_empty() {
            let start = last_batch(pending, batch);
            let asked = pending.get(start..).unwrap_or_default();
            match pages(&mut connection, asked).await {
                Ok(pages) => {
                    for (request, page) in pending.drain(start..).zip(pages) {
                        // Whoever asked may have gone.
                        let _ = request.answer.send(page);
                    }
                }
                Err(StorageError::Unavailable(reason)) => {
                    return Err(StorageError::Unavailable(reason));
                }
                // One row that cannot be read is the trouble of its own followers only.
                Err(_) if batch > 1 => batch = 1,
                Err(error) => {
                    tracing::error!(%error, "a stream cannot be read");
                    pending.truncate(start);
                }
            }
        }
        Ok(())
    }

    /// Sends the followers of whatever has changed to the database.
    fn compare(&mut self, watched: &[CommandId], stages: HashMap<CommandId, Stage>) {
        for command_id in watched {
            let stage = stages.get(command_id);
            // What is not there any more has changed too.
            if stage.is_none() || stage != self.seen.get(command_id) {
                self.bus.request_reread(*command_id);
            }
        }
        self.seen = stages;
    }
}

/// Where the last of `pending`, which are in order, begin that stand at no more than `limit` places.
fn last_batch(pending: &[Request], limit: usize) -> usize {
    let mut places = 0;
    let mut last = None;
    let is_within = |request: &&Request| {
        if last != Some(request.place()) {
            last = Some(request.place());
            places += 1;
        }
        places <= limit
    };
    pending.len() - pending.iter().rev().take_while(is_within).count()
}

/// The page that comes next for each of `asked`.
async fn pages(
    connection: &mut Connection,
    asked: &[Request],
) -> Result<Vec<Option<Page>>, StorageError> {
    let mut places: Vec<Position> = asked.iter().map(Request::place).collect();
    places.dedup();
    let ids: Vec<CommandId> = places.iter().map(|(command_id, _)| *command_id).collect();
    // The commands first: when one has ended by now, all of its responses are there.
    let found = commands::find_all(connection, &ids).await?;
    let found: HashMap<CommandId, Arc<Command>> = found
        .into_iter()
        .map(|command| (command.command_id, Arc::new(command)))
        .collect();
    let next = responses::list_next(connection, &places, PAGE).await?;
    let next: HashMap<Position, Arc<Vec<Response>>> = next
        .into_iter()
        .map(|(place, responses)| (place, Arc::new(responses)))
        .collect();
    let page = |request: &Request| {
        let command = Arc::clone(found.get(&request.command_id)?);
        let responses = next.get(&request.place()).cloned().unwrap_or_default();
        Some(Page {
            command,
            is_last: i64::try_from(responses.len()).is_ok_and(|length| length < PAGE),
            responses,
        })
    };
    Ok(asked.iter().map(page).collect())
}
