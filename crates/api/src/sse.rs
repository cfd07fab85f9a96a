//! One command's events as Server-Sent Events (HTML Living Standard, section 9.2).

use std::{convert::Infallible, pin::pin};

use actix_web::{HttpResponse, http::header::CACHE_CONTROL, web::Bytes};
use futures_util::{StreamExt, stream};
use sovd_domain::StreamEvent;
use sovd_services::commands::streams::Follower;
use tokio::{sync::mpsc, time::timeout};
use tokio_util::sync::CancellationToken;

use crate::{
    open_streams::OpenStream,
    state::{ApiState, SocketSettings},
};

/// The reconnection time in milliseconds. It is sent first, so that the headers reach the client before
/// the first event.
const RETRY: &str = "retry: 1000\n\n";

/// A comment, which clients ignore. It keeps proxies from closing an idle connection, and failing to send
/// it tells the server that the client has disconnected.
const KEEP_ALIVE: &str = ": \n\n";

/// Streams the events of a command until the last one, or until the client disconnects or the server
/// stops.
pub(crate) fn respond(
    state: &ApiState,
    follower: Follower,
    open_stream: OpenStream,
) -> HttpResponse {
    // Events are not buffered for a slow client; its stream pauses.
    let (sender, mut receiver) = mpsc::channel(1);
    let writer = EventWriter {
        sender,
        settings: state.sockets,
        closing: state.closing.clone(),
    };
    state.open_sockets.spawn_local(async move {
        let Err(Ended) = writer.run(follower).await;
        drop(open_stream);
    });
    let body = stream::poll_fn(move |context| receiver.poll_recv(context));
    HttpResponse::Ok()
        .content_type("text/event-stream")
        .insert_header((CACHE_CONTROL, "no-store"))
        .insert_header(("X-Accel-Buffering", "no"))
        .streaming(body.map(Ok::<_, Infallible>))
}

/// Writes one event stream.
struct EventWriter {
    sender: mpsc::Sender<Bytes>,
    settings: SocketSettings,
    closing: CancellationToken,
}

/// The last event was sent, the client disconnected or the server stops.
struct Ended;

impl EventWriter {
    async fn run(&self, follower: Follower) -> Result<Infallible, Ended> {
        // Pinned, so that no event is lost when the timeout drops `next`.
        let mut events = pin!(follower.into_stream());
        self.send(RETRY).await?;
        loop {
            let event = tokio::select! {
                () = self.closing.cancelled() => return Err(Ended),
                () = self.sender.closed() => return Err(Ended),
                event = timeout(self.settings.keep_alive, events.next()) => event,
            };
            let Ok(event) = event else {
                self.send(KEEP_ALIVE).await?;
                continue;
            };
            // The stream ends without a terminal event when the command was deleted.
            let event = event.ok_or(Ended)?;
            self.send(block(&event)?).await?;
            if event.is_terminal() {
                return Err(Ended);
            }
        }
    }

    /// Sends a block. A client that does not read is disconnected after the idle timeout.
    async fn send(&self, block: impl Into<Bytes>) -> Result<(), Ended> {
        tokio::select! {
            () = self.closing.cancelled() => Err(Ended),
            sent = timeout(self.settings.idle, self.sender.send(block.into())) => match sent {
                Ok(Ok(())) => Ok(()),
                Ok(Err(_)) | Err(_) => Err(Ended),
            },
        }
    }
}

/// Formats an event. It has no `event` field, so that `EventSource.onmessage` receives every event; its
/// JSON states the type and contains no line break.
fn block(event: &StreamEvent) -> Result<String, Ended> {
    let json = serde_json::to_string(event).map_err(|_| Ended)?;
    Ok(match event {
        StreamEvent::Response {
            sequence_number, ..
        } => format!("id: {sequence_number}\ndata: {json}\n\n"),
        StreamEvent::Status { .. } | StreamEvent::Error { .. } => format!("data: {json}\n\n"),
    })
}
