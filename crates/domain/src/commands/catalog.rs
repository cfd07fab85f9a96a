//! The commands that can be sent.

mod standard;

use std::{collections::BTreeMap, time::Duration};

use serde_json::Value;

use crate::{
    identity::users::Role,
    json_schema::{FieldError, JsonSchema},
    text_enum::text_enum,
};

/// Everything there is to know of one command before it is sent.
#[derive(Debug)]
pub struct CommandSpec {
    /// Its name on the wire, such as `ReadDTC`.
    pub name: &'static str,
    /// Its name for people.
    pub title: &'static str,
    /// What it does, in a sentence.
    pub description: &'static str,
    /// What it can do to the vehicle.
    pub risk: Risk,
    /// Whether sending it twice does no more than sending it once.
    pub idempotent: bool,
    /// What its parameters look like.
    pub params_schema: JsonSchema,
    /// Who may send it.
    pub allowed_roles: &'static [Role],
    /// How long the vehicle has to answer, from the moment of sending.
    pub timeout: Duration,
    /// The reading that shows what the command erases, if it erases something.
    pub evidence: Option<Evidence>,
    /// Whether its answer is the faults that the vehicle has, in which anomalies show.
    pub reports_faults: bool,
}

/// A reading of the catalogue that shows what a command is about to erase, and afterwards what is
/// left.
#[derive(Debug, Clone, Copy)]
pub struct Evidence {
    /// The reading's name.
    pub command_name: &'static str,
    /// The parameters that it takes over from the command.
    pub shared_params: &'static [&'static str],
    /// The parameter of the command that names the only fault to erase.
    pub fault_param: &'static str,
    /// How long a vehicle may still be at it when its answer was lost. To look any sooner could find
    /// what is about to be erased.
    pub settles_in: Duration,
}

impl Evidence {
    /// The parameters of the reading for a command with `params`.
    pub fn params(&self, params: &Value) -> Value {
        let shared = self.shared_params.iter();
        let shared =
            shared.filter_map(|name| Some(((*name).to_owned(), params.get(name)?.clone())));
        Value::Object(shared.collect())
    }

    /// The only fault that a command with `params` erases; nothing when it erases all.
    pub fn fault<'a>(&self, params: &'a Value) -> Option<&'a str> {
        params.get(self.fault_param).and_then(Value::as_str)
    }
}

impl CommandSpec {
    /// How long a vehicle has to answer what needs no more time than usual.
    pub const DEFAULT_TIMEOUT: Duration = Duration::from_secs(30);

    /// Whether somebody of `role` may send it.
    pub fn is_allowed_to(&self, role: Role) -> bool {
        self.allowed_roles.contains(&role)
    }

    /// Everything that is wrong with `params`; pointers start with `prefix`.
    pub fn check_params(&self, params: &Value, prefix: &str) -> Vec<FieldError> {
        self.params_schema.check(params, prefix)
    }
}

text_enum! {
    /// What a command can do to a vehicle.
    Risk, "risk" {
        /// It looks and changes nothing.
        Read = "read",
        /// It erases stored faults.
        Clear = "clear",
        /// It writes data.
        Write = "write",
        /// It moves something.
        Actuate = "actuate",
    }
}

impl Risk {
    /// How long a command waits to be sent when its sender does not say.
    ///
    /// A reading is as good an hour later. What changes a car is meant for the car as it stands
    /// now.
    pub const fn default_expiry(self) -> Duration {
        match self {
            Self::Read => Duration::from_hours(1),
            Self::Clear | Self::Write | Self::Actuate => Duration::from_mins(5),
        }
    }
}

/// The commands that can be sent, by name.
#[derive(Debug)]
pub struct Catalog(BTreeMap<&'static str, CommandSpec>);

impl Catalog {
    /// The commands every vehicle understands.
    pub fn standard() -> Self {
        Self::of(vec![
            standard::read_dtc(),
            standard::clear_dtc(),
            standard::read_data_by_id(),
        ])
    }

    /// A catalogue of `specs`.
    pub fn of(specs: Vec<CommandSpec>) -> Self {
        Self(specs.into_iter().map(|spec| (spec.name, spec)).collect())
    }

    /// The same commands and one more.
    #[must_use]
    pub fn with(mut self, spec: CommandSpec) -> Self {
        self.0.insert(spec.name, spec);
        self
    }

    /// The same commands, each with `timeout` to be answered.
    #[must_use]
    pub fn with_timeout(mut self, timeout: Duration) -> Self {
        for spec in self.0.values_mut() {
            spec.timeout = timeout;
        }
        self
    }

    /// The same commands, each with `span` for a vehicle to settle before somebody looks at it.
    #[must_use]
    pub fn with_settling(mut self, span: Duration) -> Self {
        for evidence in self
            .0
            .values_mut()
            .filter_map(|spec| spec.evidence.as_mut())
        {
            evidence.settles_in = span;
        }
        self
    }

    /// The command called `name`, which is case-sensitive.
    pub fn get(&self, name: &str) -> Option<&CommandSpec> {
        self.0.get(name)
    }

    /// Every command, by name.
    pub fn iter(&self) -> impl Iterator<Item = &CommandSpec> {
        self.0.values()
    }
}
