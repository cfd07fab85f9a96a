pub(crate) mod customers;
pub(crate) mod events;
pub(crate) mod vehicle_changes;
pub(crate) mod vehicles;
