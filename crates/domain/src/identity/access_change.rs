//! What is remembered of somebody's rights and is out of date.

use serde::{Deserialize, Serialize};

use crate::ids::{SessionId, UserId};

/// Whatever is remembered of these has to be looked up again. It travels between processes, and it
/// says nothing of what has changed: the database does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "changed", rename_all = "snake_case")]
pub enum AccessChange {
    /// One login.
    Session {
        /// The login.
        session_id: SessionId,
    },
    /// Everything that one user is known by.
    User {
        /// The user.
        user_id: UserId,
    },
    /// Something was missed: nothing that is remembered counts.
    Unknown,
}

#[cfg(test)]
mod tests {
    use serde_json::{from_value, json, to_value};
    use uuid::Uuid;

    use super::*;

    #[test]
    fn older_and_newer_programs_understand_each_other() {
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
