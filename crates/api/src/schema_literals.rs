//! The attributes of schemas take only literals. These tests tie them to the types that they repeat.

use std::collections::BTreeSet;

use serde_json::{Value, to_value};
use sovd_domain::{ConnectionStatus, Permission, Role, VehicleType, Vin};
use sovd_services::identity::auth::NewPassword;
use utoipa::{IntoParams, PartialSchema};

use crate::{
    fleet::vehicles::{
        change::ChangeVehicleRequest, create::CreateVehicleRequest, list::ListVehicles,
    },
    identity::{
        auth::account::PasswordRequest,
        service_accounts::issue::CreateServiceAccountRequest,
        users::{ListUsers, change::ChangeUserRequest, create::CreateUserRequest},
    },
};

fn property<T: PartialSchema>(name: &str) -> Value {
    to_value(T::schema()).unwrap()["properties"][name].take()
}

/// The schema of the first parameter.
fn parameter<T: IntoParams>() -> Value {
    to_value(T::into_params(|| None)).unwrap()[0]["schema"].take()
}

/// The pattern that accepts exactly the names of `values`.
fn pattern<'a, T: ToString + 'a>(values: impl IntoIterator<Item = &'a T>) -> String {
    let names: Vec<String> = values.into_iter().map(ToString::to_string).collect();
    format!("^({})$", names.join("|"))
}

#[test]
fn patterns_list_every_name() {
    let roles = pattern(Role::ALL);
    let key_roles = pattern(Role::ALL.iter().filter(|role| **role != Role::Customer));
    let statuses = pattern(ConnectionStatus::ALL);
    let types = pattern(VehicleType::ALL);
    for (schema, expected) in [
        (parameter::<ListUsers>(), &roles),
        (property::<CreateUserRequest>("role"), &roles),
        (property::<ChangeUserRequest>("role"), &roles),
        (property::<CreateServiceAccountRequest>("role"), &key_roles),
        (parameter::<ListVehicles>(), &statuses),
        (
            property::<CreateVehicleRequest>("connection_status"),
            &statuses,
        ),
        (
            property::<ChangeVehicleRequest>("connection_status"),
            &statuses,
        ),
        (property::<CreateVehicleRequest>("vehicle_type"), &types),
        (property::<ChangeVehicleRequest>("vehicle_type"), &types),
    ] {
        assert_eq!(schema["pattern"], *expected);
    }
}

#[test]
fn permissions_of_keys_are_documented() {
    let permissions = property::<CreateServiceAccountRequest>("permissions");
    let description = permissions["description"].as_str().unwrap();
    let (limited, fleet_wide) = description.split_once("without `vehicle_ids`").unwrap();
    let (fleet_wide, _) = fleet_wide.split_once(", if the role").unwrap();
    for (text, is_fleet_wide) in [(limited, false), (fleet_wide, true)] {
        let documented: BTreeSet<&str> = text.split('`').skip(1).step_by(2).collect();
        let granted = Permission::ALL
            .iter()
            .filter(|it| it.is_grantable_to_keys() && it.is_fleet_wide() == is_fleet_wide);
        assert_eq!(documented, granted.map(|it| it.as_str()).collect());
    }
}

#[test]
fn lengths_match_the_types() {
    let vin = format!("^[A-Za-z0-9]{{1,{}}}$", Vin::MAX_LENGTH);
    assert_eq!(property::<CreateVehicleRequest>("vin")["pattern"], vin);
    for password in [
        property::<CreateUserRequest>("password"),
        property::<ChangeUserRequest>("password"),
        property::<PasswordRequest>("new_password"),
    ] {
        assert_eq!(password["minLength"], *NewPassword::LENGTH.start());
        assert_eq!(password["maxLength"], *NewPassword::LENGTH.end());
    }
}
