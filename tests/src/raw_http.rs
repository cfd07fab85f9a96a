use std::net::SocketAddr;

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpSocket, TcpStream},
};
use tokio_tungstenite::client_async;

use crate::{socket, within};

/// A connection on which a test sends bytes that an HTTP library would not.
pub struct RawHttp(pub TcpStream);

impl RawHttp {
    /// Connects to a server.
    pub async fn connect(address: SocketAddr) -> Self {
        Self(TcpStream::connect(address).await.unwrap())
    }

    /// Connects from another address of this machine, such as 127.0.0.2.
    pub async fn connect_from(source: [u8; 4], address: SocketAddr) -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind(SocketAddr::from((source, 0))).unwrap();
        Self(socket.connect(address).await.unwrap())
    }

    /// Connects and performs the handshake of a WebSocket.
    pub async fn open_websocket(address: SocketAddr, path: &str, token: &str) -> Self {
        let mut connection = Self::connect(address).await;
        let request = socket::request(address, path, Some(token));
        let handshake = client_async(request, &mut connection.0);
        within("the handshake", handshake).await.unwrap();
        connection
    }

    /// Sends bytes.
    pub async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.0.write_all(bytes.as_ref()).await.unwrap();
    }

    /// Returns what the server sends until it closes or resets the connection.
    pub async fn read_to_end(&mut self) -> String {
        let mut bytes = Vec::new();
        let _ = within("the end of the connection", self.0.read_to_end(&mut bytes)).await;
        String::from_utf8_lossy(&bytes).into_owned()
    }
}
