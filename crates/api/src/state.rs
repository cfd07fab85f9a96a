use std::{sync::Arc, time::Duration};

use sovd_services::{
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

/// What handlers work with. Clones share it.
#[derive(Clone)]
pub struct ApiState {
    /// Logging in and out.
    pub auth: Arc<Auth>,
    /// The people who may log in.
    pub users: Arc<Users>,
    /// The machines that call with a key.
    pub service_accounts: Arc<ServiceAccounts>,
    /// What they may do, and what they did.
    pub agents: Arc<Agents>,
    /// The fleet.
    pub vehicles: Arc<Vehicles>,
    /// What is not as it should be with vehicles.
    pub anomalies: Arc<Anomalies>,
    /// Commands.
    pub commands: Arc<Commands>,
    /// Appointments in workshops.
    pub bookings: Arc<Bookings>,
    /// What failures tell.
    pub insights: Arc<Insights>,
    /// Watching commands.
    pub streams: Arc<Streams>,
    /// Watching the fleet.
    pub fleet: Arc<Fleet>,
    /// Who was turned away.
    pub refusals: Arc<Refusals>,
    /// The audit trail.
    pub audit: Arc<Audit>,
    /// Signs of life.
    pub health: Arc<Health>,
    /// How sockets are kept.
    pub sockets: SocketSettings,
    /// How many requests of each caller are being served.
    pub in_flight: Arc<InFlight<CallerKey>>,
    /// How many streams each user has open.
    pub open_streams: Arc<OpenStreams>,
    /// Cancelled when the server stops: sockets then say goodbye.
    pub closing: CancellationToken,
    /// The open sockets and event streams, which the server waits for.
    pub open_sockets: TaskTracker,
    /// The largest request body in bytes.
    pub body_limit: usize,
    /// How long a request body may take to arrive.
    pub body_timeout: Duration,
}

/// How sockets are kept.
#[derive(Debug, Clone, Copy)]
pub struct SocketSettings {
    /// How often a peer is pinged.
    pub ping: Duration,
    /// How long a peer may be silent.
    pub idle: Duration,
    /// How long an event stream over HTTP says nothing before it sends a comment.
    pub keep_alive: Duration,
}
