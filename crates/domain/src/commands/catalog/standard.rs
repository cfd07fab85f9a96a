//! The standard commands: services of ISO 14229-1 (UDS) as exposed by SOVD.

use std::time::Duration;

use serde_json::{Value, json};

use super::{CommandSpec, Evidence, Risk};
use crate::{identity::users::Role, json_schema::JsonSchema};

/// A workshop may read from a vehicle remotely, but not change it.
const READ_ROLES: &[Role] = &[Role::Admin, Role::Engineer, Role::Service];
const CHANGE_ROLES: &[Role] = &[Role::Admin, Role::Engineer];

pub(super) fn read_dtc() -> CommandSpec {
    CommandSpec {
        name: "ReadDTC",
        title: "Read trouble codes",
        description: "Reads the diagnostic trouble codes stored in one ECU.",
        risk: Risk::Read,
        idempotent: true,
        params_schema: params(
            &["ecuAddress"],
            &json!({
                "ecuAddress": ecu_address(),
                "format": {
                    "type": "string",
                    "enum": ["UDS", "OBD"],
                    "description": "UDS or OBD",
                },
            }),
        ),
        allowed_roles: READ_ROLES,
        timeout: CommandSpec::DEFAULT_TIMEOUT,
        evidence: None,
        reports_faults: true,
    }
}

pub(super) fn clear_dtc() -> CommandSpec {
    CommandSpec {
        name: "ClearDTC",
        title: "Clear trouble codes",
        description: "Erases one stored trouble code of an ECU, or all of them.",
        risk: Risk::Clear,
        idempotent: false,
        params_schema: params(
            &["ecuAddress"],
            &json!({
                "ecuAddress": ecu_address(),
                "dtcCode": {
                    "type": "string",
                    "pattern": "^[PCBU][0-3][0-9A-F]{3}(-[0-9A-F]{2})?$",
                    "description": "a trouble code after SAE J2012, such as P0420 or B1234-1A",
                },
            }),
        ),
        allowed_roles: CHANGE_ROLES,
        timeout: CommandSpec::DEFAULT_TIMEOUT,
        evidence: Some(Evidence {
            command_name: "ReadDTC",
            shared_params: &["ecuAddress"],
            fault_param: "dtcCode",
            settles_in: Duration::from_secs(2),
        }),
        reports_faults: false,
    }
}

pub(super) fn read_data_by_id() -> CommandSpec {
    CommandSpec {
        name: "ReadDataByID",
        title: "Read data by identifier",
        description: "Reads the value behind one data identifier (DID) of an ECU.",
        risk: Risk::Read,
        idempotent: true,
        params_schema: params(
            &["ecuAddress", "dataId"],
            &json!({
                "ecuAddress": ecu_address(),
                "dataId": {
                    "type": "string",
                    "pattern": "^0x[0-9A-Fa-f]{4}$",
                    "description": "a data identifier: 0x and 4 hex digits",
                },
            }),
        ),
        allowed_roles: READ_ROLES,
        timeout: CommandSpec::DEFAULT_TIMEOUT,
        evidence: None,
        reports_faults: false,
    }
}

fn ecu_address() -> Value {
    json!({
        "type": "string",
        "pattern": "^0x([0-9A-Fa-f]{2}|[0-9A-Fa-f]{4}|[0-9A-Fa-f]{8})$",
        "description": "an ECU address: 0x and 2, 4 or 8 hex digits",
    })
}

fn params(required: &[&str], properties: &Value) -> JsonSchema {
    #[expect(
        clippy::expect_used,
        reason = "the schemas are constants, and the tests compile each of them"
    )]
    JsonSchema::new(json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "type": "object",
        "required": required,
        "additionalProperties": false,
        "properties": properties,
    }))
    .expect("the schemas of the standard catalog are valid")
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use crate::commands::catalog::Catalog;

    /// Checks the parameters of a command that consist of `field`, and an ECU address unless that is the
    /// field.
    fn check(name: &str, field: &str, good: &[&str], bad: &[&str]) {
        let catalog = Catalog::standard();
        let schema = &catalog.get(name).unwrap().params_schema;
        for (values, is_valid) in [(good, true), (bad, false)] {
            for value in values {
                let mut params = json!({ "ecuAddress": "0x10" });
                params[field] = json!(value);
                assert_eq!(schema.check(&params, "").is_empty(), is_valid, "{value:?}");
            }
        }
    }

    #[test]
    fn ecu_addresses_have_2_4_or_8_digits() {
        let good = ["0x10", "0x1A2b", "0x18DA10F1"];
        let bad = ["", "10", "0x", "0x1", "0x123", "0x12345", "0x1234567"];
        check("ReadDTC", "ecuAddress", &good, &bad);
        let bad = ["0x123456789", "0xZZ", "0x10\n", "0X10"];
        check("ReadDTC", "ecuAddress", &[], &bad);
    }

    #[test]
    fn data_ids_have_4_digits() {
        check("ReadDataByID", "dataId", &["0xF190"], &["0xF19", "0xF1900"]);
        check("ReadDataByID", "ecuAddress", &[], &["0x10"]);
    }

    #[test]
    fn trouble_codes_follow_sae_j2012() {
        let good = ["P0420", "U0100", "B1234-1A", "C3FFF"];
        let bad = ["P042", "P04200", "X0420", "P4420", "p0420"];
        check("ClearDTC", "dtcCode", &good, &bad);
        let bad = ["B1234-1", "B1234-1AB", "P0420\n"];
        check("ClearDTC", "dtcCode", &[], &bad);
        check("ClearDTC", "ecuAddress", &["0x10"], &[]);
    }

    #[test]
    fn rejects_unknown_properties_and_values() {
        let catalog = Catalog::standard();
        let schema = &catalog.get("ReadDTC").unwrap().params_schema;
        for params in [
            json!({"ecuAddress": "0x10", "force": true}),
            json!({"ecuAddress": "0x10", "format": "KWP"}),
            json!([]),
            Value::Null,
        ] {
            assert!(!schema.check(&params, "").is_empty(), "{params}");
        }
    }
}
