//! Who may do what: the one table in code.

use crate::{text_enum::text_enum, user::Role};

text_enum! {
    /// Something a caller may or may not do.
    Permission, "permission" {
        /// Be known: see the own account.
        Account = "account.read",
        /// Log out, see and end the own sessions, change the own password.
        OwnAccount = "account.manage",
        /// See vehicles.
        ReadVehicles = "vehicles.read",
        /// Make, change and delete vehicles.
        ManageVehicles = "vehicles.manage",
        /// See the catalogue and send commands; the catalogue narrows it by command.
        SubmitCommands = "commands.submit",
        /// Call commands off; whose, the permissions to see them decide.
        CancelCommands = "commands.cancel",
        /// See the own commands, their responses and their streams.
        ReadOwnCommands = "commands.read",
        /// See everybody's commands, their responses and their streams.
        ReadAllCommands = "commands.read_all",
        /// See and export the audit trail.
        ReadAudit = "audit.read",
        /// See, make, change and delete users.
        ManageUsers = "users.manage",
        /// See, make and revoke service accounts.
        ManageServiceAccounts = "service_accounts.manage",
    }
}

impl Permission {
    /// Whether somebody of `role` has the permission.
    pub const fn is_granted_to(self, role: Role) -> bool {
        match self {
            Self::Account
            | Self::OwnAccount
            | Self::ReadVehicles
            | Self::SubmitCommands
            | Self::CancelCommands
            | Self::ReadOwnCommands => matches!(role, Role::Admin | Role::Engineer),
            Self::ManageVehicles
            | Self::ReadAllCommands
            | Self::ReadAudit
            | Self::ManageUsers
            | Self::ManageServiceAccounts => matches!(role, Role::Admin),
        }
    }

    /// Whether a key may open it. What makes accounts, and what only a person has, no key opens.
    pub const fn is_for_keys(self) -> bool {
        match self {
            Self::Account
            | Self::ReadVehicles
            | Self::ManageVehicles
            | Self::SubmitCommands
            | Self::CancelCommands
            | Self::ReadOwnCommands
            | Self::ReadAllCommands
            | Self::ReadAudit => true,
            Self::OwnAccount | Self::ManageUsers | Self::ManageServiceAccounts => false,
        }
    }
}
