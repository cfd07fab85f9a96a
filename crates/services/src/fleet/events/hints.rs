use std::{collections::BTreeSet, time::Duration};

use futures_util::FutureExt;
use sovd_domain::{CommandId, FleetEvent};
use sovd_events::{BroadcastReceiver, EventBus, FleetEventHint};
use sovd_storage::{Database, StorageError, commands};
use tokio::time::{Instant, sleep, sleep_until};

/// The minimum interval between two queries; hints received meanwhile share one.
const QUERY_INTERVAL: Duration = Duration::from_millis(20);

/// The minimum interval between two resync events, so that false hints cannot keep every dashboard
/// fetching.
const RESYNC_INTERVAL: Duration = Duration::from_secs(1);

/// The hints of one query.
#[derive(Default)]
struct Batch {
    commands: BTreeSet<CommandId>,
    is_resync: bool,
}

/// Reads the commands that other processes hint at, and broadcasts their state. Never returns.
///
/// A false hint only repeats a state.
pub(super) async fn confirm(database: &Database, bus: &dyn EventBus) {
    let mut hints = bus.fleet_event_hints();
    let mut earliest_resync = Instant::now();
    let mut is_resync_due = false;
    loop {
        // Hints are received while a resync is due; otherwise their overflow would cause the next one.
        let mut batch = tokio::select! {
            batch = Batch::from(&mut hints) => batch,
            () = sleep_until(earliest_resync), if is_resync_due => {
                bus.broadcast_locally(FleetEvent::Resync);
                is_resync_due = false;
                earliest_resync = Instant::now() + RESYNC_INTERVAL;
                continue;
            }
        };
        if !bus.has_fleet_event_receivers() {
            continue;
        }
        if let Err(error) = broadcast(database, bus, &batch.commands).await {
            tracing::warn!(%error, "failed to read hinted commands");
            batch.is_resync = true;
        }
        is_resync_due |= batch.is_resync;
        sleep(QUERY_INTERVAL).await;
    }
}

impl Batch {
    /// Waits for a hint, and takes all others that have arrived.
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

async fn broadcast(
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
