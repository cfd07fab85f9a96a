use std::{
    collections::{HashMap, HashSet},
    time::Duration,
};

use chrono::TimeDelta;
use sovd_domain::Permission;
use thiserror::Error;

use crate::identity::caller::Caller;

/// The reason why an agent is refused an action.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum Block {
    /// Its role or its key does not have the permission.
    #[error("the key does not cover this")]
    NotCovered,
    /// The action is a change, and the policy does not allow it to this agent.
    #[error("this agent is not allowed to perform this action")]
    NotAllowed,
    /// The agent is suspended from this action type.
    #[error("this agent is suspended from this action until an admin lifts the suspension")]
    Suspended,
}

/// The changes that agents may make, and the limit of blocked attempts.
#[derive(Debug, Clone)]
pub struct AgentPolicy {
    allowed: HashMap<String, HashSet<Permission>>,
    /// The number of blocked attempts above which an agent is suspended.
    pub(super) blocked_attempts: i64,
    window: TimeDelta,
}

/// An entry of the policy is not `name:permission` with a permission that can be allowed.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error(
    "{text:?} {reason}: expected name:permission, with the name of a service account and one of {}",
    allowable().map(Permission::as_str).collect::<Vec<_>>().join(", ")
)]
pub struct InvalidAgentPolicy {
    text: String,
    reason: String,
}

impl AgentPolicy {
    /// Creates the policy that allows agents the changes in `allow`, each `name:permission`, and no
    /// others. More than `blocked_attempts` blocked attempts of one action type within `window`
    /// suspend an agent from it. Rejects entries whose permission is unknown, is not a change or is not
    /// available to keys.
    pub fn new(
        allow: &[String],
        blocked_attempts: u32,
        window: Duration,
    ) -> Result<Self, InvalidAgentPolicy> {
        let mut allowed: HashMap<String, HashSet<Permission>> = HashMap::new();
        for text in allow {
            let (agent_name, permission) = parse(text).map_err(|reason| InvalidAgentPolicy {
                text: text.clone(),
                reason,
            })?;
            allowed
                .entry(agent_name.to_owned())
                .or_default()
                .insert(permission);
        }
        Ok(Self {
            allowed,
            blocked_attempts: blocked_attempts.into(),
            window: TimeDelta::from_std(window).unwrap_or(TimeDelta::MAX),
        })
    }

    /// Returns the period in which blocked attempts are counted.
    pub(crate) fn window(&self) -> TimeDelta {
        self.window
    }

    /// Checks that the role and the key of an agent cover the permission and that the policy allows it.
    pub(super) fn check(
        &self,
        caller: &Caller,
        agent_name: &str,
        permission: Permission,
    ) -> Result<(), Block> {
        if !caller.may(permission) {
            Err(Block::NotCovered)
        } else if !self.allows(agent_name, permission) {
            Err(Block::NotAllowed)
        } else {
            Ok(())
        }
    }

    /// Returns whether the permission is not for a change, or is allowed to the agent.
    fn allows(&self, agent_name: &str, permission: Permission) -> bool {
        let allowed = self.allowed.get(agent_name);
        !permission.is_write() || allowed.is_some_and(|allowed| allowed.contains(&permission))
    }
}

fn allowable() -> impl Iterator<Item = Permission> {
    let all = Permission::ALL.iter().copied();
    all.filter(|permission| permission.is_write() && permission.is_grantable_to_keys())
}

fn parse(text: &str) -> Result<(&str, Permission), String> {
    let (agent_name, word) = text
        .split_once(':')
        .filter(|(agent_name, _)| !agent_name.is_empty())
        .ok_or_else(|| "is not of the form name:permission".to_owned())?;
    let permission: Permission = word
        .parse()
        .map_err(|_| format!("names {word:?}, which is not a permission"))?;
    if !permission.is_write() {
        return Err("names a read-only permission, which needs no entry".to_owned());
    }
    if !permission.is_grantable_to_keys() {
        return Err("names a permission that a service account cannot have".to_owned());
    }
    Ok((agent_name, permission))
}

#[cfg(test)]
mod tests {
    use super::*;

    const WINDOW: Duration = Duration::from_mins(10);

    fn policy(allow: &[&str]) -> Result<AgentPolicy, InvalidAgentPolicy> {
        let allow: Vec<String> = allow.iter().map(|text| (*text).to_owned()).collect();
        AgentPolicy::new(&allow, 5, WINDOW)
    }

    #[test]
    fn allows_only_listed_changes() {
        let policy = policy(&[
            "monitor:commands.submit",
            "monitor:bookings.book",
            "robot:commands.cancel",
        ])
        .unwrap();
        for (agent_name, allowed) in [
            (
                "monitor",
                &[Permission::SubmitCommands, Permission::Book][..],
            ),
            ("robot", &[Permission::CancelCommands]),
            ("other", &[]),
        ] {
            for permission in Permission::ALL {
                let expected = allowed.contains(permission) || !permission.is_write();
                let allows = policy.allows(agent_name, *permission);
                assert_eq!(allows, expected, "{agent_name} {permission}");
            }
        }
    }

    #[test]
    fn names_the_invalid_entry_and_the_accepted_values() {
        let accepted = "expected name:permission, with the name of a service account and one of \
                        vehicles.manage, commands.submit, commands.cancel, anomalies.record, \
                        bookings.book, bookings.manage, insights.record, agents.record";
        let malformed = "is not of the form name:permission";
        let unknown = "names \"commands.send\", which is not a permission";
        let no_change = "names a read-only permission, which needs no entry";
        let not_for_keys = "names a permission that a service account cannot have";
        for (text, reason) in [
            ("monitor", malformed),
            (":commands.submit", malformed),
            ("monitor:commands.send", unknown),
            ("monitor:vehicles.read", no_change),
            ("monitor:users.manage", not_for_keys),
            ("monitor:agents.manage", not_for_keys),
        ] {
            let error = policy(&["a:commands.submit", text]).unwrap_err();
            assert_eq!(error.to_string(), format!("{text:?} {reason}: {accepted}"));
        }
    }
}
