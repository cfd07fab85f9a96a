//! Checking the chain from its beginning to its end.

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

/// How many lines are read at a time.
const PAGE: i64 = 1000;

/// How long a line may wait for its place in the chain. It takes a second where programs seal.
pub const SEALED_WITHIN: Duration = Duration::from_mins(5);

/// What a chain is checked against.
#[derive(Debug, Clone, Copy)]
pub struct Terms<'a> {
    /// The present moment.
    pub now: DateTime<Utc>,
    /// For how long lines are kept; nothing when it is for ever. Younger ones are never cut off.
    pub retention: Option<Duration>,
    /// What the chain must go through; nothing when nobody asks for that.
    pub checkpoints: Option<&'a [Checkpoint]>,
}

/// What a check of the whole chain found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verification {
    /// The link after which the chain begins: the newest cut, or the place before the first line.
    pub beginning: Link,
    /// The last line that is as it was sealed.
    pub end: Link,
    /// How many lines are as they were sealed.
    pub lines: u64,
    /// How many lines are not sealed yet, and are not checked.
    pub unsealed: i64,
    /// How many checkpoints agree with the chain.
    pub checkpoints: usize,
    /// How many checkpoints are of lines that were cut off since, and cannot be checked any more.
    pub pruned_checkpoints: usize,
    /// The first thing that is wrong with the chain; nothing when it is whole. It is not read beyond.
    pub broken: Option<Break>,
    /// Why a chain that is whole says too little.
    pub doubts: Vec<Doubt>,
}

impl Verification {
    /// Whether nothing is wrong and nothing is in doubt.
    pub fn is_sound(&self) -> bool {
        self.broken.is_none() && self.doubts.is_empty()
    }
}

/// The first place at which the chain is not as it was sealed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Break {
    /// The place in the chain.
    pub position: i64,
    /// The line that is there; nothing when it is missing.
    pub log_id: Option<Uuid>,
    /// What is wrong, as a sentence without its end.
    pub reason: String,
}

/// Why a chain says too little, as a sentence without its end.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Doubt {
    /// A line waits for longer than [`SEALED_WITHIN`].
    #[error(
        "the line of {} is not sealed: no program seals, or something is in its way",
        written_at.format("%Y-%m-%dT%H:%M:%SZ")
    )]
    Unsealed {
        /// When the oldest such line was written, as it says itself.
        written_at: DateTime<Utc>,
    },
    /// There were to be checkpoints, and none is of a place that is still known.
    #[error("no checkpoint could be compared with the chain")]
    NothingCompared,
}

/// Checks every sealed line, that the beginning was cut off by the program, that the chain goes through
/// all checkpoints, and that no line waits for too long. It sees the database as it is at one moment
/// and holds one page of lines in memory.
///
/// # Errors
///
/// When the database is away, or the links of the cuts or of the head are unreadable.
pub async fn verify(database: &Database, terms: &Terms<'_>) -> Result<Verification, StorageError> {
    let mut transaction = database.begin().await?;
    chain::use_snapshot(&mut transaction).await?;
    let pruning = pruning::newest(&mut transaction).await?;
    let beginning = pruning.unwrap_or(Link::GENESIS);
    let mut walk = Walk {
        oldest_kept: terms.retention.map(|retention| terms.now - retention),
        expected: Expected::of(terms.checkpoints.unwrap_or_default()),
        report: Verification {
            beginning,
            end: beginning,
            lines: 0,
            unsealed: chain::count_unsealed(&mut transaction).await?,
            checkpoints: 0,
            pruned_checkpoints: 0,
            broken: None,
            doubts: Vec::new(),
        },
    };
    let outcome = walk.run(pruning, &mut transaction).await?;
    let oldest = chain::oldest_unsealed(&mut transaction).await?;
    transaction.rollback().await?;
    walk.report.broken = outcome.err();
    walk.report.doubts = doubts(&walk.report, oldest, terms);
    Ok(walk.report)
}

fn doubts(
    report: &Verification,
    oldest_unsealed: Option<DateTime<Utc>>,
    terms: &Terms<'_>,
) -> Vec<Doubt> {
    let waits_too_long = |written_at: &DateTime<Utc>| *written_at < terms.now - SEALED_WITHIN;
    let unsealed = oldest_unsealed
        .filter(waits_too_long)
        .map(|written_at| Doubt::Unsealed { written_at });
    let in_vain = terms.checkpoints.is_some() && report.broken.is_none() && report.checkpoints == 0;
    let nothing_compared = in_vain.then_some(Doubt::NothingCompared);
    unsealed.into_iter().chain(nothing_compared).collect()
}

/// The checkpoints of each place.
struct Expected(BTreeMap<i64, Vec<Checkpoint>>);

impl Expected {
    fn of(checkpoints: &[Checkpoint]) -> Self {
        let mut expected: BTreeMap<i64, Vec<Checkpoint>> = BTreeMap::new();
        for checkpoint in checkpoints {
            let place = expected.entry(checkpoint.link.position).or_default();
            place.push(*checkpoint);
        }
        Self(expected)
    }
}

struct Walk {
    /// No line is cut off that was written at this moment or later; nothing when none ever is.
    oldest_kept: Option<DateTime<Utc>>,
    expected: Expected,
    report: Verification,
}

/// Whether the chain is whole so far.
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
            return Ok(Err(Break {
                position: pruning.position,
                log_id: None,
                reason: "the chain was cut off after this place, and no line audit.prune with \
                         matching details tells of it"
                    .to_owned(),
            }));
        }
        if let Err(found) = self.pass_prunings(connection).await? {
            return Ok(Err(found));
        }
        // From before all places, because a line at one that was cut off is wrong too.
        let mut after = None;
        loop {
            let lines = chain::sealed_after(connection, after, PAGE).await?;
            let Some(last) = lines.last() else {
                break;
            };
            after = Some((last.position, last.log_id));
            for line in &lines {
                if let Err(found) = self.step(line) {
                    return Ok(Err(found));
                }
            }
        }
        let head = chain::head(connection).await?;
        Ok(self.arrive(head))
    }

    /// Takes off the checkpoints that lie at or before the beginning.
    async fn pass_prunings(
        &mut self,
        connection: &mut Connection,
    ) -> Result<Outcome, StorageError> {
        let beginning = self.report.beginning;
        let later = self
            .expected
            .0
            .split_off(&beginning.position.saturating_add(1));
        for (position, checkpoints) in std::mem::replace(&mut self.expected.0, later) {
            if checkpoints.iter().any(|it| self.is_kept(it)) {
                return Ok(Err(Break {
                    position,
                    log_id: None,
                    reason: "a checkpoint knows this line, which was cut off before \
                             audit.retention_days allow it"
                        .to_owned(),
                }));
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

    /// Whether the line of the checkpoint is not to be cut off yet. Before the first one there is none.
    fn is_kept(&self, checkpoint: &Checkpoint) -> bool {
        let is_young = |written_at| self.oldest_kept.is_none_or(|oldest| written_at >= oldest);
        let has_line = checkpoint.link.position > Link::GENESIS.position;
        has_line
            && checkpoint
                .line_at
                .map_or(self.oldest_kept.is_none(), is_young)
    }

    /// Takes in the next line of the chain.
    fn step(&mut self, line: &SealedEntry) -> Outcome {
        let next = link::after(self.report.end, &line.content);
        let broken = |reason: String| Break {
            position: line.position,
            log_id: Some(line.log_id),
            reason,
        };
        if line.position <= self.report.beginning.position {
            return Err(broken("the line should have been cut off".to_owned()));
        }
        if line.position < next.position {
            return Err(broken("another line has this place too".to_owned()));
        }
        if line.position != next.position {
            return Err(missing(next.position, line.position.saturating_sub(1)));
        }
        if line.hash.as_deref() != Some(&next.hash.0[..]) {
            return Err(broken(
                "its hash does not follow from its content and the hash before".to_owned(),
            ));
        }
        if let Some(reference) = &line.mismatched_reference {
            return Err(broken(format!("its {reference} is not what was written")));
        }
        if let Some(checkpoints) = self.expected.0.remove(&next.position) {
            self.compare(&checkpoints, next, Some(line.log_id))?;
        }
        self.report.end = next;
        self.report.lines += 1;
        Ok(())
    }

    /// Compares the last line with what is known of the end.
    fn arrive(&mut self, head: Option<Link>) -> Outcome {
        let end = self.report.end;
        let broken = |reason: &str| Break {
            position: end.position,
            log_id: None,
            reason: reason.to_owned(),
        };
        let Some(head) = head else {
            return Err(broken("the end of the chain is not recorded any more"));
        };
        if head.position > end.position {
            return Err(missing(end.position.saturating_add(1), head.position));
        }
        if head != end {
            return Err(broken("the recorded end of the chain is another"));
        }
        if let Some((position, _)) = self.expected.0.first_key_value() {
            return Err(Break {
                position: *position,
                log_id: None,
                reason: format!(
                    "a checkpoint knows this place, and the chain ends at {}",
                    end.position
                ),
            });
        }
        Ok(())
    }

    fn compare(&mut self, checkpoints: &[Checkpoint], link: Link, log_id: Option<Uuid>) -> Outcome {
        if checkpoints.iter().any(|it| it.link.hash != link.hash) {
            return Err(Break {
                position: link.position,
                log_id,
                reason: "a checkpoint has another hash for this place".to_owned(),
            });
        }
        self.report.checkpoints += checkpoints.len();
        Ok(())
    }
}

fn missing(first: i64, last: i64) -> Break {
    let reason = if first == last {
        "the line is missing".to_owned()
    } else {
        format!("the lines from here to {last} are missing")
    };
    Break {
        position: first,
        log_id: None,
        reason,
    }
}
