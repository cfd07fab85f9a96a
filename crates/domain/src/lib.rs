#![doc = include_str!("../README.md")]

mod agents;
pub mod audit;
mod clock;
pub mod commands;
mod fleet;
mod identity;
mod ids;
pub mod json_schema;
pub mod maintenance;
pub mod paging;
mod patch;
mod random;

mod text_enum;

pub use agents::{AgentAction, AgentActionStatus, Suspension};
pub use audit::{AuditEntry, AuditRecord, AuditResult};
pub use clock::{Clock, SystemClock};
pub use commands::catalog::{Catalog, CommandSpec, Evidence, Risk};
pub use commands::findings::Finding;
pub use commands::idempotency::IdempotencyKey;
pub use commands::responses::Response;
pub use commands::scope::CommandScope;
pub use commands::stream_events::StreamEvent;
pub use commands::{Command, CommandStatus, FailureKind};
pub use fleet::events::FleetEvent;
pub use fleet::scope::VehicleScope;
pub use fleet::vehicles::{ConnectionStatus, Vehicle, VehicleHealth, VehicleType};
pub use fleet::vin::Vin;
pub use identity::access_change::AccessChange;
pub use identity::permissions::Permission;
pub use identity::service_accounts::{Scope, ServiceAccount};
pub use identity::sessions::{ClientInfo, Session};
pub use identity::users::{Role, User};
pub use ids::{
    AgentActionId, AnomalyId, BookingId, CommandId, DiagnosisId, InsightId, ResponseId, SessionId,
    SuspensionId, UserId, VehicleId,
};
pub use json_schema::{FieldError, JsonSchema};
pub use maintenance::anomalies::{Anomaly, Closure, Detection, Diagnosis, Outcome, Severity};
pub use maintenance::bookings::{Booking, BookingStatus};
pub use maintenance::insights::Insight;
pub use maintenance::rules::{Dtc, DtcPattern, Rule, RuleBook};
pub use paging::{Listing, Page};
pub use patch::Patch;
#[cfg(any(test, feature = "testing"))]
pub use random::SeededRandom;
pub use random::{Random, SystemRandom};
pub use text_enum::UnknownText;
