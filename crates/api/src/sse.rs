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

/// How soon a client connects again when the stream breaks off, in milliseconds. Being sent first,
/// it also brings the headers on their way before there is an event.
const RETRY: &str = "retry: 1000\n\n";

/// A comment, which clients pass over. It keeps proxies from closing a silent connection, and it is
/// how the server notices that a client has gone: one that only reads says nothing.
const KEEP_ALIVE: &str = ": \n\n";

/// Answers with the events of a command until the last one, the client's end or the server's.
pub(crate) fn answer(state: &ApiState, follower: Follower, place: OpenStream) -> HttpResponse {
    // Nothing is kept for a client that reads slowly: its own stream stands still.
    let (sender, mut receiver) = mpsc::channel(1);
    let sending = Sending {
        sender,
        settings: state.sockets,
        closing: state.closing.clone(),
    };
    state.open_sockets.spawn_local(async move {
        let Err(Ended) = sending.run(follower).await;
        drop(place);
    });
    let body = stream::poll_fn(move |context| receiver.poll_recv(context));
    HttpResponse::Ok()
        .content_type("text/event-stream")
        .insert_header((CACHE_CONTROL, "no-store"))
        .insert_header(("X-Accel-Buffering", "no"))
        .streaming(body.map(Ok::<_, Infallible>))
}

/// The server's end of one answer.
struct Sending {
    sender: mpsc::Sender<Bytes>,
    settings: SocketSettings,
    closing: CancellationToken,
}

/// There is nothing more to send, or nobody to send it to.
struct Ended;

impl Sending {
    async fn run(&self, follower: Follower) -> Result<Infallible, Ended> {
        // The stream stays where it is while comments are sent, so that no event is lost.
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

    /// Waits for the client to take a block. One that does not read is let go after a while, as a
    /// silent socket is.
    async fn send(&self, block: impl Into<Bytes>) -> Result<(), Ended> {
        let sending = timeout(self.settings.idle, self.sender.send(block.into()));
        tokio::select! {
            () = self.closing.cancelled() => Err(Ended),
            sent = sending => match sent {
                Ok(Ok(())) => Ok(()),
                Ok(Err(_)) | Err(_) => Err(Ended),
            },
        }
    }
}

/// An event on the wire. It has no name of its own, so that `EventSource.onmessage` sees all of
/// them; its JSON says what it is, and has no line break in it.
fn block(event: &StreamEvent) -> Result<String, Ended> {
    let json = serde_json::to_string(event).map_err(|_| Ended)?;
    Ok(match event {
        StreamEvent::Response {
            sequence_number, ..
        } => format!("id: {sequence_number}\ndata: {json}\n\n"),
        StreamEvent::Status { .. } | StreamEvent::Error { .. } => format!("data: {json}\n\n"),
    })
}
