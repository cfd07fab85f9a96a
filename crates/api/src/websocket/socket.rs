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

/// The largest payload of a client's frame in bytes. Clients have nothing to send but control frames.
const FRAME_LIMIT: u64 = 4 * 1024;

/// A frame that takes so long was waiting for the peer to read.
const WAITED: Duration = Duration::from_secs(1);

/// How long a goodbye may take.
const GOODBYE: Duration = Duration::from_secs(1);

/// Takes the handshake, and serves what `opening` gives or says why there is nothing. That is said over
/// the socket: a browser cannot see what is answered to a handshake.
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
            Ok((frames, _place)) => socket.serve(frames).await,
            Err(reason) => close(socket.session, reason).await,
        }
    });
    Ok(response)
}

/// One client's end of a stream.
struct Socket {
    session: Session,
    messages: MessageStream,
    settings: SocketSettings,
    closing: CancellationToken,
}

/// Why a socket ends.
enum End {
    /// Say goodbye with this reason.
    Close(CloseReason),
    /// Nobody is there to hear it.
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

    /// Sends what comes until the stream, the peer or the server ends it.
    async fn serve(mut self, frames: impl Stream<Item = Frame>) {
        match self.run(frames).await {
            End::Close(reason) => close(self.session, reason).await,
            End::Gone => {}
        }
    }

    async fn run(&mut self, frames: impl Stream<Item = Frame>) -> End {
        // The stream stays where it is while other things happen, so nothing can starve it.
        let mut frames = pin!(frames);
        let mut pings = interval_at(Instant::now() + self.settings.ping, self.settings.ping);
        // After a wait for the peer there is one ping to send, not one for each that was missed.
        pings.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut last_heard = Instant::now();
        let closing = self.closing.clone();
        loop {
            let end = tokio::select! {
                () = closing.cancelled() => Some(End::Close(CloseCode::Away.into())),
                message = self.messages.next() => {
                    last_heard = Instant::now();
                    self.hear(message).await
                }
                _ = pings.tick() => self.ping(last_heard).await,
                frame = frames.next() => {
                    let started = Instant::now();
                    let end = self.tell(frame).await;
                    if started.elapsed() >= WAITED {
                        // Whoever takes what they were waited for is there.
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

    async fn hear(&mut self, message: Option<Result<Message, ProtocolError>>) -> Option<End> {
        match message {
            Some(Ok(Message::Ping(bytes))) => {
                let pong = self.session.pong(&bytes);
                in_time(pong, &self.closing, self.settings.idle).await
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
        in_time(self.session.ping(b""), &self.closing, self.settings.idle).await
    }

    async fn tell(&mut self, frame: Option<Frame>) -> Option<End> {
        let text = match frame {
            Some(Frame::Text(text)) => text,
            Some(Frame::Close(reason)) => return Some(End::Close(reason)),
            None => return Some(End::Close(CloseCode::Normal.into())),
        };
        in_time(self.session.text(text), &self.closing, self.settings.idle).await
    }
}

/// What a socket sends.
pub(crate) enum Frame {
    /// An event, as JSON.
    Text(String),
    /// Goodbye.
    Close(CloseReason),
}

impl Frame {
    /// An event as JSON.
    pub(crate) fn of(event: &impl Serialize) -> Self {
        match serde_json::to_string(event) {
            Ok(text) => Self::Text(text),
            Err(_) => Self::Close(CloseCode::Error.into()),
        }
    }
}

/// Waits for a peer to take what is sent to it, `limit` at most. A peer that does not read makes
/// its own stream stand still and nobody else's.
async fn in_time(
    sending: impl Future<Output = Result<(), Closed>>,
    closing: &CancellationToken,
    limit: Duration,
) -> Option<End> {
    tokio::select! {
        () = closing.cancelled() => Some(End::Close(CloseCode::Away.into())),
        sent = timeout(limit, sending) => match sent {
            Ok(Ok(())) => None,
            Ok(Err(Closed)) | Err(_) => Some(End::Gone),
        },
    }
}

/// The close code (RFC 6455, section 7.4.1) for a client that broke the protocol.
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
    // Fails when the peer has gone already.
    let _ = timeout(GOODBYE, session.close(Some(reason))).await;
}
