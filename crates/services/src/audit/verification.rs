//! Checking the chain from its beginning to its end.

use std::collections::BTreeMap;

use sovd_domain::audit::{ChainHash, Link};
use sovd_storage::{
    Connection, Database, StorageError,
    audit::{
        chain::{self, SealedLine},
        cut,
    },
};
use uuid::Uuid;

use super::{checkpoint::Checkpoint, link};

/// How many lines are read at a time.
const PAGE: i64 = 1000;

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
    /// The first thing that is wrong; nothing when all is well. The chain is not read beyond it.
    pub broken: Option<Break>,
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

/// Checks every sealed line, and that the chain goes through all `checkpoints`. It sees the database
/// as it is at one moment and holds one page of lines in memory.
///
/// # Errors
///
/// When the database is away, or the links of the cuts or of the head are unreadable.
pub async fn verify(
    database: &Database,
    checkpoints: &[Checkpoint],
) -> Result<Verification, StorageError> {
    let mut transaction = database.begin().await?;
    chain::hold_still(&mut transaction).await?;
    let beginning = cut::newest(&mut transaction)
        .await?
        .unwrap_or(Link::GENESIS);
    let mut walk = Walk {
        expected: Expected::of(checkpoints),
        report: Verification {
            beginning,
            end: beginning,
            lines: 0,
            unsealed: chain::count_unsealed(&mut transaction).await?,
            checkpoints: 0,
            pruned_checkpoints: 0,
            broken: None,
        },
    };
    let outcome = walk.run(&mut transaction).await?;
    transaction.rollback().await?;
    walk.report.broken = outcome.err();
    Ok(walk.report)
}

/// The hashes that checkpoints want at each place.
struct Expected(BTreeMap<i64, Vec<ChainHash>>);

impl Expected {
    fn of(checkpoints: &[Checkpoint]) -> Self {
        let mut expected: BTreeMap<i64, Vec<ChainHash>> = BTreeMap::new();
        for Checkpoint { link, .. } in checkpoints {
            expected.entry(link.position).or_default().push(link.hash);
        }
        Self(expected)
    }
}

struct Walk {
    expected: Expected,
    report: Verification,
}

/// Whether the chain is whole so far.
type Outcome = Result<(), Break>;

impl Walk {
    async fn run(&mut self, connection: &mut Connection) -> Result<Outcome, StorageError> {
        if let Err(found) = self.pass_cuts(connection).await? {
            return Ok(Err(found));
        }
        // From before all places, because a line at one that was cut off is wrong too.
        let mut after = i64::MIN;
        loop {
            let lines = chain::sealed_after(connection, after, PAGE).await?;
            let Some(last) = lines.last() else {
                break;
            };
            after = last.position;
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
    async fn pass_cuts(&mut self, connection: &mut Connection) -> Result<Outcome, StorageError> {
        let beginning = self.report.beginning;
        let later = self
            .expected
            .0
            .split_off(&beginning.position.saturating_add(1));
        for (position, hashes) in std::mem::replace(&mut self.expected.0, later) {
            let known = if position == beginning.position {
                Some(beginning)
            } else {
                cut::find(connection, position).await?
            };
            let Some(known) = known else {
                self.report.pruned_checkpoints += hashes.len();
                continue;
            };
            if let Err(found) = self.compare(&hashes, known, None) {
                return Ok(Err(found));
            }
        }
        Ok(Ok(()))
    }

    /// Takes in the next line of the chain.
    fn step(&mut self, line: &SealedLine) -> Outcome {
        let next = link::after(self.report.end, &line.content);
        let broken = |reason: String| Break {
            position: line.position,
            log_id: Some(line.log_id),
            reason,
        };
        if line.position <= self.report.beginning.position {
            return Err(broken("the line should have been cut off".to_owned()));
        }
        if line.position != next.position {
            return Err(missing(next.position, line.position.saturating_sub(1)));
        }
        if line.hash.as_deref() != Some(&next.hash.0[..]) {
            return Err(broken(
                "its hash does not follow from its content and the hash before".to_owned(),
            ));
        }
        if let Some(reference) = &line.strayed {
            return Err(broken(format!("its {reference} is not what was written")));
        }
        if let Some(hashes) = self.expected.0.remove(&next.position) {
            self.compare(&hashes, next, Some(line.log_id))?;
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

    fn compare(&mut self, hashes: &[ChainHash], link: Link, log_id: Option<Uuid>) -> Outcome {
        if hashes.iter().any(|hash| *hash != link.hash) {
            return Err(Break {
                position: link.position,
                log_id,
                reason: "a checkpoint has another hash for this place".to_owned(),
            });
        }
        self.report.checkpoints += hashes.len();
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
