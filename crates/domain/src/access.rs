//! Who may do what: the one table in code.

use crate::user::Role;

/// Something a caller may or may not do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Permission {
    /// Be known: see the own account.
    Account,
    /// Log out, see and end the own sessions, change the own password.
    OwnAccount,
    /// See vehicles.
    ReadVehicles,
    /// See the catalogue and send commands; the catalogue narrows it by command.
    SubmitCommands,
    /// Call commands off; whose, the permissions to see them decide.
    CancelCommands,
    /// See the own commands, their responses and their streams.
    ReadOwnCommands,
    /// See everybody's commands, their responses and their streams.
    ReadAllCommands,
    /// See, make, change and delete users.
    ManageUsers,
}

impl Permission {
    /// Whether somebody of `role` has the permission.
    pub const fn is_granted_to(self, role: Role) -> bool {
        match (self, role) {
            (
                Self::Account
                | Self::OwnAccount
                | Self::ReadVehicles
                | Self::SubmitCommands
                | Self::CancelCommands
                | Self::ReadOwnCommands,
                Role::Admin | Role::Engineer,
            )
            | (Self::ReadAllCommands | Self::ManageUsers, Role::Admin) => true,
            (Self::ReadAllCommands | Self::ManageUsers, Role::Engineer) => false,
        }
    }
}
