//! The catalog of commands.

mod standard;

use std::{collections::BTreeMap, time::Duration};

use serde_json::Value;

use crate::{identity::users::Role, json_schema::JsonSchema, text_enum::text_enum};

/// The specification of a command.
#[derive(Debug)]
pub struct CommandSpec {
    /// Its name on the wire, such as `ReadDTC`.
    pub name: &'static str,
    /// Its display name.
    pub title: &'static str,
    /// A one-sentence description.
    pub description: &'static str,
    /// Its possible effect on the vehicle.
    pub risk: Risk,
    /// Whether sending it twice has the same effect as sending it once.
    pub idempotent: bool,
    /// The JSON Schema of its parameters.
    pub params_schema: JsonSchema,
    /// The roles that may submit it.
    pub allowed_roles: &'static [Role],
    /// The time within which the vehicle must respond, measured from sending.
    pub timeout: Duration,
    /// The read command that records the faults that this command erases, if it erases any.
    pub evidence: Option<Evidence>,
    /// Whether its response lists faults, which anomaly detection evaluates.
    pub reports_faults: bool,
}

/// How to read the faults that a command erases, before and after it runs.
#[derive(Debug, Clone, Copy)]
pub struct Evidence {
    /// The name of the read command.
    pub command_name: &'static str,
    /// The parameters that it shares with the erasing command.
    pub shared_params: &'static [&'static str],
    /// The parameter of the erasing command that selects a single fault.
    pub fault_param: &'static str,
    /// How long the vehicle may still be erasing after its response was lost. An earlier probe might
    /// read faults that are about to be erased.
    pub settles_in: Duration,
}

impl Evidence {
    /// Returns the parameters of the read command for an erasing command with `params`.
    pub fn params(&self, params: &Value) -> Value {
        let shared = self.shared_params.iter();
        let shared =
            shared.filter_map(|name| Some(((*name).to_owned(), params.get(name)?.clone())));
        Value::Object(shared.collect())
    }

    /// Returns the fault that a command with `params` erases, or `None` if it erases all.
    pub fn fault<'a>(&self, params: &'a Value) -> Option<&'a str> {
        params.get(self.fault_param).and_then(Value::as_str)
    }
}

impl CommandSpec {
    /// The timeout of a command that needs no longer one.
    pub const DEFAULT_TIMEOUT: Duration = Duration::from_secs(30);

    /// Returns whether a user with `role` may submit it.
    pub fn is_allowed_to(&self, role: Role) -> bool {
        self.allowed_roles.contains(&role)
    }
}

text_enum! {
    /// The possible effect of a command on a vehicle.
    Risk, "risk" {
        /// It reads and changes nothing.
        Read = "read",
        /// It erases stored faults.
        Clear = "clear",
        /// It writes data.
        Write = "write",
        /// It operates an actuator.
        Actuate = "actuate",
    }
}

impl Risk {
    /// Returns the time to expiry of a command whose submission specifies none.
    ///
    /// A read is as useful an hour later, whereas a change is meant for the present state of the
    /// vehicle.
    pub const fn default_expiry(self) -> Duration {
        match self {
            Self::Read => Duration::from_hours(1),
            Self::Clear | Self::Write | Self::Actuate => Duration::from_mins(5),
        }
    }
}

/// The commands that can be submitted, by name.
#[derive(Debug)]
pub struct Catalog(BTreeMap<&'static str, CommandSpec>);

impl Catalog {
    /// Returns the commands that every vehicle supports.
    pub fn standard() -> Self {
        let specs = [
            standard::read_dtc(),
            standard::clear_dtc(),
            standard::read_data_by_id(),
        ];
        Self(specs.into_iter().map(|spec| (spec.name, spec)).collect())
    }

    /// Adds `spec`.
    #[must_use]
    pub fn with(mut self, spec: CommandSpec) -> Self {
        self.0.insert(spec.name, spec);
        self
    }

    /// Sets the settling time of every command that erases faults.
    #[must_use]
    pub fn with_settling(mut self, span: Duration) -> Self {
        let specs = self.0.values_mut();
        for evidence in specs.filter_map(|spec| spec.evidence.as_mut()) {
            evidence.settles_in = span;
        }
        self
    }

    /// Returns the command with the case-sensitive `name`.
    pub fn get(&self, name: &str) -> Option<&CommandSpec> {
        self.0.get(name)
    }

    /// Returns all commands, sorted by name.
    pub fn iter(&self) -> impl Iterator<Item = &CommandSpec> {
        self.0.values()
    }
}
