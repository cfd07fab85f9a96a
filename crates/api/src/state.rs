use std::{sync::Arc, time::Duration};

use actix_web::{HttpRequest, web::Data};
use sovd_services::{
    ServiceError,
    agents::Agents,
    audit::{Audit, refusals::Refusals},
    commands::{Commands, streams::Streams},
    fleet::{events::Fleet, vehicles::Vehicles},
    health::Health,
    identity::{auth::Auth, service_accounts::ServiceAccounts, users::Users},
    in_flight::InFlight,
    maintenance::{anomalies::Anomalies, bookings::Bookings, insights::Insights},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{extract::CallerKey, open_streams::OpenStreams};

/// The services and limits that handlers use. Clones share them.
#[derive(Clone)]
pub struct ApiState {
    /// Authentication and sessions.
    pub auth: Arc<Auth>,
    /// Users.
    pub users: Arc<Users>,
    /// Service accounts.
    pub service_accounts: Arc<ServiceAccounts>,
    /// Policy, activity log and suspensions of agents.
    pub agents: Arc<Agents>,
    /// Vehicles.
    pub vehicles: Arc<Vehicles>,
    /// Anomalies and diagnoses.
    pub anomalies: Arc<Anomalies>,
    /// Commands.
    pub commands: Arc<Commands>,
    /// Workshop bookings.
    pub bookings: Arc<Bookings>,
    /// Insights and detectors.
    pub insights: Arc<Insights>,
    /// Streams of one command's events.
    pub streams: Arc<Streams>,
    /// Streams of fleet events.
    pub fleet: Arc<Fleet>,
    /// The audit of refused requests.
    pub refusals: Arc<Refusals>,
    /// The audit trail.
    pub audit: Arc<Audit>,
    /// Readiness of the database and the event bus.
    pub health: Arc<Health>,
    /// Timing of WebSockets and event streams.
    pub sockets: SocketSettings,
    /// Requests in flight of each caller.
    pub in_flight: Arc<InFlight<CallerKey>>,
    /// Open streams of each user.
    pub open_streams: Arc<OpenStreams>,
    /// Cancelled when the server stops; WebSockets and event streams then close.
    pub closing: CancellationToken,
    /// The tasks of open WebSockets and event streams, which a stopping server awaits.
    pub open_sockets: TaskTracker,
    /// The largest request body in bytes.
    pub body_limit: usize,
    /// The time limit for receiving a request body.
    pub body_timeout: Duration,
}

impl ApiState {
    /// Returns the state of the application that serves `request`.
    pub(crate) fn of(request: &HttpRequest) -> Result<&Data<Self>, ServiceError> {
        request
            .app_data::<Data<Self>>()
            .ok_or_else(|| ServiceError::Internal("the API has no state".into()))
    }
}

/// Timing of WebSockets and event streams.
#[derive(Debug, Clone, Copy)]
pub struct SocketSettings {
    /// The interval between pings.
    pub ping: Duration,
    /// How long a peer may be silent.
    pub idle: Duration,
    /// The interval between comments on an idle event stream over HTTP.
    pub keep_alive: Duration,
}
