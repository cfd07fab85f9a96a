//! A client that submits commands and follows them.

use futures_util::StreamExt;
use reqwest::{RequestBuilder, StatusCode};
use serde_json::{Value, json};
use sovd_devstack::{TIMEOUT, within};
use tokio::net::TcpStream;
use tokio_tungstenite::{
    MaybeTlsStream, WebSocketStream, connect_async,
    tungstenite::{Message, client::IntoClientRequest},
};

/// A client of one server, logged in as an engineer.
#[derive(Clone)]
pub(crate) struct Client {
    http: reqwest::Client,
    address: String,
    pub(crate) token: String,
}

/// A command for one vehicle.
pub(crate) struct Order {
    vehicle_id: String,
    command_name: &'static str,
    /// The idempotency key.
    key: String,
}

/// The stream of a command.
pub(crate) struct Watch(WebSocketStream<MaybeTlsStream<TcpStream>>);

impl Order {
    pub(crate) fn new(vehicle_id: &str, command_name: &'static str) -> Self {
        Self {
            vehicle_id: vehicle_id.to_owned(),
            command_name,
            key: format!("{:016x}", getrandom::u64().unwrap()),
        }
    }
}

impl Client {
    pub(crate) async fn log_in(address: &str) -> Self {
        let http = reqwest::Client::builder().timeout(TIMEOUT).build().unwrap();
        let mut client = Self {
            http,
            address: address.to_owned(),
            token: String::new(),
        };
        let body = json!({ "username": "engineer", "password": "engineer123" });
        let (status, tokens) = client.post("/auth/login", &body).await.unwrap();
        assert_eq!(status, 200, "{tokens}");
        tokens["access_token"]
            .as_str()
            .unwrap()
            .clone_into(&mut client.token);
        client
    }

    /// Returns a client with the same token for another server.
    pub(crate) fn at(&self, address: &str) -> Self {
        Self {
            address: address.to_owned(),
            ..self.clone()
        }
    }

    /// Submits a command, which may wait for its vehicle, and returns its id. Fails only if the connection
    /// breaks.
    pub(crate) async fn submit(&self, order: &Order) -> reqwest::Result<String> {
        let mut params = json!({ "ecuAddress": "0x10" });
        if order.command_name == "ReadDataByID" {
            params["dataId"] = "0xF190".into();
        }
        let body = json!({
            "vehicle_id": order.vehicle_id, "command_name": order.command_name,
            "command_params": params, "queue_if_offline": true,
        });
        let request = self
            .request("/commands")
            .header("Idempotency-Key", &order.key)
            .json(&body);
        let (status, command) = send(request).await?;
        assert_eq!(status, 201, "{command}");
        Ok(command["command_id"].as_str().unwrap().to_owned())
    }

    /// Cancels a command and returns it.
    pub(crate) async fn cancel(&self, command_id: &str) -> Value {
        let path = format!("/commands/{command_id}/cancel");
        let (status, command) = self.post(&path, &json!({})).await.unwrap();
        assert_eq!(status, 200, "{command}");
        command
    }

    /// Opens the stream of a command.
    pub(crate) async fn watch(&self, command_id: &str) -> Watch {
        let url = format!("ws://{}/ws/responses/{command_id}", self.address);
        let mut request = url.into_client_request().unwrap();
        let token = format!("Bearer {}", self.token).parse().unwrap();
        request.headers_mut().insert("Authorization", token);
        let opened = within("a handshake", connect_async(request)).await;
        Watch(opened.unwrap().0)
    }

    async fn post(&self, path: &str, body: &Value) -> reqwest::Result<(StatusCode, Value)> {
        send(self.request(path).json(body)).await
    }

    fn request(&self, path: &str) -> RequestBuilder {
        let url = format!("http://{}/api/v1{path}", self.address);
        self.http.post(url).bearer_auth(&self.token)
    }
}

async fn send(request: RequestBuilder) -> reqwest::Result<(StatusCode, Value)> {
    let response = request.send().await?;
    let status = response.status();
    Ok((status, response.json().await?))
}

impl Watch {
    /// Returns the next event; `None` after the server has closed the stream.
    pub(crate) async fn next(&mut self) -> Option<Value> {
        let event = async {
            loop {
                match self.0.next().await?.unwrap() {
                    Message::Text(text) => return Some(serde_json::from_str(&text).unwrap()),
                    Message::Close(_) => return None,
                    _ => {}
                }
            }
        };
        within("an event", event).await
    }

    /// Returns the remaining events.
    pub(crate) async fn rest(mut self) -> Vec<Value> {
        let mut events = Vec::new();
        while let Some(event) = self.next().await {
            events.push(event);
        }
        events
    }
}
