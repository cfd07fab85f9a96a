//! Notices that cached credentials are out of date.

use serde::{Deserialize, Serialize};

use crate::ids::{SessionId, UserId};

/// Names the cache entries that every process must invalidate. The new state is in the database only.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "changed", rename_all = "snake_case")]
pub enum AccessChange {
    /// The credential of one session.
    Session {
        /// The session.
        session_id: SessionId,
    },
    /// All credentials of one user or service account.
    User {
        /// The user.
        user_id: UserId,
    },
    /// Changes were lost: all entries are invalid.
    Unknown,
}

#[cfg(test)]
mod tests {
    use serde_json::{from_value, json, to_value};
    use uuid::Uuid;

    use super::*;

    #[test]
    fn keeps_its_json_across_versions() {
        let id = Uuid::from_u128(1);
        for (change, json) in [
            (
                AccessChange::Session {
                    session_id: SessionId(id),
                },
                json!({ "changed": "session", "session_id": id }),
            ),
            (
                AccessChange::User {
                    user_id: UserId(id),
                },
                json!({ "changed": "user", "user_id": id }),
            ),
            (AccessChange::Unknown, json!({ "changed": "unknown" })),
        ] {
            assert_eq!(to_value(change).unwrap(), json);
            assert_eq!(from_value::<AccessChange>(json).unwrap(), change);
        }
    }
}
