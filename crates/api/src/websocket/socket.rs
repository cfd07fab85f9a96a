use std::{pin::pin, time::Duration};

use actix_web::{
    HttpRequest, HttpResponse,
    error::PayloadError,
    web::{Data, Payload},
};
use actix_ws::{CloseCode, CloseReason, Closed, Message, MessageStream, ProtocolError, Session};
use futures_util::{Stream, StreamExt};
use serde::Serialize;
use tokio::time::{Instant, MissedTickBehavior, interval_at, timeout};
use tokio_util::sync::CancellationToken;

use super::{
    frame_limit::limit_frames,
    token::{EVENTS_PROTOCOL, token_protocol},
};
use crate::{
    open_streams::OpenStream,
    state::{ApiState, SocketSettings},
};

/// The largest payload of a client's frame in bytes. Clients send only control frames.
const FRAME_LIMIT: u64 = 4 * 1024;

/// The duration from which sending a frame is known to have waited for the peer to read.
const BLOCKED: Duration = Duration::from_secs(1);

/// The time limit for sending a close frame.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);

/// Completes the handshake, then serves the stream that `opening` returns or closes with its reason.
///
/// The reason is sent over the WebSocket because browsers hide the response to a failed handshake.
pub(crate) async fn serve<S: Stream<Item = Frame> + 'static>(
    request: &HttpRequest,
    payload: Payload,
    state: &Data<ApiState>,
    opening: impl Future<Output = Result<(S, OpenStream), CloseReason>>,
) -> Result<HttpResponse, actix_web::Error> {
    let token_protocol = token_protocol(request);
    let mut protocols = vec![EVENTS_PROTOCOL];
    protocols.extend(token_protocol.as_deref());
    let payload = limit_frames(request, payload, FRAME_LIMIT).await?;
    let (response, session, messages) =
        actix_ws::handle_with_protocols(request, payload, &protocols)?;
    let socket = Socket::new(session, messages, state);
    let opened = opening.await;
    state.open_sockets.spawn_local(async move {
        match opened {
            Ok((frames, _open_stream)) => socket.serve(frames).await,
            Err(reason) => close(socket.session, reason).await,
        }
    });
    Ok(response)
}

/// The server side of one WebSocket connection.
struct Socket {
    session: Session,
    messages: MessageStream,
    settings: SocketSettings,
    closing: CancellationToken,
}

/// The way in which a connection ends.
enum End {
    /// The server closes it with this reason.
    Close(CloseReason),
    /// The peer has disconnected or does not respond.
    Gone,
}

impl Socket {
    fn new(session: Session, messages: MessageStream, state: &Data<ApiState>) -> Self {
        Self {
            session,
            messages,
            settings: state.sockets,
            closing: state.closing.clone(),
        }
    }

    /// Sends `frames` until the stream, the peer or the server ends the connection.
    async fn serve(mut self, frames: impl Stream<Item = Frame>) {
        match self.run(frames).await {
            End::Close(reason) => close(self.session, reason).await,
            End::Gone => {}
        }
    }

    async fn run(&mut self, frames: impl Stream<Item = Frame>) -> End {
        // Pinned, so that the other branches do not restart `next`.
        let mut frames = pin!(frames);
        let mut pings = interval_at(Instant::now() + self.settings.ping, self.settings.ping);
        // After a blocked send one ping is due, not one for each missed interval.
        pings.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut last_heard = Instant::now();
        let closing = self.closing.clone();
        loop {
            let end = tokio::select! {
                () = closing.cancelled() => Some(End::Close(CloseCode::Away.into())),
                message = self.messages.next() => {
                    last_heard = Instant::now();
                    self.receive(message).await
                }
                _ = pings.tick() => self.ping(last_heard).await,
                frame = frames.next() => {
                    let started = Instant::now();
                    let end = self.send(frame).await;
                    if started.elapsed() >= BLOCKED {
                        // The peer has just read, so it is alive.
                        last_heard = Instant::now();
                    }
                    end
                }
            };
            if let Some(end) = end {
                return end;
            }
        }
    }

    async fn receive(&mut self, message: Option<Result<Message, ProtocolError>>) -> Option<End> {
        match message {
            Some(Ok(Message::Ping(bytes))) => {
                let pong = self.session.pong(&bytes);
                send_within(self.settings.idle, pong, &self.closing).await
            }
            Some(Ok(Message::Close(_))) => Some(End::Close(CloseCode::Normal.into())),
            Some(Ok(_)) => None,
            Some(Err(error)) => Some(End::Close(violation(&error).into())),
            None => Some(End::Gone),
        }
    }

    async fn ping(&mut self, last_heard: Instant) -> Option<End> {
        if last_heard.elapsed() >= self.settings.idle {
            return Some(End::Gone);
        }
        let ping = self.session.ping(b"");
        send_within(self.settings.idle, ping, &self.closing).await
    }

    async fn send(&mut self, frame: Option<Frame>) -> Option<End> {
        let text = match frame {
            Some(Frame::Text(text)) => text,
            Some(Frame::Close(reason)) => return Some(End::Close(reason)),
            None => return Some(End::Close(CloseCode::Normal.into())),
        };
        let text = self.session.text(text);
        send_within(self.settings.idle, text, &self.closing).await
    }
}

/// A frame to send.
pub(crate) enum Frame {
    /// An event as JSON.
    Text(String),
    /// The close frame.
    Close(CloseReason),
}

impl Frame {
    /// Serializes an event as JSON.
    pub(crate) fn of(event: &impl Serialize) -> Self {
        match serde_json::to_string(event) {
            Ok(text) => Self::Text(text),
            Err(_) => Self::Close(CloseCode::Error.into()),
        }
    }
}

/// Waits up to `limit` for the peer to accept a frame. A peer that does not read blocks only its own
/// stream.
async fn send_within(
    limit: Duration,
    frame: impl Future<Output = Result<(), Closed>>,
    closing: &CancellationToken,
) -> Option<End> {
    tokio::select! {
        () = closing.cancelled() => Some(End::Close(CloseCode::Away.into())),
        sent = timeout(limit, frame) => match sent {
            Ok(Ok(())) => None,
            Ok(Err(Closed)) | Err(_) => Some(End::Gone),
        },
    }
}

/// Returns the close code (RFC 6455, section 7.4.1) for a client that violates the protocol.
fn violation(error: &ProtocolError) -> CloseCode {
    let ProtocolError::Io(error) = error else {
        return CloseCode::Protocol;
    };
    let payload_error = error.get_ref().and_then(|error| error.downcast_ref());
    match payload_error {
        Some(PayloadError::Overflow) => CloseCode::Size,
        _ => CloseCode::Protocol,
    }
}

async fn close(session: Session, reason: CloseReason) {
    // Fails if the peer has disconnected.
    let _ = timeout(CLOSE_TIMEOUT, session.close(Some(reason))).await;
}
