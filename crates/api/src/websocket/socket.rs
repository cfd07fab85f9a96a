use std::time::Duration;

use actix_web::web::Data;
use actix_ws::{CloseCode, CloseReason, Closed, Message, MessageStream, Session};
use futures_util::StreamExt;
use sovd_domain::StreamEvent;
use sovd_services::streams::Follower;
use tokio::time::{Instant, interval_at, timeout};
use tokio_util::sync::CancellationToken;

use crate::state::{ApiState, SocketSettings};

/// The largest message a client may send, in bytes. It has nothing to say.
const MESSAGE_LIMIT: usize = 4 * 1024;

/// How long a goodbye may take.
const GOODBYE: Duration = Duration::from_secs(1);

/// One client's end of a stream.
pub(super) struct Socket {
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
    pub(super) fn new(session: Session, messages: MessageStream, state: &Data<ApiState>) -> Self {
        Self {
            session,
            messages: messages.max_frame_size(MESSAGE_LIMIT),
            settings: state.sockets,
            closing: state.closing.clone(),
        }
    }

    /// Says why there is no stream.
    pub(super) async fn refuse(self, reason: CloseReason) {
        close(self.session, reason).await;
    }

    /// Sends every event until the last one, the peer's end or the server's.
    pub(super) async fn serve(mut self, mut follower: Follower) {
        match self.run(&mut follower).await {
            End::Close(reason) => close(self.session, reason).await,
            End::Gone => {}
        }
    }

    async fn run(&mut self, follower: &mut Follower) -> End {
        let first_ping = Instant::now() + self.settings.ping;
        let mut pings = interval_at(first_ping, self.settings.ping);
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
                event = follower.next() => self.tell(event, &closing).await,
            };
            if let Some(end) = end {
                return end;
            }
        }
    }

    async fn hear(
        &mut self,
        message: Option<Result<Message, actix_ws::ProtocolError>>,
    ) -> Option<End> {
        match message {
            Some(Ok(Message::Ping(bytes))) => gone_if(self.session.pong(&bytes).await),
            Some(Ok(Message::Close(_))) => Some(End::Close(CloseCode::Normal.into())),
            Some(Ok(_)) => None,
            Some(Err(_)) => Some(End::Close(CloseCode::Protocol.into())),
            None => Some(End::Gone),
        }
    }

    async fn ping(&mut self, last_heard: Instant) -> Option<End> {
        if last_heard.elapsed() >= self.settings.idle {
            return Some(End::Gone);
        }
        gone_if(self.session.ping(b"").await)
    }

    /// Sends one event. A peer that does not read makes this wait: its own stream stands still,
    /// nobody else's does.
    async fn tell(
        &mut self,
        event: Option<StreamEvent>,
        closing: &CancellationToken,
    ) -> Option<End> {
        let Some(event) = event else {
            let reason = (CloseCode::Policy, "the command was deleted");
            return Some(End::Close(reason.into()));
        };
        let Ok(text) = serde_json::to_string(&event) else {
            return Some(End::Close(CloseCode::Error.into()));
        };
        let sent = tokio::select! {
            sent = timeout(self.settings.idle, self.session.text(text)) => sent,
            () = closing.cancelled() => return Some(End::Close(CloseCode::Away.into())),
        };
        match sent {
            Ok(Ok(())) if event.is_terminal() => Some(End::Close(CloseCode::Normal.into())),
            Ok(Ok(())) => None,
            Ok(Err(Closed)) | Err(_) => Some(End::Gone),
        }
    }
}

fn gone_if(sent: Result<(), Closed>) -> Option<End> {
    sent.err().map(|Closed| End::Gone)
}

async fn close(session: Session, reason: CloseReason) {
    // Fails when the peer has gone already.
    let _ = timeout(GOODBYE, session.close(Some(reason))).await;
}
