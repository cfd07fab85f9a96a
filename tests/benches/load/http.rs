use std::{io, net::SocketAddr};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

/// Why an operation failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Failure {
    /// The server sent another status.
    Status(u16),
    /// The response was not understood, or the command did not complete.
    Content,
    /// The connection or the stream ended early.
    Lost,
    /// There was no result in time.
    Timeout,
}

impl From<io::Error> for Failure {
    fn from(_: io::Error) -> Self {
        Self::Lost
    }
}

/// A kept-alive HTTP/1.1 connection. It does less than a real client, and so leaves the processors to the
/// server.
pub(crate) struct Connection {
    address: SocketAddr,
    stream: Option<TcpStream>,
    response: Vec<u8>,
}

impl Connection {
    pub(crate) fn new(address: SocketAddr) -> Self {
        Self {
            address,
            stream: None,
            response: Vec::with_capacity(32 * 1024),
        }
    }

    /// Sends a request and returns the body of the response if it has this status. A connection that the
    /// server closed is a failure; the next request opens another.
    pub(crate) async fn send(&mut self, request: &[u8], status: &str) -> Result<&str, Failure> {
        let mut stream = match self.stream.take() {
            Some(stream) => stream,
            None => open(self.address).await?,
        };
        stream.write_all(request).await?;
        self.response.clear();
        let mut missing = None;
        let body = loop {
            if stream.read_buf(&mut self.response).await? == 0 {
                return Err(Failure::Lost);
            }
            if missing.is_none() {
                missing = head(&self.response);
            }
            if let Some((start, length)) = missing
                && self.response.len() >= start + length
            {
                break start;
            }
        };
        self.stream = Some(stream);
        let text = std::str::from_utf8(&self.response).map_err(|_| Failure::Content)?;
        let received = text.get(9..12).unwrap_or_default();
        if received == status {
            Ok(text.get(body..).unwrap_or_default())
        } else {
            Err(received.parse().map_or(Failure::Content, Failure::Status))
        }
    }
}

pub(crate) async fn open(address: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// Returns the start and the length of the body if the head of the response is complete.
fn head(response: &[u8]) -> Option<(usize, usize)> {
    let end = response.windows(4).position(|bytes| bytes == b"\r\n\r\n")?;
    let head = std::str::from_utf8(response.get(..end)?).unwrap();
    let length = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        let is_length = name.eq_ignore_ascii_case("content-length");
        is_length.then(|| value.trim().parse().unwrap())
    });
    Some((end + 4, length.expect("a response without a length")))
}
