use crate::{fleet::scope::VehicleScope, ids::UserId};

/// The commands that a caller is authorized to see.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommandScope {
    /// Only those that this user submitted; `None` for those of all users.
    pub user_id: Option<UserId>,
    /// Only those to these vehicles.
    pub vehicles: VehicleScope,
}

impl CommandScope {
    /// Every command.
    pub const ALL: Self = Self {
        user_id: None,
        vehicles: VehicleScope::All,
    };
}
