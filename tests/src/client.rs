use std::{
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use reqwest::{Method, RequestBuilder, StatusCode, header::HeaderMap};
use serde_json::{Value, json};

use crate::{CONNECTED, Closing, EventSource, OFFLINE, PATIENCE, Socket, contract};

/// How long a connection is kept that nobody uses.
const IDLE: Duration = Duration::from_secs(1);

/// Somebody who talks to the API.
#[derive(Clone)]
pub struct Client {
    http: reqwest::Client,
    address: SocketAddr,
    /// Sent with every request when there is one.
    pub token: Option<String>,
    /// What the next refresh would spend.
    pub refresh_token: String,
}

/// What the API answered.
#[derive(Debug)]
pub struct Reply {
    /// The status.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// The JSON, or null when there was none.
    pub body: Value,
}

impl Client {
    /// Somebody whom nobody knows.
    pub fn new(address: SocketAddr) -> Self {
        Self::from_address(address, None)
    }

    /// The same, coming from an address of this machine, such as 127.0.0.2.
    pub fn from_address(address: SocketAddr, source: Option<IpAddr>) -> Self {
        let http = reqwest::Client::builder()
            .timeout(PATIENCE)
            // Sooner than the server, or a request could meet the end of its connection.
            .pool_idle_timeout(IDLE)
            .local_address(source)
            .build()
            .unwrap();
        Self {
            http,
            address,
            token: None,
            refresh_token: String::new(),
        }
    }

    /// Becomes somebody.
    pub async fn log_in(&mut self, username: &str, password: &str) {
        let body = json!({ "username": username, "password": password });
        let tokens = self.post("/api/v1/auth/login", &body).await.expect(200);
        self.token = tokens["access_token"].as_str().map(str::to_owned);
        let refresh_token = tokens["refresh_token"].as_str().unwrap();
        refresh_token.clone_into(&mut self.refresh_token);
    }

    /// The same somebody at another node.
    #[must_use]
    pub fn at(&self, address: SocketAddr) -> Self {
        Self {
            address,
            ..self.clone()
        }
    }

    /// A request to be changed before it is sent.
    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let request = self
            .http
            .request(method, format!("http://{}{path}", self.address));
        match &self.token {
            Some(token) => request.bearer_auth(token),
            None => request,
        }
    }

    /// Sends a request. Fails the test when the document does not list the status of the answer.
    pub async fn send(&self, request: RequestBuilder) -> Reply {
        Reply::of(respond(request).await).await
    }

    /// `GET`
    pub async fn get(&self, path: &str) -> Reply {
        self.send(self.request(Method::GET, path)).await
    }

    /// `POST`
    pub async fn post(&self, path: &str, body: &Value) -> Reply {
        self.send(self.request(Method::POST, path).json(body)).await
    }

    /// `PATCH`
    pub async fn patch(&self, path: &str, body: &Value) -> Reply {
        self.send(self.request(Method::PATCH, path).json(body))
            .await
    }

    /// `DELETE`
    pub async fn delete(&self, path: &str) -> Reply {
        self.send(self.request(Method::DELETE, path)).await
    }

    /// Sends a command to the connected vehicle.
    pub async fn submit(&self, command_name: &str, params: Value) -> Value {
        let body = json!({
            "vehicle_id": CONNECTED, "command_name": command_name, "command_params": params,
        });
        self.post("/api/v1/commands", &body).await.expect(201)
    }

    /// Sends `ReadDTC` to the connected vehicle; gives the id of the command.
    pub async fn read_dtc(&self) -> String {
        let command = self
            .submit("ReadDTC", json!({ "ecuAddress": "0x10" }))
            .await;
        command["command_id"].as_str().unwrap().to_owned()
    }

    /// Sends `ReadDTC` to the vehicle that is not connected, to wait for it so many seconds; gives
    /// the id of the command.
    pub async fn read_dtc_later(&self, expires_in_seconds: u32) -> String {
        let body = json!({
            "vehicle_id": OFFLINE, "command_name": "ReadDTC",
            "command_params": { "ecuAddress": "0x10" },
            "expires_in_seconds": expires_in_seconds,
        });
        let command = self.post("/api/v1/commands", &body).await.expect(201);
        command["command_id"].as_str().unwrap().to_owned()
    }

    /// Opens the stream of a command.
    pub async fn open(&self, command_id: &str) -> Socket {
        self.open_at(&format!("/ws/responses/{command_id}")).await
    }

    /// Opens a WebSocket.
    pub async fn open_at(&self, path: &str) -> Socket {
        Socket::open(self.address, path, self.token.as_deref()).await
    }

    /// Opens the stream of a command over HTTP, after the response with this number.
    ///
    /// # Errors
    ///
    /// What was answered instead.
    pub async fn listen(
        &self,
        command_id: &str,
        last_event_id: Option<&str>,
    ) -> Result<EventSource, Reply> {
        let path = format!("/api/v1/commands/{command_id}/events");
        let mut request = self.request(Method::GET, &path);
        if let Some(last_event_id) = last_event_id {
            request = request.header("Last-Event-ID", last_event_id);
        }
        let response = respond(request).await;
        if response.status() == StatusCode::OK {
            Ok(EventSource::of(response))
        } else {
            Err(Reply::of(response).await)
        }
    }

    /// Every event of a command until the server closes the stream.
    pub async fn watch(&self, command_id: &str) -> (Vec<Value>, Closing) {
        self.open(command_id).await.rest().await
    }

    /// Waits for the end of a command, then looks at it.
    pub async fn ended(&self, command_id: &str) -> Value {
        self.watch(command_id).await;
        self.get(&format!("/api/v1/commands/{command_id}"))
            .await
            .expect(200)
    }
}

/// Sends a request and holds the status of the response against the document.
async fn respond(request: RequestBuilder) -> reqwest::Response {
    let (http, request) = request.build_split();
    let request = request.unwrap();
    let (method, path) = (request.method().clone(), request.url().path().to_owned());
    let response = http.execute(request).await.unwrap();
    contract::check_status(&method, &path, response.status());
    response
}

impl Reply {
    async fn of(response: reqwest::Response) -> Self {
        let (status, headers) = (response.status(), response.headers().clone());
        let text = response.text().await.unwrap();
        Self {
            status,
            headers,
            body: serde_json::from_str(&text).unwrap_or_default(),
        }
    }

    /// The body of the one among `replies` that has this status, if all others are conflicts at
    /// `pointer`.
    #[track_caller]
    pub fn won(replies: Vec<Self>, status: u16, pointer: &str) -> Value {
        let (won, lost): (Vec<Self>, Vec<Self>) = replies
            .into_iter()
            .partition(|reply| reply.status == status);
        for lost in lost {
            lost.expect_bad_field(409, "conflict", pointer);
        }
        let [won] = <[Self; 1]>::try_from(won).unwrap();
        won.body
    }

    /// The body, if the status is as expected.
    #[track_caller]
    pub fn expect(self, status: u16) -> Value {
        assert_eq!(self.status.as_u16(), status, "{}", self.body);
        self.body
    }

    /// The body of a problem, if it is one of this status and code and complete.
    #[track_caller]
    pub fn expect_problem(self, status: u16, code: &str) -> Value {
        let problem = &self.body;
        assert_eq!(self.status.as_u16(), status, "{problem}");
        assert_eq!(
            self.headers["content-type"], "application/problem+json",
            "{problem}"
        );
        assert_eq!(problem["code"], code, "{problem}");
        assert_eq!(problem["status"], status, "{problem}");
        assert_eq!(problem["type"], format!("/problems/{code}"), "{problem}");
        assert_eq!(
            problem["correlation_id"],
            self.headers["x-request-id"].to_str().unwrap()
        );
        for field in ["title", "detail", "instance"] {
            assert!(
                problem[field].as_str().is_some_and(|text| !text.is_empty()),
                "{problem}"
            );
        }
        if status == 401 {
            assert_eq!(self.headers["www-authenticate"], "Bearer");
        }
        self.body
    }

    /// The same, and the field at `pointer` is to blame.
    #[track_caller]
    pub fn expect_bad_field(self, status: u16, code: &str, pointer: &str) -> Value {
        let problem = self.expect_problem(status, code);
        let errors = problem["errors"].as_array().cloned().unwrap_or_default();
        assert!(
            errors.iter().any(|error| error["pointer"] == pointer),
            "{problem}"
        );
        problem
    }
}
