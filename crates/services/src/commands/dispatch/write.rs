//! What the holder of a claim writes.

use chrono::{DateTime, Utc};
use serde_json::Value;
use sovd_domain::{Command, Finding, Response, StreamEvent};
use sovd_storage::{
    StorageError, Transaction,
    commands::{
        self,
        queue::{self, Claim},
        responses,
    },
};

use super::DispatchContext;
use crate::commands::completion::{self, Failure};

/// A change to a claimed task.
///
/// Each one is a transaction that first locks the claim, so that a process whose lease has expired cannot
/// interfere with its successor. Committing one twice, because the acknowledgment of the first commit was
/// lost, has the effect of committing it once.
pub(super) enum Write {
    /// The command is in progress.
    Start,
    /// The command is about to be sent.
    Send { send_count: i32 },
    /// A probe is about to be sent.
    Probe { send_count: i32 },
    /// A response has arrived.
    Store {
        response: Response,
        position: Position,
    },
    /// The command has failed.
    Fail(Failure),
    /// The probe has ended.
    Conclude { finding: Finding, grounds: Value },
    /// The attempt has failed, and another one follows.
    Postpone {
        due_at: DateTime<Utc>,
        send_count: i32,
        reason: String,
    },
}

/// Where a response stands among those of its command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Position {
    /// Others follow.
    Middle,
    /// The vehicle has responded in full; the evidence follows.
    BeforeEvidence,
    /// It is the last one.
    Final {
        /// The number of the first response of this attempt if a rule matches one of its trouble codes;
        /// responses before it belong to failed attempts.
        detect_from: Option<i32>,
    },
}

/// The effect of a write.
pub(super) enum Written {
    /// It is committed, and this is to be published.
    Published(Vec<Publication>),
    /// The command has expired, and nothing was written.
    Expired,
    /// Another process may hold the claim, and nothing was written.
    ClaimLost,
}

/// A committed change to publish.
pub(super) enum Publication {
    Response(StreamEvent),
    State(Command),
    DetectionJob,
}

impl Write {
    /// Commits the change if the claim is still held.
    pub(super) async fn commit(
        &self,
        context: &DispatchContext,
        claim: &Claim,
    ) -> Result<Written, StorageError> {
        let mut transaction = context.database.begin().await?;
        let is_held = queue::hold(&mut transaction, claim).await?;
        let now = context.clock.now();
        // Waiting for the database may have taken the remaining time.
        let is_late = matches!(self, Self::Send { .. }) && now >= claim.entry.expires_at;
        if !is_held || is_late {
            transaction.rollback().await?;
            return Ok(if is_held {
                Written::Expired
            } else {
                Written::ClaimLost
            });
        }
        let publications = self.apply(context, &mut transaction, claim, now).await?;
        transaction.commit().await?;
        Ok(Written::Published(publications))
    }

    async fn apply(
        &self,
        context: &DispatchContext,
        transaction: &mut Transaction,
        claim: &Claim,
        now: DateTime<Utc>,
    ) -> Result<Vec<Publication>, StorageError> {
        let (catalog, command_id) = (&context.catalog, claim.command_id);
        let mut publications = Vec::new();
        let state = match self {
            Self::Start => commands::start(transaction, command_id, now).await?,
            Self::Send { send_count } => {
                let started = commands::start(transaction, command_id, now).await?;
                queue::mark_sent(transaction, command_id, *send_count).await?;
                started
            }
            Self::Probe { send_count } => {
                queue::mark_sent(transaction, command_id, *send_count).await?;
                None
            }
            Self::Store { response, position } => {
                responses::insert(transaction, response).await?;
                publications.push(Publication::Response(StreamEvent::from(response.clone())));
                match *position {
                    Position::Middle => None,
                    Position::BeforeEvidence => {
                        queue::mark_answered(transaction, command_id).await?;
                        None
                    }
                    Position::Final { detect_from } => {
                        publications.extend(detect_from.map(|_| Publication::DetectionJob));
                        completion::complete(transaction, command_id, detect_from, now).await?
                    }
                }
            }
            Self::Fail(failure) => {
                completion::fail(catalog, transaction, command_id, failure, None, now).await?
            }
            Self::Conclude { finding, grounds } => {
                completion::record_finding(transaction, command_id, *finding, grounds, now).await?;
                None
            }
            Self::Postpone {
                due_at,
                send_count,
                reason,
            } => {
                queue::postpone(transaction, command_id, *due_at, *send_count, reason).await?;
                None
            }
        };
        publications.extend(state.map(Publication::State));
        Ok(publications)
    }
}
