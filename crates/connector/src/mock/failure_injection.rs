use serde_json::Value;

use super::{MockBehavior, MockFailure};
use crate::{error::ConnectorError, request::ResponseChunk};

impl MockBehavior {
    /// Returns the behavior for a command, without failures if `only` excludes it.
    pub(super) fn for_command(&self, command_name: &str) -> Self {
        let behavior = self.clone();
        if self.only.is_empty() || self.only.iter().any(|name| name == command_name) {
            return behavior;
        }
        Self {
            failure: None,
            hang: false,
            lose_final: false,
            ..behavior
        }
    }

    /// Returns the error of a command that is not sent or is rejected.
    pub(super) fn failure_before_sending(&self) -> Option<ConnectorError> {
        match self.failure? {
            MockFailure::Unreachable => Some(ConnectorError::Unreachable {
                reason: "no link to the vehicle".into(),
            }),
            MockFailure::Rejected => Some(ConnectorError::Rejected {
                reason: "conditions not correct (ISO 14229-1, 0x22)".into(),
            }),
            MockFailure::Timeout | MockFailure::Broken => None,
        }
    }

    /// Returns whether the vehicle executes the command. A lost connection or chunk affects only the
    /// response.
    pub(super) fn vehicle_acts(&self) -> bool {
        !self.hang && self.failure != Some(MockFailure::Timeout)
    }

    /// Applies the failure to a response.
    pub(super) fn apply_failure(
        &self,
        response: Vec<Value>,
    ) -> Vec<Result<ResponseChunk, ConnectorError>> {
        let last = response.len().saturating_sub(1);
        let mut items: Vec<_> = response
            .into_iter()
            .enumerate()
            .map(|(index, payload)| {
                Ok(ResponseChunk {
                    payload,
                    is_final: index == last,
                })
            })
            .collect();
        if self.lose_final {
            items.truncate(last);
        }
        match self.failure {
            Some(MockFailure::Timeout) => vec![Err(ConnectorError::Timeout { sent: true })],
            Some(MockFailure::Broken) => {
                items.truncate(last);
                items.push(Err(ConnectorError::Broken { sent: true }));
                items
            }
            Some(MockFailure::Rejected | MockFailure::Unreachable) | None => items,
        }
    }
}
