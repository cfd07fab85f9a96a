//! Who may do what: the one table in code.

use crate::{identity::users::Role, text_enum::text_enum};

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
        /// See anomalies and their diagnoses.
        ReadAnomalies = "anomalies.read",
        /// Report anomalies and diagnose them.
        RecordAnomalies = "anomalies.record",
        /// See bookings.
        ReadBookings = "bookings.read",
        /// Book a service and call it off.
        Book = "bookings.book",
        /// Confirm, move and complete bookings.
        ManageBookings = "bookings.manage",
        /// See insights, how often detectors are right, and what fails.
        ReadInsights = "insights.read",
        /// Write insights and derive them from confirmed failures.
        RecordInsights = "insights.record",
        /// See what agents did and which are suspended.
        ReadAgentLog = "agents.read",
        /// Add to the log of what agents did.
        RecordAgentLog = "agents.record",
        /// Let a suspended agent act again.
        ManageAgents = "agents.manage",
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
        use Role::{Admin, Customer, Engineer, Manufacturer, Service};
        match self {
            Self::Account | Self::OwnAccount | Self::ReadVehicles | Self::ReadAnomalies => {
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

    /// Whether a key may open it. What makes accounts or lets agents act again, and what only a person
    /// has, no key opens.
    pub const fn is_for_keys(self) -> bool {
        !matches!(
            self,
            Self::OwnAccount | Self::ManageAgents | Self::ManageUsers | Self::ManageServiceAccounts
        )
    }

    /// Whether it changes something. An agent needs leave for that, beyond its key.
    pub const fn is_write(self) -> bool {
        match self {
            Self::Account
            | Self::ReadVehicles
            | Self::ReadOwnCommands
            | Self::ReadAllCommands
            | Self::ReadAnomalies
            | Self::ReadBookings
            | Self::ReadInsights
            | Self::ReadAgentLog
            | Self::ReadAudit => false,
            Self::OwnAccount
            | Self::ManageVehicles
            | Self::SubmitCommands
            | Self::CancelCommands
            | Self::RecordAnomalies
            | Self::Book
            | Self::ManageBookings
            | Self::RecordInsights
            | Self::RecordAgentLog
            | Self::ManageAgents
            | Self::ManageUsers
            | Self::ManageServiceAccounts => true,
        }
    }
}
