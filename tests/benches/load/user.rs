use std::{
    net::SocketAddr,
    rc::Rc,
    sync::atomic::{AtomicUsize, Ordering},
};

use futures_util::StreamExt;
use tokio::net::TcpStream;
use tokio_tungstenite::{
    WebSocketStream, client_async_with_config,
    tungstenite::{Message, client::IntoClientRequest, protocol::WebSocketConfig},
};

use crate::{
    databases::{PASSWORD, VEHICLES},
    http::{Connection, Failure, open},
    operation::Operation,
};

/// The last event of a command that was successful.
const COMPLETED: &str = "\"completed\"";

/// A user of the load with a connection of its own.
pub(crate) struct User {
    address: SocketAddr,
    token: Rc<str>,
    connection: Connection,
    list_vehicles: Vec<u8>,
    list_commands: Vec<u8>,
    log_in: Vec<u8>,
}

impl User {
    /// Returns the user with a number below [`ACCOUNTS`](crate::databases::ACCOUNTS).
    pub(crate) fn new(address: SocketAddr, token: &Rc<str>, number: usize) -> Self {
        Self {
            address,
            token: Rc::clone(token),
            connection: Connection::new(address),
            list_vehicles: request("GET", "/api/v1/vehicles?limit=50", token, ""),
            list_commands: request("GET", "/api/v1/commands?limit=50", token, ""),
            log_in: log_in_request(&format!("bcrypt{number}")),
        }
    }

    /// Performs an operation and returns when its result is known.
    pub(crate) async fn perform(&mut self, operation: Operation) -> Result<(), Failure> {
        match operation {
            Operation::Submit => self.submit(0).await.map(drop),
            Operation::SubmitOffline => self.submit(VEHICLES).await.map(drop),
            Operation::Lifecycle => {
                let command_id = self.submit(0).await?;
                self.follow(&command_id).await
            }
            Operation::Vehicles => {
                let sent = self.connection.send(&self.list_vehicles, "200");
                sent.await.map(drop)
            }
            Operation::Login => self.connection.send(&self.log_in, "200").await.map(drop),
            Operation::Commands | Operation::ManyCommands => {
                let sent = self.connection.send(&self.list_commands, "200");
                sent.await.map(drop)
            }
        }
    }

    /// Submits a command to the next vehicle after the first ones, and returns its id.
    async fn submit(&mut self, first_vehicle: usize) -> Result<String, Failure> {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let vehicle = first_vehicle + NEXT.fetch_add(1, Ordering::Relaxed) % VEHICLES;
        let body = format!(
            "{{\"vehicle_id\":\"00000000-0000-4000-8000-{vehicle:012x}\",\
             \"command_name\":\"ReadDTC\",\"command_params\":{{\"ecuAddress\":\"0x10\"}}}}"
        );
        let request = request("POST", "/api/v1/commands", &self.token, &body);
        let response = self.connection.send(&request, "201").await?;
        let command_id = text_after(response, "\"command_id\":\"");
        command_id.map(str::to_owned).ok_or(Failure::Content)
    }

    /// Follows a command until it is completed. Closing the stream takes place in the background.
    async fn follow(&mut self, command_id: &str) -> Result<(), Failure> {
        let path = format!("/ws/responses/{command_id}");
        let mut socket = open_socket(self.address, &path, &self.token).await?;
        loop {
            match socket.next().await {
                Some(Ok(Message::Text(text))) if text.contains(COMPLETED) => break,
                Some(Ok(Message::Close(Some(frame)))) if frame.code == 1000.into() => {
                    return Err(Failure::Content);
                }
                Some(Ok(Message::Close(_)) | Err(_)) | None => return Err(Failure::Lost),
                Some(Ok(_)) => (),
            }
        }
        tokio::task::spawn_local(async move { while let Some(Ok(_)) = socket.next().await {} });
        Ok(())
    }
}

/// Logs in and returns the access token.
pub(crate) async fn log_in(address: SocketAddr, username: &str) -> Rc<str> {
    let mut connection = Connection::new(address);
    let request = log_in_request(username);
    let response = connection.send(&request, "200").await.unwrap();
    text_after(response, "\"access_token\":\"").unwrap().into()
}

fn log_in_request(username: &str) -> Vec<u8> {
    let body = format!("{{\"username\":\"{username}\",\"password\":\"{PASSWORD}\"}}");
    request("POST", "/api/v1/auth/login", "", &body)
}

/// Opens a WebSocket.
pub(crate) async fn open_socket(
    address: SocketAddr,
    path: &str,
    token: &str,
) -> Result<WebSocketStream<TcpStream>, Failure> {
    let url = format!("ws://{address}{path}");
    let mut request = url.into_client_request().unwrap();
    let authorization = format!("Bearer {token}").parse().unwrap();
    request.headers_mut().insert("Authorization", authorization);
    // The default buffer of 128 KiB is cleared for every socket.
    let config = WebSocketConfig::default().read_buffer_size(4 * 1024);
    let stream = open(address).await?;
    let opened = client_async_with_config(request, stream, Some(config)).await;
    opened.map(|(socket, _)| socket).map_err(|_| Failure::Lost)
}

/// Returns the bytes of a request.
fn request(method: &str, path: &str, token: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    let authorization = match token {
        "" => String::new(),
        token => format!("Authorization: Bearer {token}\r\n"),
    };
    let head = format!(
        "{method} {path} HTTP/1.1\r\nHost: load\r\n{authorization}\
         Content-Type: application/json\r\nContent-Length: {length}\r\n\r\n"
    );
    (head + body).into_bytes()
}

/// Returns the text between a marker and the next quotation mark.
fn text_after<'a>(json: &'a str, marker: &str) -> Option<&'a str> {
    json.split_once(marker)?.1.split('"').next()
}
