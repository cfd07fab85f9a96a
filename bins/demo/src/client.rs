use std::{error::Error, net::SocketAddr};

use futures_util::StreamExt;
use reqwest::{Client, RequestBuilder};
use serde_json::{Value, json};
use tokio_tungstenite::{
    connect_async,
    tungstenite::{Message, client::IntoClientRequest, protocol::frame::coding::CloseCode},
};

/// An authenticated client.
pub(crate) struct Engineer {
    http: Client,
    address: SocketAddr,
    token: String,
}

impl Engineer {
    pub(crate) const NAME: &str = "engineer";
    pub(crate) const PASSWORD: &str = "engineer123";

    pub(crate) async fn log_in(address: SocketAddr) -> Result<Self, Box<dyn Error>> {
        let http = Client::new();
        let url = format!("http://{address}/api/v1/auth/login");
        let body = json!({ "username": Self::NAME, "password": Self::PASSWORD });
        let tokens = send(http.post(url).json(&body)).await?;
        let token = text(&tokens, "access_token")?;
        Ok(Self {
            http,
            address,
            token,
        })
    }

    pub(crate) async fn get(&self, path: &str) -> Result<Value, Box<dyn Error>> {
        let url = format!("http://{}{path}", self.address);
        send(self.http.get(url).bearer_auth(&self.token)).await
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> Result<Value, Box<dyn Error>> {
        let url = format!("http://{}{path}", self.address);
        send(self.http.post(url).bearer_auth(&self.token).json(body)).await
    }

    /// Passes every event of a stream to `each` until the server closes it.
    pub(crate) async fn follow(
        &self,
        path: &str,
        mut each: impl FnMut(&str),
    ) -> Result<(), Box<dyn Error>> {
        let mut request = format!("ws://{}{path}", self.address).into_client_request()?;
        let authorization = format!("Bearer {}", self.token).parse()?;
        request.headers_mut().insert("Authorization", authorization);
        let (mut socket, _) = connect_async(request).await?;
        while let Some(message) = socket.next().await {
            match message? {
                Message::Text(text) => each(&text),
                Message::Close(Some(frame)) if frame.code == CloseCode::Normal => return Ok(()),
                Message::Close(frame) => {
                    return Err(format!("the stream was closed with an error: {frame:?}").into());
                }
                _ => {}
            }
        }
        Err("the connection was lost".into())
    }
}

/// Returns a string field of an object.
pub(crate) fn text(object: &Value, field: &str) -> Result<String, Box<dyn Error>> {
    let text = object.get(field).and_then(Value::as_str);
    Ok(text
        .ok_or_else(|| format!("the response has no {field}"))?
        .to_owned())
}

async fn send(request: RequestBuilder) -> Result<Value, Box<dyn Error>> {
    let response = request.send().await?;
    let status = response.status();
    let body: Value = response.json().await?;
    if status.is_success() {
        Ok(body)
    } else {
        Err(format!("{status}: {body}").into())
    }
}
