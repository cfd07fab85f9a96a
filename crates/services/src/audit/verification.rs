//! Verification of the chain from its beginning to its head.

use std::{collections::BTreeMap, time::Duration};

use chrono::{DateTime, Utc};
use sovd_domain::audit::Link;
use sovd_storage::{
    Connection, Database, StorageError,
    audit::{
        chain::{self, SealedEntry},
        pruning,
    },
};
use thiserror::Error;
use uuid::Uuid;

use super::{checkpoint::Checkpoint, link};

/// The number of entries read at a time.
const PAGE: i64 = 1000;

/// The maximum age of unsealed entries. Sealing takes about a second.
pub const SEALED_WITHIN: Duration = Duration::from_mins(5);

/// The options of a verification.
#[derive(Debug, Clone, Copy)]
pub struct VerificationOptions<'a> {
    /// The current time.
    pub now: DateTime<Utc>,
    /// The retention of entries; `None` if they are kept forever. Younger entries must not be pruned.
    pub retention: Option<Duration>,
    /// The checkpoints that the chain must contain; `None` if there is nothing to compare.
    pub checkpoints: Option<&'a [Checkpoint]>,
}

/// The result of a verification.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verification {
    /// The predecessor of the first entry: the last pruned link, or the genesis link.
    pub beginning: Link,
    /// The last intact link.
    pub end: Link,
    /// The number of intact entries.
    pub entries: u64,
    /// The number of unsealed entries, which are not verified.
    pub unsealed: i64,
    /// The number of checkpoints that match the chain.
    pub checkpoints: usize,
    /// The number of checkpoints of pruned entries, which cannot be compared.
    pub pruned_checkpoints: usize,
    /// The first break of the chain, after which verification stops; `None` if the chain is intact.
    pub broken: Option<Break>,
    /// The reasons other than a break for which the verification fails.
    pub issues: Vec<VerificationIssue>,
}

impl Verification {
    /// Returns whether there is neither a break nor an issue.
    pub fn passed(&self) -> bool {
        self.broken.is_none() && self.issues.is_empty()
    }
}

/// The first position at which the chain is not intact.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Break {
    /// The position.
    pub position: i64,
    /// The entry at the position, if there is one.
    pub log_id: Option<Uuid>,
    /// A description without a final period.
    pub reason: String,
}

impl Break {
    fn new(position: i64, reason: impl Into<String>) -> Self {
        Self {
            position,
            log_id: None,
            reason: reason.into(),
        }
    }
}

/// A reason other than a break for which a verification fails.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum VerificationIssue {
    /// An entry has been unsealed for longer than [`SEALED_WITHIN`].
    #[error(
        "the entry of {} is not sealed: no process seals entries, or sealing is blocked",
        written_at.format("%Y-%m-%dT%H:%M:%SZ")
    )]
    Unsealed {
        /// The timestamp of the oldest such entry.
        written_at: DateTime<Utc>,
    },
    /// Checkpoints were given, but none is of a known position.
    #[error("no checkpoint could be compared with the chain")]
    NoComparableCheckpoint,
}

/// Verifies every sealed entry, the record of the latest pruning, all checkpoints and the age of unsealed
/// entries, in one snapshot of the database. Holds one page of entries in memory.
pub async fn verify(
    database: &Database,
    options: &VerificationOptions<'_>,
) -> Result<Verification, StorageError> {
    let mut transaction = database.begin().await?;
    chain::use_snapshot(&mut transaction).await?;
    let pruning = pruning::newest(&mut transaction).await?;
    let beginning = pruning.unwrap_or(Link::GENESIS);
    let mut walk = Walk {
        oldest_kept: options.retention.map(|retention| options.now - retention),
        expected: by_position(options.checkpoints.unwrap_or_default()),
        report: Verification {
            beginning,
            end: beginning,
            entries: 0,
            unsealed: chain::count_unsealed(&mut transaction).await?,
            checkpoints: 0,
            pruned_checkpoints: 0,
            broken: None,
            issues: Vec::new(),
        },
    };
    let outcome = walk.run(pruning, &mut transaction).await?;
    let oldest = chain::oldest_unsealed(&mut transaction).await?;
    transaction.rollback().await?;
    walk.report.broken = outcome.err();
    walk.report.issues = issues(&walk.report, oldest, options);
    Ok(walk.report)
}

fn issues(
    report: &Verification,
    oldest_unsealed: Option<DateTime<Utc>>,
    options: &VerificationOptions<'_>,
) -> Vec<VerificationIssue> {
    let is_overdue = |written_at: &DateTime<Utc>| *written_at < options.now - SEALED_WITHIN;
    let unsealed = oldest_unsealed
        .filter(is_overdue)
        .map(|written_at| VerificationIssue::Unsealed { written_at });
    let is_uncompared =
        options.checkpoints.is_some() && report.broken.is_none() && report.checkpoints == 0;
    let no_comparable = is_uncompared.then_some(VerificationIssue::NoComparableCheckpoint);
    unsealed.into_iter().chain(no_comparable).collect()
}

fn by_position(checkpoints: &[Checkpoint]) -> BTreeMap<i64, Vec<Checkpoint>> {
    let mut by_position: BTreeMap<i64, Vec<Checkpoint>> = BTreeMap::new();
    for checkpoint in checkpoints {
        let at_position = by_position.entry(checkpoint.link.position).or_default();
        at_position.push(*checkpoint);
    }
    by_position
}

struct Walk {
    /// The time from which on entries must not be pruned; `None` if no entry may be.
    oldest_kept: Option<DateTime<Utc>>,
    /// The remaining checkpoints by position.
    expected: BTreeMap<i64, Vec<Checkpoint>>,
    report: Verification,
}

/// Whether the chain is intact so far.
type Outcome = Result<(), Break>;

impl Walk {
    async fn run(
        &mut self,
        pruning: Option<Link>,
        connection: &mut Connection,
    ) -> Result<Outcome, StorageError> {
        if let Some(pruning) = pruning
            && !pruning::is_recorded(connection, pruning).await?
        {
            let reason = "the chain was pruned up to here, and no entry audit.prune with matching \
                          details records it";
            return Ok(Err(Break::new(pruning.position, reason)));
        }
        if let Err(found) = self.pass_prunings(connection).await? {
            return Ok(Err(found));
        }
        // Starts before all positions, because an entry at a pruned position is a break too.
        let mut after = None;
        loop {
            let entries = chain::sealed_after(connection, after, PAGE).await?;
            let Some(last) = entries.last() else {
                break;
            };
            after = Some((last.position, last.log_id));
            for entry in &entries {
                if let Err(found) = self.step(entry) {
                    return Ok(Err(found));
                }
            }
        }
        let head = chain::head(connection).await?;
        Ok(self.compare_head(head))
    }

    /// Compares the checkpoints at or before the beginning.
    async fn pass_prunings(
        &mut self,
        connection: &mut Connection,
    ) -> Result<Outcome, StorageError> {
        let beginning = self.report.beginning;
        let later = self
            .expected
            .split_off(&beginning.position.saturating_add(1));
        for (position, checkpoints) in std::mem::replace(&mut self.expected, later) {
            if checkpoints.iter().any(|it| self.is_kept(it)) {
                let reason = "a checkpoint contains this entry, which was pruned before \
                              audit.retention_days permits it";
                return Ok(Err(Break::new(position, reason)));
            }
            let known = if position == beginning.position {
                Some(beginning)
            } else {
                pruning::find(connection, position).await?
            };
            let Some(known) = known else {
                self.report.pruned_checkpoints += checkpoints.len();
                continue;
            };
            if let Err(found) = self.compare(&checkpoints, known, None) {
                return Ok(Err(found));
            }
        }
        Ok(Ok(()))
    }

    /// Returns whether the entry of the checkpoint must not be pruned yet.
    fn is_kept(&self, checkpoint: &Checkpoint) -> bool {
        let is_young = |written_at| self.oldest_kept.is_none_or(|oldest| written_at >= oldest);
        let has_entry = checkpoint.link.position > Link::GENESIS.position;
        has_entry
            && checkpoint
                .latest_entry_at
                .map_or(self.oldest_kept.is_none(), is_young)
    }

    /// Verifies the next entry of the chain.
    fn step(&mut self, entry: &SealedEntry) -> Outcome {
        let next = link::after(self.report.end, &entry.content);
        let broken = |reason: &str| Break {
            log_id: Some(entry.log_id),
            ..Break::new(entry.position, reason)
        };
        if entry.position <= self.report.beginning.position {
            return Err(broken("the entry should have been pruned"));
        }
        if entry.position < next.position {
            return Err(broken("another entry has the same position"));
        }
        if entry.position != next.position {
            return Err(missing(next.position, entry.position.saturating_sub(1)));
        }
        if entry.hash.as_deref() != Some(&next.hash.0[..]) {
            let reason = "its hash does not match its content and the previous hash";
            return Err(broken(reason));
        }
        if let Some(reference) = &entry.mismatched_reference {
            return Err(broken(&format!("its {reference} has been changed")));
        }
        if let Some(checkpoints) = self.expected.remove(&next.position) {
            self.compare(&checkpoints, next, Some(entry.log_id))?;
        }
        self.report.end = next;
        self.report.entries += 1;
        Ok(())
    }

    fn compare_head(&mut self, head: Option<Link>) -> Outcome {
        let end = self.report.end;
        let broken = |reason| Break::new(end.position, reason);
        let Some(head) = head else {
            return Err(broken("the head of the chain is not recorded"));
        };
        if head.position > end.position {
            return Err(missing(end.position.saturating_add(1), head.position));
        }
        if head != end {
            return Err(broken("the recorded head of the chain is different"));
        }
        if let Some((position, _)) = self.expected.first_key_value() {
            let end = end.position;
            let reason =
                format!("a checkpoint contains this position, but the chain ends at {end}");
            return Err(Break::new(*position, reason));
        }
        Ok(())
    }

    fn compare(&mut self, checkpoints: &[Checkpoint], link: Link, log_id: Option<Uuid>) -> Outcome {
        if checkpoints.iter().any(|it| it.link.hash != link.hash) {
            let reason = "a checkpoint has a different hash for this position";
            return Err(Break {
                log_id,
                ..Break::new(link.position, reason)
            });
        }
        self.report.checkpoints += checkpoints.len();
        Ok(())
    }
}

fn missing(first: i64, last: i64) -> Break {
    if first == last {
        return Break::new(first, "the entry is missing");
    }
    Break::new(
        first,
        format!("the entries from here to {last} are missing"),
    )
}
