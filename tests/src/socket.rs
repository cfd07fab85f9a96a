use std::net::SocketAddr;

use futures_util::{SinkExt, StreamExt};
use reqwest::header::HeaderMap;
use serde_json::Value;
use tokio::net::TcpStream;
use tokio_tungstenite::{
    MaybeTlsStream, WebSocketStream, connect_async,
    tungstenite::{Message, client::IntoClientRequest, http::Request},
};

use crate::within;

/// A WebSocket.
pub struct Socket {
    stream: WebSocketStream<MaybeTlsStream<TcpStream>>,
    /// The headers of the handshake response.
    pub headers: HeaderMap,
}

/// How a server closed a WebSocket.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Closing {
    /// The close code (RFC 6455); 0 if the connection broke.
    pub code: u16,
    /// The reason.
    pub reason: String,
}

impl Socket {
    /// Opens a WebSocket with the token in the `Authorization` header.
    pub async fn open(address: SocketAddr, path: &str, token: Option<&str>) -> Self {
        Self::handshake(request(address, path, token)).await
    }

    /// Opens a WebSocket that offers subprotocols.
    pub async fn offering(address: SocketAddr, path: &str, protocols: &str) -> Self {
        let mut request = request(address, path, None);
        request
            .headers_mut()
            .insert("Sec-WebSocket-Protocol", protocols.parse().unwrap());
        Self::handshake(request).await
    }

    async fn handshake(request: Request<()>) -> Self {
        let (stream, response) = within("a handshake", connect_async(request)).await.unwrap();
        Self {
            stream,
            headers: response.headers().clone(),
        }
    }

    /// Returns the next event.
    ///
    /// # Errors
    ///
    /// How the server closed the WebSocket, if it did.
    pub async fn next(&mut self) -> Result<Value, Closing> {
        loop {
            let closing = match within("an event", self.stream.next()).await {
                Some(Ok(Message::Text(text))) => return Ok(serde_json::from_str(&text).unwrap()),
                Some(Ok(Message::Close(Some(frame)))) => Closing {
                    code: frame.code.into(),
                    reason: frame.reason.to_string(),
                },
                Some(Ok(Message::Close(None)) | Err(_)) | None => Closing::default(),
                Some(Ok(_)) => continue,
            };
            return Err(closing);
        }
    }

    /// Returns the next frame of any kind; `None` after the connection has ended.
    pub async fn frame(&mut self) -> Option<Message> {
        within("a frame", self.stream.next())
            .await
            .and_then(Result::ok)
    }

    /// Sends a frame.
    pub async fn send(&mut self, message: Message) {
        self.stream.send(message).await.unwrap();
    }

    /// Returns every event until the server closes the WebSocket, and how it did.
    pub async fn rest(mut self) -> (Vec<Value>, Closing) {
        let mut events = Vec::new();
        loop {
            match self.next().await {
                Ok(event) => events.push(event),
                Err(closing) => return (events, closing),
            }
        }
    }
}

/// Returns the request of a handshake, with the token in the `Authorization` header.
pub(crate) fn request(address: SocketAddr, path: &str, token: Option<&str>) -> Request<()> {
    let url = format!("ws://{address}{path}");
    let mut request = url.into_client_request().unwrap();
    if let Some(token) = token {
        let value = format!("Bearer {token}").parse().unwrap();
        request.headers_mut().insert("Authorization", value);
    }
    request
}
