use std::{collections::HashMap, hash::Hash, time::Duration};

use sovd_domain::{UserId, VehicleId};
use sovd_storage::{StorageError, Transaction, commands::queue, identity::users};

use crate::error::{Result, ServiceError};

/// The `Retry-After` of a user at the limit. The time at which a command ends is unknown.
const RETRY_AFTER: Duration = Duration::from_secs(5);

/// The margin below the limit of a user within which submissions lock the user. Further below, the limit
/// could only be exceeded by more than this many concurrent submissions.
const UNLOCKED_MARGIN: i64 = 256;

/// The limits of the number of queued commands, waiting or in progress; 0 means no limit.
#[derive(Debug, Clone, Copy)]
pub struct WaitingLimits {
    /// Commands for one vehicle.
    pub per_vehicle: u32,
    /// Commands of one user for all vehicles.
    pub per_user: u32,
}

impl WaitingLimits {
    /// Returns [`ServiceError::QueueFull`] if the queue of the vehicle has reached its limit. The count is
    /// exact because the transaction has locked the vehicle.
    pub(super) async fn check_vehicle(
        self,
        transaction: &mut Transaction,
        vehicle_id: VehicleId,
    ) -> Result<()> {
        let most = i64::from(self.per_vehicle);
        if most > 0 && queue::count_of_vehicle(transaction, vehicle_id, most).await? >= most {
            return Err(ServiceError::QueueFull { limit: most });
        }
        Ok(())
    }

    /// Returns the number of further commands that fit into the queue of each vehicle, or `None` if there
    /// is no limit. It is exact for vehicles that the transaction has locked.
    pub(super) async fn vehicles_with_room(
        self,
        transaction: &mut Transaction,
        vehicle_ids: &[VehicleId],
    ) -> Result<Option<HashMap<VehicleId, i64>>, StorageError> {
        let most = i64::from(self.per_vehicle);
        if most == 0 {
            return Ok(None);
        }
        let counts = queue::count_of_vehicles(transaction, vehicle_ids, most).await?;
        Ok(Some(room(vehicle_ids, &counts, most)))
    }

    /// Returns the number of further commands of each user that can be accepted without locking the user,
    /// or `None` if there is no limit.
    pub(super) async fn users_with_room(
        self,
        transaction: &mut Transaction,
        user_ids: &[UserId],
    ) -> Result<Option<HashMap<UserId, i64>>, StorageError> {
        let most = i64::from(self.per_user);
        if most == 0 {
            return Ok(None);
        }
        let counts = queue::count_of_users(transaction, user_ids, most).await?;
        Ok(Some(room(user_ids, &counts, most - UNLOCKED_MARGIN)))
    }

    /// Returns [`ServiceError::TooManyWaiting`] if the queued commands of the user have reached their
    /// limit. Near the limit it locks the user, because submissions for different vehicles count
    /// concurrently. Call this before locking the vehicle: a user is locked before its vehicles.
    pub(super) async fn check_user(
        self,
        transaction: &mut Transaction,
        user_id: UserId,
    ) -> Result<()> {
        let most = i64::from(self.per_user);
        if most == 0 {
            return Ok(());
        }
        let mut waiting = queue::count_of_user(transaction, user_id, most).await?;
        if waiting < most && waiting + UNLOCKED_MARGIN >= most {
            users::lock_exclusively(transaction, user_id).await?;
            waiting = queue::count_of_user(transaction, user_id, most).await?;
        }
        if waiting < most {
            return Ok(());
        }
        Err(ServiceError::TooManyWaiting {
            limit: most,
            retry_after: RETRY_AFTER,
        })
    }
}

fn room<K: Copy + Eq + Hash>(owners: &[K], counts: &HashMap<K, i64>, most: i64) -> HashMap<K, i64> {
    let room = |owner: &K| most - counts.get(owner).copied().unwrap_or_default();
    owners.iter().map(|owner| (*owner, room(owner))).collect()
}
