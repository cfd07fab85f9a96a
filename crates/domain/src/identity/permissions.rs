//! Permissions, and the roles that have them. This is the only such table. For the vehicles that a caller
//! may see, see [`VehicleScope`](crate::VehicleScope).

use crate::{identity::users::Role, text_enum::text_enum};

text_enum! {
    /// An operation, or a group of operations, that requires authorization.
    Permission, "permission" {
        /// See the caller's own account.
        ReadOwnAccount = "account.read",
        /// Log out, list and end the caller's own sessions, change the caller's own password.
        ManageOwnAccount = "account.manage",
        /// See vehicles.
        ReadVehicles = "vehicles.read",
        /// Create, change and delete vehicles.
        ManageVehicles = "vehicles.manage",
        /// See the catalog and submit commands; each catalog entry names the roles that may submit it.
        SubmitCommands = "commands.submit",
        /// Cancel the commands that the caller may see.
        CancelCommands = "commands.cancel",
        /// See the caller's own commands, their responses and streams.
        ReadOwnCommands = "commands.read",
        /// See the commands of all users, their responses and streams.
        ReadAllCommands = "commands.read_all",
        /// See anomalies and their diagnoses.
        ReadAnomalies = "anomalies.read",
        /// Report anomalies and diagnose them.
        RecordAnomalies = "anomalies.record",
        /// See bookings.
        ReadBookings = "bookings.read",
        /// Create and cancel bookings.
        Book = "bookings.book",
        /// Confirm, reschedule and complete bookings.
        ManageBookings = "bookings.manage",
        /// See insights, the precision of detectors, and failure statistics.
        ReadInsights = "insights.read",
        /// Record insights and derive them from confirmed failures.
        RecordInsights = "insights.record",
        /// See the activity log and the suspensions of agents.
        ReadAgentLog = "agents.read",
        /// Add entries to the activity log of agents.
        RecordAgentLog = "agents.record",
        /// Lift suspensions of agents.
        ManageAgents = "agents.manage",
        /// See and export the audit trail.
        ReadAudit = "audit.read",
        /// See, create, change and delete users.
        ManageUsers = "users.manage",
        /// See, create and revoke service accounts.
        ManageServiceAccounts = "service_accounts.manage",
    }
}

impl Permission {
    /// Returns whether `role` has the permission.
    pub const fn is_granted_to(self, role: Role) -> bool {
        use Role::{Admin, Customer, Engineer, Manufacturer, Service};
        match self {
            Self::ReadOwnAccount
            | Self::ManageOwnAccount
            | Self::ReadVehicles
            | Self::ReadAnomalies => {
                matches!(role, Admin | Engineer | Service | Manufacturer | Customer)
            }
            Self::SubmitCommands
            | Self::CancelCommands
            | Self::ReadOwnCommands
            | Self::RecordAnomalies => matches!(role, Admin | Engineer | Service),
            Self::ReadBookings => matches!(role, Admin | Engineer | Service | Customer),
            Self::Book => matches!(role, Admin | Service | Customer),
            Self::ManageBookings => matches!(role, Admin | Service),
            Self::ReadInsights => matches!(role, Admin | Engineer | Service | Manufacturer),
            Self::RecordInsights => matches!(role, Admin | Manufacturer),
            Self::ManageVehicles
            | Self::ReadAllCommands
            | Self::ReadAgentLog
            | Self::RecordAgentLog
            | Self::ManageAgents
            | Self::ReadAudit
            | Self::ManageUsers
            | Self::ManageServiceAccounts => matches!(role, Admin),
        }
    }

    /// Returns whether an API key may have the permission. Managing accounts and agents, and the
    /// operations on sessions and passwords, require a human user.
    pub const fn is_grantable_to_keys(self) -> bool {
        !matches!(
            self,
            Self::ManageOwnAccount
                | Self::ManageAgents
                | Self::ManageUsers
                | Self::ManageServiceAccounts
        )
    }

    /// Returns whether the permission covers data of the whole fleet, so that a key limited to some vehicles
    /// cannot have it.
    pub const fn is_fleet_wide(self) -> bool {
        matches!(
            self,
            Self::ReadAudit
                | Self::ManageVehicles
                | Self::ReadInsights
                | Self::RecordInsights
                | Self::ReadAgentLog
                | Self::RecordAgentLog
        )
    }

    /// Returns whether the permission allows changes, for which an agent needs an entry in its policy
    /// besides the scope of its key.
    pub const fn is_write(self) -> bool {
        !matches!(
            self,
            Self::ReadOwnAccount
                | Self::ReadVehicles
                | Self::ReadOwnCommands
                | Self::ReadAllCommands
                | Self::ReadAnomalies
                | Self::ReadBookings
                | Self::ReadInsights
                | Self::ReadAgentLog
                | Self::ReadAudit
        )
    }
}
