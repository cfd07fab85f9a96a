use std::time::Duration;

use sovd_domain::{UserId, VehicleId};
use sovd_storage::{Transaction, commands::queue, identity::users};

use crate::error::ServiceError;

/// After how long a user at the limit should try again. It is not known when a command ends.
const RETRY: Duration = Duration::from_secs(5);

/// How far below the limit of a user submissions need no lock. More submissions of one user than this
/// would have to be in flight at the same time to exceed the limit unnoticed.
const UNLOCKED_MARGIN: i64 = 256;

/// How many commands may be in the queue, waiting or under way; 0 is no limit.
#[derive(Debug, Clone, Copy)]
pub struct WaitingLimits {
    /// Commands to one vehicle.
    pub per_vehicle: u32,
    /// Commands of one user, to all vehicles together.
    pub per_user: u32,
}

impl WaitingLimits {
    /// Checks that one more command to the vehicle fits. The transaction holds the lock of the vehicle, so
    /// the count is exact.
    ///
    /// # Errors
    ///
    /// [`ServiceError::QueueFull`] when the vehicle has as many as it may have.
    pub(super) async fn check_vehicle(
        self,
        transaction: &mut Transaction,
        vehicle_id: VehicleId,
    ) -> Result<(), ServiceError> {
        let most = i64::from(self.per_vehicle);
        if most > 0 && queue::count_of_vehicle(transaction, vehicle_id, most).await? >= most {
            return Err(ServiceError::QueueFull { limit: most });
        }
        Ok(())
    }

    /// Checks that one more command of the user fits. Near the limit it locks the user: submissions to
    /// different vehicles would count at the same time otherwise. Call it before the vehicle is locked,
    /// because other transactions lock a user before the vehicles of the user.
    ///
    /// # Errors
    ///
    /// [`ServiceError::TooManyWaiting`] when the user has as many as it may have.
    pub(super) async fn check_user(
        self,
        transaction: &mut Transaction,
        user_id: UserId,
    ) -> Result<(), ServiceError> {
        let most = i64::from(self.per_user);
        if most == 0 {
            return Ok(());
        }
        let mut waiting = queue::count_of_user(transaction, user_id, most).await?;
        if waiting < most && waiting + UNLOCKED_MARGIN >= most {
            users::lock_submissions(transaction, user_id).await?;
            waiting = queue::count_of_user(transaction, user_id, most).await?;
        }
        if waiting < most {
            return Ok(());
        }
        Err(ServiceError::TooManyWaiting {
            limit: most,
            retry_after: RETRY,
        })
    }
}
