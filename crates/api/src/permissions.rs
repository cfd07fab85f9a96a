//! A type for each permission, so that a handler's signature states the one it requires.

use sovd_domain::Permission;

/// A permission that a handler requires.
pub(crate) trait Required: 'static {
    /// Its value.
    const PERMISSION: Permission;
}

macro_rules! required {
    ($($name:ident),+ $(,)?) => {
        $(
            pub(crate) struct $name;

            impl Required for $name {
                const PERMISSION: Permission = Permission::$name;
            }
        )+
    };
}

required!(
    ReadOwnAccount,
    ManageOwnAccount,
    ReadVehicles,
    ManageVehicles,
    SubmitCommands,
    CancelCommands,
    ReadOwnCommands,
    ReadAnomalies,
    RecordAnomalies,
    ReadBookings,
    Book,
    ReadInsights,
    RecordInsights,
    ReadAgentLog,
    RecordAgentLog,
    ManageAgents,
    ReadAudit,
    ManageUsers,
    ManageServiceAccounts,
);
