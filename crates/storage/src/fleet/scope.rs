/// Restricts a boxed query to the vehicles of a [`sovd_domain::VehicleScope`]; `$column` has their ids.
macro_rules! within {
    ($query:expr, $column:expr, $scope:expr) => {
        match $scope {
            sovd_domain::VehicleScope::All => $query,
            sovd_domain::VehicleScope::Among(ids) => {
                let ids: Vec<uuid::Uuid> = ids.iter().map(|id| id.0).collect();
                $query.filter($column.eq_any(ids))
            }
            sovd_domain::VehicleScope::OwnedBy(owner_id) => {
                let owned = diesel::alias!(crate::schema::vehicles as owned_vehicles);
                let owned = owned
                    .filter(
                        owned
                            .field(crate::schema::vehicles::owner_id)
                            .eq(owner_id.0),
                    )
                    .select(owned.field(crate::schema::vehicles::vehicle_id));
                $query.filter($column.eq_any(owned))
            }
        }
    };
}

pub(crate) use within;
