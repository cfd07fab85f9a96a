//! A type for each permission, so that a handler's signature says what it asks for.

use sovd_domain::Permission;

/// What a caller needs.
pub(crate) trait Required: 'static {
    /// The permission.
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
    Account,
    OwnAccount,
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
