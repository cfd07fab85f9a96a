//! Streams of fleet events, filtered by what each caller may see.

mod hints;

use std::{convert::Infallible, sync::Arc, time::Duration};

use chrono::{DateTime, Utc};
use derive_more::Constructor;
use sovd_domain::{FleetEvent, Permission, UserId, VehicleId, VehicleScope};
use sovd_events::{BroadcastReceiver, EventBus};
use sovd_storage::{Database, StorageError, fleet::vehicles, notifications::Notification};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::{
    commands::visible_owner,
    error::{Result, ServiceError},
    identity::{
        access::Access,
        caller::Caller,
        credential_cache::{CredentialCache, CredentialWatch},
    },
    timer::Timer,
};

/// The delay before listening to the database again after an error.
const RETRY_DELAY: Duration = Duration::from_secs(1);

/// Opens streams of fleet events.
#[derive(Constructor)]
pub struct Fleet {
    access: Access,
    bus: Arc<dyn EventBus>,
    credentials: CredentialCache,
}

impl Fleet {
    /// Opens a stream of the changes from now on, of one vehicle or of all.
    pub async fn watch(
        &self,
        caller: &Caller,
        vehicle_id: Option<VehicleId>,
    ) -> Result<FleetWatch> {
        caller.require(Permission::ReadVehicles)?;
        let events = self.bus.fleet_events();
        if let Some(vehicle_id) = vehicle_id {
            let unknown = ServiceError::not_found("vehicle", Some("/vehicle_id"));
            let can_access = self
                .access
                .can_access_vehicle(caller, vehicle_id, "vehicle.watch");
            if !can_access.await? {
                return Err(unknown);
            }
            let mut connection = self.access.connection().await?;
            let vehicle = vehicles::find(&mut connection, vehicle_id).await?;
            vehicle.ok_or(unknown)?;
        }
        let commands = self.visible_commands(caller).await?;
        Ok(FleetWatch {
            clock: Arc::clone(self.access.clock()),
            expires_at: caller.expires_at,
            credential: caller.watch(&self.credentials),
            events,
            commands,
            scope: caller.vehicle_scope(),
            vehicle_id,
        })
    }

    /// Returns the visible commands: none for an agent that is suspended from reading them.
    async fn visible_commands(&self, caller: &Caller) -> Result<VisibleCommands> {
        let permission = Permission::ReadOwnCommands;
        if !caller.may(permission) {
            return Ok(VisibleCommands::None);
        }
        let target = "news of commands".to_owned();
        match self.access.admit(caller, permission, target).await {
            Ok(_) => Ok(visible_owner(caller).map_or(VisibleCommands::All, VisibleCommands::Of)),
            Err(ServiceError::Blocked(_)) => Ok(VisibleCommands::None),
            Err(error) => Err(error),
        }
    }
}

/// The fleet events of one stream.
pub struct FleetWatch {
    clock: Arc<dyn Timer>,
    expires_at: DateTime<Utc>,
    credential: CredentialWatch,
    events: BroadcastReceiver<FleetEvent>,
    commands: VisibleCommands,
    scope: VehicleScope,
    /// The vehicle that the client asked for, if any.
    vehicle_id: Option<VehicleId>,
}

impl FleetWatch {
    /// Returns the watch of the client's credential.
    pub fn credential(&self) -> CredentialWatch {
        self.credential.clone()
    }

    /// Waits for the next event that the client may see. Returns `None` when the access token expires or the
    /// credential ends.
    pub async fn next(&mut self) -> Option<Arc<FleetEvent>> {
        let end = self.clock.sleep_until(self.expires_at);
        let next = async {
            loop {
                let event = self.events.next().await;
                if is_visible(self.commands, &self.scope, self.vehicle_id, &event) {
                    return event;
                }
            }
        };
        tokio::select! {
            event = next => Some(event),
            () = end => None,
            () = self.credential.ended() => None,
        }
    }
}

/// The users whose commands are visible.
#[derive(Clone, Copy)]
enum VisibleCommands {
    None,
    Of(UserId),
    All,
}

fn is_visible(
    commands: VisibleCommands,
    scope: &VehicleScope,
    vehicle_id: Option<VehicleId>,
    event: &FleetEvent,
) -> bool {
    let is_wanted = |id: VehicleId| vehicle_id.is_none_or(|wanted| wanted == id);
    match event {
        FleetEvent::Command {
            user_id,
            vehicle_id,
            ..
        } => {
            let is_own = match commands {
                VisibleCommands::None => false,
                VisibleCommands::Of(owner) => owner == *user_id,
                VisibleCommands::All => true,
            };
            // Customers, whose scope depends on the owner, have no access to commands.
            is_own && is_wanted(*vehicle_id) && scope.covers(*vehicle_id, None)
        }
        FleetEvent::Vehicle {
            vehicle_id,
            owner_id,
            ..
        } => is_wanted(*vehicle_id) && scope.covers(*vehicle_id, *owner_id),
        FleetEvent::Resync => true,
    }
}

/// Broadcasts changes of vehicles from the database, and changes of commands that other processes hint at,
/// to the streams of this process until `stop`.
pub async fn listen(database: Database, bus: Arc<dyn EventBus>, stop: CancellationToken) {
    let vehicles = async {
        loop {
            let Err(error) = broadcast_vehicles(&database, bus.as_ref()).await;
            tracing::warn!(%error, "failed to listen for changes of vehicles; retrying");
            sleep(RETRY_DELAY).await;
        }
    };
    let both = async { tokio::join!(vehicles, hints::confirm(&database, bus.as_ref())) };
    stop.run_until_cancelled(both).await;
}

async fn broadcast_vehicles(
    database: &Database,
    bus: &dyn EventBus,
) -> Result<Infallible, StorageError> {
    let mut listener = database.listen().await?;
    // Earlier notifications are lost.
    bus.broadcast_locally(FleetEvent::Resync);
    loop {
        let Notification::Vehicle(vehicle_id) = listener.next().await? else {
            continue;
        };
        let mut connection = database.connection().await?;
        if let Some(vehicle) = vehicles::find(&mut connection, vehicle_id).await? {
            bus.broadcast_locally(FleetEvent::from(&vehicle));
        }
    }
}
