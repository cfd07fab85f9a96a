//! Watching the fleet: what changes, for whoever may see it.

mod hints;

use std::{convert::Infallible, sync::Arc, time::Duration};

use chrono::{DateTime, Utc};
use sovd_domain::{FleetEvent, Permission, UserId, VehicleId, VehicleScope};
use sovd_events::{BroadcastReceiver, EventBus};
use sovd_storage::{Database, StorageError, fleet::vehicles, notifications::Notification};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::{
    commands::visible_owner,
    error::ServiceError,
    identity::{
        access::Access,
        caller::Caller,
        credential_cache::{CredentialCache, CredentialWatch},
    },
    timer::Timer,
};

/// How long to wait before the database is asked again for its notifications.
const PAUSE: Duration = Duration::from_secs(1);

/// Lets clients watch the fleet.
pub struct Fleet {
    access: Access,
    bus: Arc<dyn EventBus>,
    credentials: CredentialCache,
}

impl Fleet {
    /// A fleet service.
    pub fn new(access: Access, bus: Arc<dyn EventBus>, credentials: CredentialCache) -> Self {
        Self {
            access,
            bus,
            credentials,
        }
    }

    /// What changes from now on, of one vehicle or of all.
    ///
    /// # Errors
    ///
    /// [`ServiceError::Forbidden`] when the caller may not see vehicles;
    /// [`ServiceError::NotFound`] when there is no such vehicle;
    /// [`ServiceError::Unavailable`] when what an agent is shown cannot be written down.
    pub async fn watch(
        &self,
        caller: &Caller,
        vehicle_id: Option<VehicleId>,
    ) -> Result<FleetWatch, ServiceError> {
        caller.require(Permission::ReadVehicles)?;
        let news = self.bus.fleet_events();
        if let Some(vehicle_id) = vehicle_id {
            let unknown = ServiceError::NotFound {
                what: "vehicle",
                pointer: Some("/vehicle_id"),
            };
            let watching = self
                .access
                .can_access_vehicle(caller, vehicle_id, "vehicle.watch");
            if !watching.await? {
                return Err(unknown);
            }
            let mut connection = self.access.connection().await?;
            let vehicle = vehicles::find(&mut connection, vehicle_id).await?;
            vehicle.ok_or(unknown)?;
        }
        let shown = self.shown(caller).await?;
        Ok(FleetWatch {
            clock: Arc::clone(self.access.clock()),
            expires_at: caller.expires_at,
            credential: caller.watch(&self.credentials),
            news,
            shown,
            among: caller.vehicles(),
            vehicle_id,
        })
    }

    /// Whose commands the caller is shown: an agent none when it is suspended from reading them.
    async fn shown(&self, caller: &Caller) -> Result<ShownCommands, ServiceError> {
        let permission = Permission::ReadOwnCommands;
        if !caller.may(permission) {
            return Ok(ShownCommands::None);
        }
        let target = "news of commands".to_owned();
        let admitting = self.access.admit(caller, permission, target);
        match admitting.await {
            Ok(_) => Ok(visible_owner(caller).map_or(ShownCommands::All, ShownCommands::Of)),
            Err(ServiceError::Blocked(_)) => Ok(ShownCommands::None),
            Err(error) => Err(error),
        }
    }
}

/// One client's view of the news.
pub struct FleetWatch {
    clock: Arc<dyn Timer>,
    expires_at: DateTime<Utc>,
    credential: CredentialWatch,
    news: BroadcastReceiver<FleetEvent>,
    shown: ShownCommands,
    /// Which vehicles are shown.
    among: VehicleScope,
    vehicle_id: Option<VehicleId>,
}

impl FleetWatch {
    /// Tells whether the client's credential has ended.
    pub fn credential(&self) -> CredentialWatch {
        self.credential.clone()
    }

    /// Waits for the next piece of news that the client may see; nothing when the client's access
    /// token or credential has ended.
    pub async fn next(&mut self) -> Option<Arc<FleetEvent>> {
        let end = self.clock.sleep_until(self.expires_at);
        let next = async {
            loop {
                let news = self.news.next().await;
                if shows(self.shown, &self.among, self.vehicle_id, &news) {
                    return news;
                }
            }
        };
        tokio::select! {
            news = next => Some(news),
            () = end => None,
            () = self.credential.ended() => None,
        }
    }
}

/// Whose commands somebody is shown.
#[derive(Clone, Copy)]
enum ShownCommands {
    None,
    Of(UserId),
    All,
}

fn shows(
    shown: ShownCommands,
    among: &VehicleScope,
    vehicle_id: Option<VehicleId>,
    news: &FleetEvent,
) -> bool {
    let is_own = match news {
        FleetEvent::Command { user_id, .. } => match shown {
            ShownCommands::None => false,
            ShownCommands::Of(owner) => owner == *user_id,
            ShownCommands::All => true,
        },
        FleetEvent::Vehicle { .. } | FleetEvent::Resync => true,
    };
    let is_wanted = vehicle_id
        .zip(news.vehicle_id())
        .is_none_or(|(wanted, one)| wanted == one);
    let is_covered = match news {
        // Commands go to those who work with the fleet, which no owner does.
        FleetEvent::Command { vehicle_id, .. } => among.covers(*vehicle_id, None),
        FleetEvent::Vehicle {
            vehicle_id,
            owner_id,
            ..
        } => among.covers(*vehicle_id, *owner_id),
        FleetEvent::Resync => true,
    };
    is_own && is_wanted && is_covered
}

/// Passes on what the database says of vehicles, and of the commands that other processes hint at, to
/// those who watch the fleet in this process, until `stop`.
pub async fn listen(database: Database, bus: Arc<dyn EventBus>, stop: CancellationToken) {
    let listening = async {
        loop {
            let Err(error) = hear(&database, bus.as_ref()).await;
            tracing::warn!(%error, "cannot hear of vehicles, trying again");
            sleep(PAUSE).await;
        }
    };
    let both = async { tokio::join!(listening, hints::confirm(&database, bus.as_ref())) };
    stop.run_until_cancelled(both).await;
}

async fn hear(database: &Database, bus: &dyn EventBus) -> Result<Infallible, StorageError> {
    let mut listener = database.listen().await?;
    // What was said before is not repeated.
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
