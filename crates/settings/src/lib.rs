#![doc = include_str!("../README.md")]

mod choices;
mod error;
mod files;
mod key;
mod kind;
mod load;
mod loader;
mod postgres_url;
#[cfg(test)]
mod reference;
mod rules;
mod secret_url;
mod sections;
mod sources;
#[cfg(any(test, feature = "testing"))]
mod testing;
mod text;
mod variables;
mod weak_secret;

pub use choices::{DeploymentEnvironment, JwtAlgorithm, LogFormat, MockFailure};
pub use error::SettingsError;
pub use load::{EffectiveValue, Loaded, load_sections};
pub use secrecy::{ExposeSecret, SecretString};
pub use secret_url::SecretUrl;
pub use sections::{
    Agents, Audit, Auth, Connector, Database, Dispatch, Limits, Log, Maintenance, MockConnector,
    Redis, Server, Settings, Streams,
};
pub use sources::Sources;
