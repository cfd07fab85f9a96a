use std::{
    io,
    net::{SocketAddr, TcpListener, ToSocketAddrs},
    sync::Arc,
    time::Duration,
};

use actix_cors::Cors;
use actix_server::{Server as Running, ServerHandle};
use actix_service::{IntoServiceFactory, ServiceFactoryExt, map_config};
use actix_web::{
    App,
    dev::AppConfig,
    http::header,
    middleware::from_fn,
    web::{self, Bytes, Data},
};
use ipnet::IpNet;
use thiserror::Error;
use utoipa_actix_web::AppExt;

use crate::{
    connection::{ConnectionLimit, ConnectionSettings, connection_service, track_response},
    extract::TrustedProxies,
    openapi::{self, Document},
    problem::render_problems,
    request::{
        HttpsOnly, audit_refusals, catch_panics, close_after_unread_body, head_as_get, identify,
        log_request, refuse_broken_body, secure,
    },
    routes::{self, MethodTable},
    state::ApiState,
};

/// A server that is bound and not yet serving.
pub struct Server {
    running: Running,
    addresses: Vec<SocketAddr>,
}

/// Listening address and limits of a server.
#[derive(Debug, Clone)]
pub struct ServerSettings {
    /// A host name or an IP address.
    pub host: String,
    /// The port; 0 selects a free one.
    pub port: u16,
    /// Number of worker threads.
    pub workers: usize,
    /// Origins that may call the API from a browser; `*` allows every origin.
    pub cors_origins: Vec<String>,
    /// Proxies whose `X-Forwarded-For` is trusted.
    pub trusted_proxies: Vec<IpNet>,
    /// The `max-age` of HTTP Strict Transport Security; zero omits the header.
    pub https_only: Duration,
    /// Connections that one worker serves at a time; further ones wait.
    pub connections: usize,
    /// Connections of one address at a time, except for trusted proxies; 0 means no limit.
    pub connections_per_address: usize,
    /// The time limit for receiving a request head.
    pub head_timeout: Duration,
    /// How long a client may accept no bytes of a response.
    pub write_timeout: Duration,
    /// How long a connection may be idle between requests.
    pub idle_timeout: Duration,
    /// How long requests may take to finish when the server stops.
    pub shutdown: Duration,
}

/// The server cannot listen on an address.
#[derive(Debug, Error)]
#[error("cannot listen on {address}: {source}")]
pub struct ServerError {
    /// The configured address.
    pub address: String,
    /// The cause.
    pub source: io::Error,
}

impl Server {
    /// Binds the configured address.
    ///
    /// # Errors
    ///
    /// [`ServerError`] if the address is in use or does not belong to this machine.
    pub fn bind(state: ApiState, settings: &ServerSettings) -> Result<Self, ServerError> {
        let document = openapi::document();
        let methods = Data::new(MethodTable::of(&document));
        let json = Data::new(Document(Bytes::from(
            document.to_json().unwrap_or_default(),
        )));
        let state = Data::new(state);
        let proxies = TrustedProxies(settings.trusted_proxies.clone());
        let limit = ConnectionLimit::new(settings.connections_per_address, proxies.clone());
        let proxies = Data::new(proxies);
        let https_only = Data::new(HttpsOnly(settings.https_only));
        let origins = settings.cors_origins.clone();
        let refused = |source| ServerError {
            address: format!("{}:{}", settings.host, settings.port),
            source,
        };
        let mut builder = Running::build()
            .workers(settings.workers)
            .max_concurrent_connections(settings.connections)
            .disable_signals()
            .shutdown_timeout(settings.shutdown.as_secs());
        let connections = ConnectionSettings {
            head_timeout: settings.head_timeout,
            idle_timeout: settings.idle_timeout,
            write_timeout: settings.write_timeout,
            limit: Arc::new(limit),
            shutdown: builder.graceful_shutdown_signal(),
        };
        let serve = move || {
            let app = App::new()
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
                .wrap(from_fn(refuse_broken_body))
                .wrap(cors(&origins))
                .wrap(from_fn(audit_refusals))
                .wrap(from_fn(render_problems))
                .wrap(from_fn(close_after_unread_body))
                .wrap(from_fn(log_request))
                .wrap(from_fn(identify))
                .wrap(from_fn(secure))
                .wrap(from_fn(track_response));
            let app = app.into_factory().map_err(|error| error.error_response());
            let app = map_config(app, |()| AppConfig::default());
            connection_service(app, connections.clone())
        };
        let mut addresses = Vec::new();
        for listener in listeners(&settings.host, settings.port).map_err(refused)? {
            addresses.push(listener.local_addr().map_err(refused)?);
            builder = builder
                .listen("http", listener, serve.clone())
                .map_err(refused)?;
        }
        Ok(Self {
            addresses,
            running: builder.run(),
        })
    }

    /// Returns the addresses on which the server listens.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// Returns a handle that can stop the server.
    pub fn handle(&self) -> ServerHandle {
        self.running.handle()
    }

    /// Serves until the server is stopped.
    ///
    /// # Errors
    ///
    /// The I/O error that ended it.
    pub async fn run(self) -> io::Result<()> {
        self.running.await
    }
}

/// Listens on each address of `host` that this machine has.
fn listeners(host: &str, port: u16) -> io::Result<Vec<TcpListener>> {
    let (listeners, errors): (Vec<_>, Vec<_>) = (host, port)
        .to_socket_addrs()?
        .map(TcpListener::bind)
        .partition(Result::is_ok);
    if listeners.is_empty() {
        let error = errors.into_iter().find_map(Result::err);
        return Err(error.unwrap_or_else(|| io::Error::other("the host has no address")));
    }
    listeners.into_iter().collect()
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
