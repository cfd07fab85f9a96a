//! Writes the submissions of concurrent requests together.

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    hash::Hash,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use futures_util::future::join_all;
use sovd_domain::{AuditEntry, Command, CommandId, IdempotencyKey, UserId, VehicleId};
use sovd_storage::{
    StorageError, Transaction,
    commands::{
        batch::{self, Key, NewCommand},
        idempotency::KeyedRequest,
    },
    fleet::vehicles,
};

use super::{waiting::WaitingLimits, work_notifier::WorkNotifier};
use crate::{
    error::ServiceError,
    event_publisher::EventPublisher,
    group_commit::{BatchError, Writer, begin, end},
    identity::{access::Access, caller::Caller},
    limits::Limits,
};

/// A submission whose fields are valid.
pub(super) struct Accepted {
    pub(super) caller: Caller,
    pub(super) skip_evidence: bool,
    /// The idempotency key and the fingerprint of the request.
    pub(super) key: Option<(IdempotencyKey, Vec<u8>)>,
    pub(super) command: Command,
    /// Whether it waits for a disconnected vehicle.
    pub(super) may_wait: bool,
    pub(super) audit_entry: AuditEntry,
    /// Whether it counts towards the rate of the user already.
    pub(super) is_counted: AtomicBool,
}

impl Accepted {
    /// Counts the submission towards the rate of its user, once.
    pub(super) async fn count(&self, limits: &Limits) -> Result<(), ServiceError> {
        if !self.is_counted.load(Ordering::Relaxed) {
            limits.count_command(self.command.user_id).await?;
            self.is_counted.store(true, Ordering::Relaxed);
        }
        Ok(())
    }

    /// Returns the request that its idempotency key identifies.
    pub(super) fn keyed_request(&self) -> Option<KeyedRequest<'_>> {
        let (key, fingerprint) = self.key.as_ref()?;
        Some(KeyedRequest {
            user_id: self.command.user_id,
            key,
            fingerprint,
        })
    }

    fn key(&self) -> Option<Key> {
        let (key, _) = self.key.as_ref()?;
        Some((self.command.user_id, key.as_str().to_owned()))
    }

    pub(super) fn new_command(&self) -> NewCommand<'_> {
        NewCommand {
            command: &self.command,
            skip_evidence: self.skip_evidence,
            audit_entry: &self.audit_entry,
        }
    }
}

/// Writes commands, their queue entries and their audit entries.
///
/// A batch contains what can be accepted at first sight. It leaves out a submission with a credential that
/// is not a live session, for a vehicle that is locked, missing or disconnected, near a limit, or with an
/// idempotency key that is known: such a one is written, or refused, alone.
pub(super) struct SubmissionWriter {
    pub(super) access: Access,
    pub(super) limits: Arc<Limits>,
    pub(super) waiting: WaitingLimits,
    pub(super) event_publisher: EventPublisher,
    pub(super) work_notifier: WorkNotifier,
}

impl Writer for SubmissionWriter {
    type Change = Accepted;
    type Outcome = Result<(), ServiceError>;

    async fn commit(&self, changes: &[Accepted]) -> Result<Vec<Option<Self::Outcome>>, BatchError> {
        let mut transaction = begin(self.access.database()).await?;
        let written = self.write(&mut transaction, changes).await;
        let outcomes = end(transaction, written).await?;
        for (accepted, outcome) in changes.iter().zip(&outcomes) {
            if matches!(outcome, Some(Ok(()))) {
                self.announce(&accepted.command);
            }
        }
        Ok(outcomes)
    }
}

impl SubmissionWriter {
    /// Publishes a committed command and wakes the dispatchers. Its requester may have given up.
    fn announce(&self, command: &Command) {
        self.event_publisher.publish_state(command);
        self.work_notifier.notify();
    }

    /// Writes what can be accepted at first sight, and returns the outcomes of all changes.
    async fn write(
        &self,
        transaction: &mut Transaction,
        changes: &[Accepted],
    ) -> Result<Vec<Option<Result<(), ServiceError>>>, StorageError> {
        let now = self.access.now();
        let mut batch = Batch::of(changes);
        let live = Caller::lock_sessions(transaction, batch.callers(), now).await?;
        batch.retain(|accepted| {
            accepted
                .caller
                .session_id()
                .is_some_and(|id| live.contains(&id))
        });
        let known = batch::known_keys(transaction, &batch.keyed_requests()).await?;
        batch.retain_distinct_keys(&known);
        let users = self
            .waiting
            .users_with_room(transaction, &batch.user_ids())
            .await?;
        batch.retain_room(users, |accepted| accepted.command.user_id);
        let vehicles = vehicles::lock_all(transaction, &batch.vehicle_ids()).await?;
        batch.retain(|accepted| {
            let is_connected = vehicles.get(&accepted.command.vehicle_id);
            is_connected.is_some_and(|is_connected| *is_connected || accepted.may_wait)
        });
        let vehicles = self
            .waiting
            .vehicles_with_room(transaction, &batch.vehicle_ids())
            .await?;
        batch.retain_room(vehicles, |accepted| accepted.command.vehicle_id);

        let counts = batch
            .accepted()
            .map(|accepted| accepted.count(&self.limits));
        batch.refuse(join_all(counts).await);
        let remembered = batch::remember_keys(transaction, &batch.keyed_commands(), now).await?;
        batch.retain(|accepted| accepted.key().is_none_or(|key| remembered.contains(&key)));
        batch::insert(transaction, &batch.new_commands(), now).await?;
        Ok(batch.into_outcomes())
    }
}

/// The submissions of a batch that have not been left out.
struct Batch<'a> {
    outcomes: Vec<Option<Result<(), ServiceError>>>,
    /// With their positions among the changes. Sorted by vehicle, the order in which vehicles are locked;
    /// submissions to one vehicle stay in the order of their arrival.
    accepted: Vec<(usize, &'a Accepted)>,
}

impl<'a> Batch<'a> {
    fn of(changes: &'a [Accepted]) -> Self {
        let mut accepted: Vec<_> = changes.iter().enumerate().collect();
        accepted.sort_by_key(|(_, accepted)| accepted.command.vehicle_id);
        Self {
            outcomes: changes.iter().map(|_| None).collect(),
            accepted,
        }
    }

    fn accepted(&self) -> impl Iterator<Item = &'a Accepted> {
        self.accepted.iter().map(|(_, accepted)| *accepted)
    }

    fn callers(&self) -> impl Iterator<Item = &'a Caller> {
        self.accepted().map(|accepted| &accepted.caller)
    }

    fn user_ids(&self) -> Vec<UserId> {
        let ids: BTreeSet<_> = self
            .accepted()
            .map(|accepted| accepted.command.user_id)
            .collect();
        ids.into_iter().collect()
    }

    fn vehicle_ids(&self) -> Vec<VehicleId> {
        let ids: BTreeSet<_> = self
            .accepted()
            .map(|accepted| accepted.command.vehicle_id)
            .collect();
        ids.into_iter().collect()
    }

    fn keyed_requests(&self) -> Vec<KeyedRequest<'a>> {
        self.accepted()
            .filter_map(Accepted::keyed_request)
            .collect()
    }

    fn keyed_commands(&self) -> Vec<(KeyedRequest<'a>, CommandId)> {
        let keyed = self
            .accepted()
            .filter_map(|accepted| Some((accepted.keyed_request()?, accepted.command.command_id)));
        keyed.collect()
    }

    fn new_commands(&self) -> Vec<NewCommand<'a>> {
        self.accepted().map(Accepted::new_command).collect()
    }

    /// Leaves out what `is_kept` does not hold for.
    fn retain(&mut self, mut is_kept: impl FnMut(&Accepted) -> bool) {
        self.accepted.retain(|(_, accepted)| is_kept(accepted));
    }

    /// Leaves out keys that are known, and all but the first use of the others.
    fn retain_distinct_keys(&mut self, known: &HashSet<Key>) {
        let mut seen = HashSet::new();
        self.retain(|accepted| {
            accepted
                .key()
                .is_none_or(|key| !known.contains(&key) && seen.insert(key))
        });
    }

    /// Leaves out what does not fit into the room of its owner. `None` means that there is no limit.
    fn retain_room<K: Eq + Hash>(
        &mut self,
        room: Option<HashMap<K, i64>>,
        owner: impl Fn(&Accepted) -> K,
    ) {
        let Some(mut room) = room else {
            return;
        };
        self.retain(|accepted| match room.get_mut(&owner(accepted)) {
            Some(room) if *room > 0 => {
                *room -= 1;
                true
            }
            _ => false,
        });
    }

    /// Refuses the submissions with an error in `results`, which are in the order of the batch.
    fn refuse(&mut self, results: Vec<Result<(), ServiceError>>) {
        let mut results = results.into_iter();
        let outcomes = &mut self.outcomes;
        self.accepted.retain(|(index, _)| match results.next() {
            Some(Err(refusal)) => {
                set(outcomes, *index, Err(refusal));
                false
            }
            _ => true,
        });
    }

    /// Accepts the remaining submissions.
    fn into_outcomes(mut self) -> Vec<Option<Result<(), ServiceError>>> {
        for (index, _) in self.accepted {
            set(&mut self.outcomes, index, Ok(()));
        }
        self.outcomes
    }
}

fn set<T>(outcomes: &mut [Option<T>], index: usize, outcome: T) {
    if let Some(slot) = outcomes.get_mut(index) {
        *slot = Some(outcome);
    }
}
