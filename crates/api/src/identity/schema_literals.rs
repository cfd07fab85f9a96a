//! The attributes of schemas take only literals. These tests tie them to the types that they repeat.

use std::collections::BTreeSet;

use serde_json::{Value, to_value};
use sovd_domain::{Permission, Role};
use sovd_services::identity::auth::NewPassword;
use utoipa::{IntoParams, PartialSchema};

use super::{
    auth::password::PasswordRequest,
    service_accounts::create::CreateServiceAccountRequest,
    users::{change::ChangeUserRequest, create::CreateUserRequest, list::ListUsers},
};

fn property<T: PartialSchema>(name: &str) -> Value {
    to_value(T::schema()).unwrap()["properties"][name].take()
}

fn pattern_of(roles: impl Iterator<Item = Role>) -> Value {
    let roles: Vec<&str> = roles.map(Role::as_str).collect();
    format!("^({})$", roles.join("|")).into()
}

#[test]
fn role_patterns_list_every_role() {
    let expected = pattern_of(Role::ALL.iter().copied());
    let parameters = to_value(ListUsers::into_params(|| None)).unwrap();
    assert_eq!(parameters[0]["schema"]["pattern"], expected);
    assert_eq!(property::<CreateUserRequest>("role")["pattern"], expected);
    assert_eq!(property::<ChangeUserRequest>("role")["pattern"], expected);
    let of_machines = Role::ALL.iter().copied();
    let of_machines = pattern_of(of_machines.filter(|role| *role != Role::Customer));
    let role = property::<CreateServiceAccountRequest>("role");
    assert_eq!(role["pattern"], of_machines);
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
            .filter(|it| it.is_for_keys() && it.is_fleet_wide() == is_fleet_wide);
        assert_eq!(documented, granted.map(|it| it.as_str()).collect());
    }
}

#[test]
fn password_lengths_match_the_rule() {
    for password in [
        property::<CreateUserRequest>("password"),
        property::<ChangeUserRequest>("password"),
        property::<PasswordRequest>("new_password"),
    ] {
        assert_eq!(password["minLength"], *NewPassword::LENGTH.start());
        assert_eq!(password["maxLength"], *NewPassword::LENGTH.end());
    }
}
