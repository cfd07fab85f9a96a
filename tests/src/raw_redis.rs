use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    net::TcpStream,
};

/// A minimal Redis client.
pub struct RawRedis(BufReader<TcpStream>);

impl RawRedis {
    /// Connects to a Redis without a password, by its URL.
    pub async fn connect(url: &str) -> Self {
        let address = url.trim_start_matches("redis://").split('/').next();
        let stream = TcpStream::connect(address.unwrap()).await.unwrap();
        Self(BufReader::new(stream))
    }

    /// Sends a command and returns the first line of the reply.
    pub async fn ask(&mut self, words: &[&[u8]]) -> String {
        let mut request = format!("*{}\r\n", words.len()).into_bytes();
        for word in words {
            request.extend(format!("${}\r\n", word.len()).into_bytes());
            request.extend_from_slice(word);
            request.extend_from_slice(b"\r\n");
        }
        self.0.write_all(&request).await.unwrap();
        let mut reply = String::new();
        self.0.read_line(&mut reply).await.unwrap();
        reply.trim_end().to_owned()
    }

    /// Publishes a message and returns the number of subscribers that received it.
    pub async fn publish(&mut self, channel: &str, message: impl AsRef<[u8]>) -> u32 {
        let words = [b"PUBLISH", channel.as_bytes(), message.as_ref()];
        let reply = self.ask(&words).await;
        reply.trim_start_matches(':').parse().unwrap()
    }
}
