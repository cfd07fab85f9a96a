#![doc = include_str!("../README.md")]

pub mod kind;
pub mod text;

mod deployment_environment;
mod effective_values;
mod error;
mod jwt_algorithm;
mod layers;
mod load;
mod postgres_url;
#[cfg(test)]
mod reference;
mod rules;
mod secret_url;
mod section;
mod sections;
mod sources;
#[cfg(any(test, feature = "testing"))]
mod testing;
mod variables;
mod weak_secret;

pub use deployment_environment::DeploymentEnvironment;
pub use error::{InvalidSetting, SettingsError};
pub use jwt_algorithm::JwtAlgorithm;
pub use load::{EffectiveValue, Loaded, load_sections};
pub use secrecy::{ExposeSecret, SecretString};
pub use secret_url::SecretUrl;
pub use sections::{
    Agents, Audit, Auth, Connector, Database, Dispatch, Limits, Log, LogFormat, Maintenance,
    MockConnector, MockFailure, Redis, Server, Settings, Streams,
};
pub use sources::Sources;
