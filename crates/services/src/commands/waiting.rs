use std::time::Duration;

use sovd_domain::{UserId, VehicleId};
use sovd_storage::{Transaction, queue, users};

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
    /// Checks that one more command fits. The transaction holds the lock of the vehicle, so that the
    /// count of the vehicle is exact. Near the limit of the user it locks the user, too: submissions to
    /// different vehicles would count at the same time otherwise.
    ///
    /// # Errors
    ///
    /// [`ServiceError::QueueFull`] when the vehicle has as many as it may have;
    /// [`ServiceError::TooManyWaiting`] when the user has.
    pub(super) async fn check(
        self,
        transaction: &mut Transaction,
        user_id: UserId,
        vehicle_id: VehicleId,
    ) -> Result<(), ServiceError> {
        let most = i64::from(self.per_vehicle);
        if most > 0 && queue::count_of_vehicle(transaction, vehicle_id, most).await? >= most {
            return Err(ServiceError::QueueFull { limit: most });
        }
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
