use std::{collections::BTreeMap, sync::Arc};

use serde_json::Value;
use sovd_domain::Vehicle;
use thiserror::Error;

use crate::request::Connector;

/// The connectors of a process, and the choice of one for each vehicle.
pub struct Registry {
    connectors: BTreeMap<&'static str, Arc<dyn Connector>>,
    default: Arc<dyn Connector>,
}

/// The named connector is not registered.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("there is no connector {name:?}; registered are {registered}")]
pub struct UnknownConnector {
    name: String,
    registered: String,
}

impl Registry {
    /// Creates a registry that uses the connector `default` for vehicles that name none.
    ///
    /// # Errors
    ///
    /// Returns [`UnknownConnector`] if `connectors` does not contain `default`.
    pub fn new(
        connectors: Vec<Arc<dyn Connector>>,
        default: &str,
    ) -> Result<Self, UnknownConnector> {
        let connectors: BTreeMap<_, _> = connectors
            .into_iter()
            .map(|connector| (connector.name(), connector))
            .collect();
        let default = Arc::clone(find(&connectors, default)?);
        Ok(Self {
            connectors,
            default,
        })
    }

    /// Returns the connector that the metadata of `vehicle` names under `connector`, or the default.
    ///
    /// # Errors
    ///
    /// Returns [`UnknownConnector`] if the named connector is not registered.
    pub fn connector_for(&self, vehicle: &Vehicle) -> Result<&dyn Connector, UnknownConnector> {
        match vehicle.metadata.get("connector").and_then(Value::as_str) {
            None => Ok(self.default.as_ref()),
            Some(name) => find(&self.connectors, name).map(AsRef::as_ref),
        }
    }
}

fn find<'a>(
    connectors: &'a BTreeMap<&'static str, Arc<dyn Connector>>,
    name: &str,
) -> Result<&'a Arc<dyn Connector>, UnknownConnector> {
    connectors.get(name).ok_or_else(|| UnknownConnector {
        name: name.to_owned(),
        registered: connectors.keys().copied().collect::<Vec<_>>().join(", "),
    })
}
