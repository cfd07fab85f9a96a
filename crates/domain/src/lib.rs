#![doc = include_str!("../README.md")]

pub mod access;
pub mod access_change;
pub mod agent;
pub mod anomaly;
pub mod audit;
pub mod booking;
pub mod catalog;
pub mod change;
pub mod clock;
pub mod command;
pub mod event;
pub mod finding;
pub mod id;
pub mod idempotency;
pub mod insight;
pub mod news;
pub mod page;
pub mod random;
pub mod response;
pub mod rules;
pub mod schema;
pub mod service_account;
pub mod session;
pub mod user;
pub mod vehicle;
pub mod vin;

mod text_enum;

pub use access::Permission;
pub use access_change::AccessChange;
pub use agent::{AgentAction, AgentActionStatus, Suspension};
pub use anomaly::{Anomaly, Closure, Detection, Diagnosis, Outcome, Severity};
pub use audit::{AuditEntry, AuditLine, AuditResult};
pub use booking::{Booking, BookingStatus};
pub use catalog::{Catalog, CommandSpec, Evidence, Risk};
pub use change::Change;
pub use clock::{Clock, SystemClock};
pub use command::{Command, CommandStatus, FailureKind};
pub use event::StreamEvent;
pub use finding::Finding;
pub use id::{
    AgentActionId, AnomalyId, BookingId, CommandId, DiagnosisId, InsightId, ResponseId, SessionId,
    SuspensionId, UserId, VehicleId,
};
pub use idempotency::IdempotencyKey;
pub use insight::Insight;
pub use news::News;
pub use page::Page;
pub use random::{Random, SeededRandom, SystemRandom};
pub use response::Response;
pub use rules::{Dtc, DtcPattern, Rule, RuleBook};
pub use schema::{FieldError, JsonSchema};
pub use service_account::{Scope, ServiceAccount, VehicleScope};
pub use session::{ClientMark, Session};
pub use text_enum::UnknownText;
pub use user::{Role, User};
pub use vehicle::{ConnectionStatus, Vehicle, VehicleHealth, VehicleType};
pub use vin::Vin;
