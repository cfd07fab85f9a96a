use std::{
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use reqwest::{Method, RequestBuilder, StatusCode, header::HeaderMap};
use serde_json::{Value, json};

use crate::{CONNECTED, Closing, EventSource, OFFLINE, Socket, TIMEOUT, contract};

/// How long an unused connection is kept.
const IDLE: Duration = Duration::from_secs(1);

/// A client of the API.
#[derive(Clone)]
pub struct Client {
    http: reqwest::Client,
    address: SocketAddr,
    /// The access token, sent with every request if present.
    pub token: Option<String>,
    /// The current refresh token.
    pub refresh_token: String,
}

/// A response of the API.
#[derive(Debug)]
pub struct Reply {
    /// The status.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// The JSON body, or null if there is none.
    pub body: Value,
}

impl Client {
    /// Returns an unauthenticated client.
    pub fn new(address: SocketAddr) -> Self {
        Self::from_address(address, None)
    }

    /// Returns an unauthenticated client that connects from an address of this machine, such as 127.0.0.2.
    pub fn from_address(address: SocketAddr, source: Option<IpAddr>) -> Self {
        let http = reqwest::Client::builder()
            .timeout(TIMEOUT)
            // Shorter than the server's, which could otherwise close a connection during a request.
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

    /// Logs in and stores the tokens.
    pub async fn log_in(&mut self, username: &str, password: &str) {
        let body = json!({ "username": username, "password": password });
        let tokens = self.post("/api/v1/auth/login", &body).await.expect(200);
        self.token = tokens["access_token"].as_str().map(str::to_owned);
        let refresh_token = tokens["refresh_token"].as_str().unwrap();
        refresh_token.clone_into(&mut self.refresh_token);
    }

    /// Returns a client with the same tokens for another server.
    #[must_use]
    pub fn at(&self, address: SocketAddr) -> Self {
        Self {
            address,
            ..self.clone()
        }
    }

    /// Returns a request that can be changed before it is sent.
    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let url = format!("http://{}{path}", self.address);
        let request = self.http.request(method, url);
        match &self.token {
            Some(token) => request.bearer_auth(token),
            None => request,
        }
    }

    /// Sends a request. Fails the test if the OpenAPI document does not list the status of the response.
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
        let request = self.request(Method::PATCH, path);
        self.send(request.json(body)).await
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

    /// Sends `ReadDTC` to the connected vehicle and returns the id of the command.
    pub async fn read_dtc(&self) -> String {
        let params = json!({ "ecuAddress": "0x10" });
        id(&self.submit("ReadDTC", params).await)
    }

    /// Sends `ReadDTC` to the disconnected vehicle and returns the id of the command, which expires after
    /// the given time.
    pub async fn read_dtc_offline(&self, expires_in_seconds: u32) -> String {
        let body = json!({
            "vehicle_id": OFFLINE, "command_name": "ReadDTC",
            "command_params": { "ecuAddress": "0x10" },
            "expires_in_seconds": expires_in_seconds,
        });
        id(&self.post("/api/v1/commands", &body).await.expect(201))
    }

    /// Opens the stream of a command.
    pub async fn open(&self, command_id: &str) -> Socket {
        self.open_at(&format!("/ws/responses/{command_id}")).await
    }

    /// Opens a WebSocket.
    pub async fn open_at(&self, path: &str) -> Socket {
        Socket::open(self.address, path, self.token.as_deref()).await
    }

    /// Opens the stream of a command over HTTP, after the response with the given number.
    ///
    /// # Errors
    ///
    /// The response if its status is not 200.
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

    /// Returns every event of a command until the server closes the stream.
    pub async fn watch(&self, command_id: &str) -> (Vec<Value>, Closing) {
        self.open(command_id).await.rest().await
    }

    /// Waits for the end of a command and returns it.
    pub async fn ended(&self, command_id: &str) -> Value {
        self.watch(command_id).await;
        let path = format!("/api/v1/commands/{command_id}");
        self.get(&path).await.expect(200)
    }
}

fn id(command: &Value) -> String {
    command["command_id"].as_str().unwrap().to_owned()
}

/// Sends a request and checks the status of the response against the OpenAPI document.
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

    /// Returns the body of the only reply with the given status. All others must be conflicts at
    /// `pointer`.
    #[track_caller]
    pub fn won(replies: Vec<Self>, status: u16, pointer: &str) -> Value {
        let replies = replies.into_iter();
        let (won, lost): (Vec<_>, Vec<_>) = replies.partition(|reply| reply.status == status);
        for lost in lost {
            lost.expect_bad_field(409, "conflict", pointer);
        }
        let [won] = <[Self; 1]>::try_from(won).unwrap();
        won.body
    }

    /// Returns the body of a reply with the expected status.
    #[track_caller]
    pub fn expect(self, status: u16) -> Value {
        assert_eq!(self.status.as_u16(), status, "{}", self.body);
        self.body
    }

    /// Returns the body of a complete problem with the expected status and code.
    #[track_caller]
    pub fn expect_problem(self, status: u16, code: &str) -> Value {
        let (problem, headers) = (&self.body, &self.headers);
        assert_eq!(self.status.as_u16(), status, "{problem}");
        assert_eq!(
            headers["content-type"], "application/problem+json",
            "{problem}"
        );
        assert_eq!(problem["code"], code, "{problem}");
        assert_eq!(problem["status"], status, "{problem}");
        assert_eq!(problem["type"], format!("/problems/{code}"), "{problem}");
        let request_id = headers["x-request-id"].to_str().unwrap();
        assert_eq!(problem["correlation_id"], request_id);
        for field in ["title", "detail", "instance"] {
            let text = problem[field].as_str().unwrap_or_default();
            assert!(!text.is_empty(), "{problem}");
        }
        if status == 401 {
            assert_eq!(headers["www-authenticate"], "Bearer");
        }
        self.body
    }

    /// Returns the body of a problem that names the field at `pointer`.
    #[track_caller]
    pub fn expect_bad_field(self, status: u16, code: &str, pointer: &str) -> Value {
        let problem = self.expect_problem(status, code);
        let mut errors = problem["errors"].as_array().into_iter().flatten();
        let is_named = errors.any(|error| error["pointer"] == pointer);
        assert!(is_named, "{problem}");
        problem
    }
}
