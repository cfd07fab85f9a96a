use std::{fmt, num::NonZeroU32, sync::Arc, time::Duration};

use actix_http::{
    HttpService, Protocol, Request, Response, body::BoxBody, body::MessageBody,
    error::DispatchError,
};
use actix_server::GracefulShutdownSignal;
use actix_service::{Service, ServiceFactory, apply_fn_factory};
use actix_web::rt::net::TcpStream;
use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};

use super::{
    activity::{Activity, Deadlines},
    deadline::{DeadlineElapsed, within_deadlines},
    limit::ConnectionLimit,
    slices::SLICE,
    stream::MeteredStream,
};

/// The time limit for closing a connection.
const DISCONNECT: Duration = Duration::from_secs(1);

/// Log records about broken connections per second.
const RECORDS_PER_SECOND: NonZeroU32 = NonZeroU32::new(1).unwrap();

/// Limits of the connections that a server accepts.
#[derive(Clone)]
pub(crate) struct ConnectionSettings {
    pub(crate) head_timeout: Duration,
    pub(crate) idle_timeout: Duration,
    pub(crate) write_timeout: Duration,
    pub(crate) limit: Arc<ConnectionLimit>,
    pub(crate) shutdown: GracefulShutdownSignal,
}

/// Creates the service that serves `app` over HTTP/1.1 on each accepted socket.
pub(crate) fn connection_service<S, B>(
    app: S,
    settings: ConnectionSettings,
) -> impl ServiceFactory<TcpStream, Config = (), Response = (), Error = DispatchError, InitError = ()>
where
    S: ServiceFactory<Request, Config = ()> + 'static,
    S::Future: 'static,
    S::Error: Into<Response<BoxBody>> + 'static,
    S::InitError: fmt::Debug,
    S::Response: Into<Response<B>> + 'static,
    <S::Service as Service<Request>>::Future: 'static,
    B: MessageBody + 'static,
{
    let ConnectionSettings {
        head_timeout,
        idle_timeout,
        write_timeout,
        limit,
        shutdown,
    } = settings;
    let deadlines = Deadlines {
        head: head_timeout,
        idle: idle_timeout,
        write: write_timeout,
    };
    let http = HttpService::build()
        .graceful_shutdown_signal(move || {
            let shutdown = shutdown.clone();
            async move { shutdown.notified().await }
        })
        .keep_alive(idle_timeout)
        .client_request_timeout(head_timeout)
        .client_disconnect_timeout(DISCONNECT)
        .h1_write_buffer_size(SLICE)
        .on_connect_ext(|stream: &MeteredStream, data| {
            data.insert(stream.activity().clone());
        })
        .finish(app);
    let records = Arc::new(RateLimiter::direct(Quota::per_second(RECORDS_PER_SECOND)));
    apply_fn_factory(http, move |socket: TcpStream, http: &_| {
        let peer = socket.peer_addr().ok();
        let admitted = limit.admit(peer.map(|peer| peer.ip()));
        let connection = admitted.ok().map(|open| {
            // Responses are written at once, so Nagle's algorithm would only delay them.
            let _ = socket.set_nodelay(true);
            let activity = Activity::new(deadlines);
            let stream = MeteredStream::new(socket, activity.clone());
            let connection = Service::call(http, (stream, Protocol::Http1, peer));
            (connection, activity, open)
        });
        let records = Arc::clone(&records);
        async move {
            if let Some((connection, activity, open)) = connection {
                let end = within_deadlines(connection, &activity).await;
                drop(open);
                record(&records, end);
            }
            Ok(())
        }
    })
}

/// Logs why a connection ended early. Any client can cause this, so the log is throttled and its level is
/// `debug`, except for faults of the server.
fn record(
    records: &DefaultDirectRateLimiter,
    end: Result<Result<(), DispatchError>, DeadlineElapsed>,
) {
    if matches!(end, Ok(Ok(()))) {
        return;
    }
    if let Ok(Err(
        error @ (DispatchError::Service(_) | DispatchError::Body(_) | DispatchError::InternalError),
    )) = &end
    {
        // The server is at fault.
        tracing::error!(%error, "failed to answer a request");
        return;
    }
    if records.check().is_err() {
        return;
    }
    match end {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::debug!(%error, "connection broken"),
        Err(DeadlineElapsed) => tracing::debug!("connection closed: a deadline passed"),
    }
}
