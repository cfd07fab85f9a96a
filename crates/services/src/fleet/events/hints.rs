use std::{collections::BTreeSet, time::Duration};

use futures_util::FutureExt;
use sovd_domain::{CommandId, FleetEvent};
use sovd_events::{BroadcastReceiver, EventBus, FleetEventHint};
use sovd_storage::{Database, StorageError, commands};
use tokio::time::{Instant, sleep, sleep_until};

/// The shortest time between two looks at the database. The hints of that time share one.
const PACE: Duration = Duration::from_millis(20);

/// The shortest time between two messages that everything has to be fetched again, so that a sender
/// of false hints cannot keep every dashboard fetching.
const RESYNC_PACE: Duration = Duration::from_secs(1);

/// What the hints of one moment say.
#[derive(Default)]
struct Batch {
    commands: BTreeSet<CommandId>,
    is_resync: bool,
}

/// Looks up the commands that other processes hint at, and spreads their state as the database has
/// it. Never returns.
///
/// A hint that is false shows the readers a state once more that they have seen.
pub(super) async fn confirm(database: &Database, bus: &dyn EventBus) {
    let mut hints = bus.fleet_event_hints();
    let mut earliest_resync = Instant::now();
    let mut is_resync_due = false;
    loop {
        // The hints are read while a resync waits, or they would overflow and cause the next one.
        let mut batch = tokio::select! {
            batch = Batch::from(&mut hints) => batch,
            () = sleep_until(earliest_resync), if is_resync_due => {
                bus.broadcast_locally(FleetEvent::Resync);
                is_resync_due = false;
                earliest_resync = Instant::now() + RESYNC_PACE;
                continue;
            }
        };
        if !bus.has_fleet_event_receivers() {
            continue;
        }
        if let Err(error) = spread(database, bus, &batch.commands).await {
            tracing::warn!(%error, "failed to look up commands for watchers of the fleet");
            batch.is_resync = true;
        }
        is_resync_due |= batch.is_resync;
        sleep(PACE).await;
    }
}

impl Batch {
    /// Waits for a hint; takes along those that have arrived too.
    async fn from(hints: &mut BroadcastReceiver<FleetEventHint>) -> Self {
        let mut batch = Self::default();
        batch.add(*hints.next().await);
        while let Some(hint) = hints.next().now_or_never() {
            batch.add(*hint);
        }
        batch
    }

    fn add(&mut self, hint: FleetEventHint) {
        match hint {
            FleetEventHint::Command(command_id) => {
                self.commands.insert(command_id);
            }
            FleetEventHint::Unknown => self.is_resync = true,
        }
    }
}

async fn spread(
    database: &Database,
    bus: &dyn EventBus,
    command_ids: &BTreeSet<CommandId>,
) -> Result<(), StorageError> {
    if command_ids.is_empty() {
        return Ok(());
    }
    let command_ids: Vec<CommandId> = command_ids.iter().copied().collect();
    let mut connection = database.connection().await?;
    let found = commands::find_all(&mut connection, &command_ids).await?;
    for command in &found {
        bus.broadcast_locally(FleetEvent::from(command));
    }
    Ok(())
}
