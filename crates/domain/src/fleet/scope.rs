use crate::ids::{UserId, VehicleId};

/// The vehicles that a caller is authorized to see.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum VehicleScope {
    /// The whole fleet.
    All,
    /// Only these.
    Among(Vec<VehicleId>),
    /// Those owned by this customer.
    OwnedBy(UserId),
}

impl VehicleScope {
    /// Returns whether the scope covers a vehicle with this owner.
    pub fn covers(&self, vehicle_id: VehicleId, owner_id: Option<UserId>) -> bool {
        match self {
            Self::All => true,
            Self::Among(ids) => ids.contains(&vehicle_id),
            Self::OwnedBy(customer) => owner_id == Some(*customer),
        }
    }
}
