use std::{io, net::SocketAddr, time::Duration};

use actix_cors::Cors;
use actix_web::{
    App, HttpServer,
    dev::{Server as Running, ServerHandle},
    http::header,
    middleware::from_fn,
    web::{self, Data},
};
use ipnet::IpNet;
use thiserror::Error;
use utoipa_actix_web::AppExt;

use crate::{
    docs::{self, Document},
    extract::TrustedProxies,
    problem::render_problems,
    request::{
        HttpsOnly, audit_refusals, catch_panics, end_unread, head_as_get, identify, log_request,
        secure,
    },
    routes::{self, MethodTable},
    state::ApiState,
};

/// A server that is bound and not yet serving.
pub struct Server {
    running: Running,
    addresses: Vec<SocketAddr>,
}

/// Where and how to serve.
#[derive(Debug, Clone)]
pub struct ServerSettings {
    /// A name or an address.
    pub host: String,
    /// 0 picks a free one.
    pub port: u16,
    /// Threads that serve requests.
    pub workers: usize,
    /// The origins whose pages may call the API; `*` is all of them.
    pub cors_origins: Vec<String>,
    /// The proxies whose `X-Forwarded-For` counts.
    pub trusted_proxies: Vec<IpNet>,
    /// How long browsers that came by HTTPS shall come back by nothing else; zero leaves it to them.
    pub https_only: Duration,
    /// Connections that one worker serves at a time; more wait.
    pub connections: usize,
    /// How long the head of a connection's first request may take to arrive.
    pub head_timeout: Duration,
    /// How long a connection may wait for its next request.
    pub idle_timeout: Duration,
    /// How long requests may take to finish when the server stops.
    pub shutdown: Duration,
}

/// The address cannot be had.
#[derive(Debug, Error)]
#[error("cannot listen on {address}: {source}")]
pub struct ServerError {
    /// The address that was asked for.
    pub address: String,
    /// What the system says.
    pub source: io::Error,
}

impl Server {
    /// Binds the address.
    ///
    /// # Errors
    ///
    /// When it is in use or not one of this machine's.
    pub fn bind(state: ApiState, settings: &ServerSettings) -> Result<Self, ServerError> {
        let document = docs::document();
        let methods = Data::new(MethodTable::of(&document));
        let json = Data::new(Document(document.to_json().unwrap_or_default()));
        let state = Data::new(state);
        let proxies = Data::new(TrustedProxies(settings.trusted_proxies.clone()));
        let https_only = Data::new(HttpsOnly(settings.https_only));
        let origins = settings.cors_origins.clone();
        let refused = |source| ServerError {
            address: format!("{}:{}", settings.host, settings.port),
            source,
        };
        let server = HttpServer::new(move || {
            App::new()
                .app_data(state.clone())
                .app_data(methods.clone())
                .app_data(json.clone())
                .app_data(proxies.clone())
                .app_data(https_only.clone())
                .into_utoipa_app()
                .configure(routes::routes)
                .into_app()
                .configure(routes::documentation)
                .default_service(web::to(routes::fallback))
                .wrap(from_fn(head_as_get))
                .wrap(from_fn(catch_panics))
                .wrap(cors(&origins))
                .wrap(from_fn(audit_refusals))
                .wrap(from_fn(render_problems))
                .wrap(from_fn(end_unread))
                .wrap(from_fn(log_request))
                .wrap(from_fn(identify))
                .wrap(from_fn(secure))
        })
        .workers(settings.workers)
        .max_connections(settings.connections)
        .client_request_timeout(settings.head_timeout)
        .keep_alive(settings.idle_timeout)
        .disable_signals()
        .shutdown_timeout(settings.shutdown.as_secs())
        .bind((settings.host.as_str(), settings.port))
        .map_err(refused)?;
        Ok(Self {
            addresses: server.addrs(),
            running: server.run(),
        })
    }

    /// The addresses that it listens on.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// Stops the server from elsewhere.
    pub fn handle(&self) -> ServerHandle {
        self.running.handle()
    }

    /// Serves until it is stopped.
    ///
    /// # Errors
    ///
    /// When the system takes the sockets away.
    pub async fn run(self) -> io::Result<()> {
        self.running.await
    }
}

fn cors(origins: &[String]) -> Cors {
    let cors = Cors::default()
        .allowed_methods(["GET", "POST", "PATCH", "DELETE"])
        .allowed_headers([header::AUTHORIZATION, header::CONTENT_TYPE])
        .allowed_header("X-Request-ID")
        .allowed_header("Idempotency-Key")
        .allowed_header("Last-Event-ID")
        .expose_headers([
            "X-Request-ID",
            "Idempotent-Replayed",
            "X-Total-Count",
            "Link",
            "Location",
            "Retry-After",
        ])
        .max_age(600);
    origins
        .iter()
        .fold(cors, |cors, origin| match origin.as_str() {
            "*" => cors.allow_any_origin(),
            origin => cors.allowed_origin(origin),
        })
}
