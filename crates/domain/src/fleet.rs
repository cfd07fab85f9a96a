pub(crate) mod events;
pub(crate) mod scope;
pub(crate) mod vehicles;
pub(crate) mod vin;
