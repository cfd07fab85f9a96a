pub(crate) mod reconnection;
pub(crate) mod vehicle_changes;
pub(crate) mod vehicles;
