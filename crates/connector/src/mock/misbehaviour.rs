use serde_json::Value;

use super::{MockBehaviour, MockFailure};
use crate::{error::ConnectorError, request::ResponseChunk};

/// What goes wrong with one command.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Misbehaviour {
    failure: Option<MockFailure>,
    pub(super) hang: bool,
    lose_final: bool,
}

impl Misbehaviour {
    /// What `behaviour` has in store for the command called `command_name`.
    pub(super) fn of(behaviour: &MockBehaviour, command_name: &str) -> Self {
        let only = &behaviour.only;
        if only.is_empty() || only.iter().any(|name| name == command_name) {
            Self {
                failure: behaviour.failure,
                hang: behaviour.hang,
                lose_final: behaviour.lose_final,
            }
        } else {
            Self::default()
        }
    }

    /// Why the vehicle is not told to do anything, or says no.
    pub(super) fn refusal(self) -> Option<ConnectorError> {
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

    /// Whether the vehicle does what it was sent. A broken line and a lost chunk only keep the
    /// answer from us.
    pub(super) fn acts(self) -> bool {
        !self.hang && self.failure != Some(MockFailure::Timeout)
    }

    /// What comes of `answer` on its way.
    pub(super) fn distort(self, answer: Vec<Value>) -> Vec<Result<ResponseChunk, ConnectorError>> {
        let last = answer.len().saturating_sub(1);
        let mut items: Vec<_> = answer
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
