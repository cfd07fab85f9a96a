//! The address of the database, and opening connections to it.

use std::{fmt, net::SocketAddr, path::PathBuf, time::Duration};

use diesel::{ConnectionError, ConnectionResult};
use socket2::{SockRef, TcpKeepalive};
use tokio::{
    net::{TcpStream, UnixStream, lookup_host},
    time::timeout,
};
use tokio_postgres::{
    Client, Config, SimpleQueryMessage,
    config::{Host, SslMode, SslNegotiation, TargetSessionAttrs},
};

use super::{
    Connection, Driver, bad, in_full,
    state::ConnectionState,
    tls::{Negotiated, Socket, TlsOptions},
};

/// The time limit for connecting to one host, unless the URL has a `connect_timeout`.
const HOST_TIMEOUT: Duration = Duration::from_secs(5);
const TCP_USER_TIMEOUT: Duration = Duration::from_secs(10);
const KEEPALIVE_IDLE: Duration = Duration::from_secs(15);
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(5);
const KEEPALIVE_RETRIES: u32 = 3;
const DEFAULT_PORT: u16 = 5432;

/// The servers in a database URL, in the order of connection attempts. Opens every connection of the
/// program.
#[derive(Clone)]
pub(crate) struct Target {
    config: Config,
    servers: Vec<Server>,
    tls: TlsOptions,
    host_timeout: Duration,
}

/// One server of a URL.
#[derive(Debug, Clone)]
struct Server {
    address: Address,
    /// The host name that its certificate must contain.
    hostname: String,
}

#[derive(Debug, Clone)]
enum Address {
    Tcp { host: String, port: u16 },
    Unix(PathBuf),
}

impl Target {
    /// Parses a URL with one or more hosts and the parameters of libpq.
    ///
    /// If the URL has several hosts, `target_session_attrs` defaults to `read-write`, because the program
    /// cannot use a replica.
    pub(crate) fn parse(url: &str) -> ConnectionResult<Self> {
        let (tls, rest) = TlsOptions::take_from(url)?;
        let mut config: Config = rest.parse().map_err(|error| bad(in_full(error)))?;
        let servers = servers(&config)?;
        if servers.len() > 1 && !rest.contains("target_session_attrs=") {
            config.target_session_attrs(TargetSessionAttrs::ReadWrite);
        }
        // The driver receives a stream that is already encrypted.
        config.ssl_mode(SslMode::Require);
        config.ssl_negotiation(SslNegotiation::Direct);
        Ok(Self {
            host_timeout: config.get_connect_timeout().map_or(HOST_TIMEOUT, |t| *t),
            config,
            servers,
            tls,
        })
    }

    /// Limits the time for connecting to each host.
    pub(crate) fn within(mut self, limit: Duration) -> Self {
        self.host_timeout = self.host_timeout.min(limit);
        self
    }

    /// Opens a connection to the first available server with the required role.
    pub(crate) async fn connect(&self) -> ConnectionResult<Connection> {
        let mut reasons = Vec::new();
        for server in &self.servers {
            match self.connect_to(server).await {
                Ok(connection) => return Ok(connection),
                Err(reason) => reasons.push(format!("{server}: {reason}")),
            }
        }
        Err(bad(reasons.join("; ")))
    }

    async fn connect_to(&self, server: &Server) -> Result<Connection, String> {
        let late = || format!("no answer within {} s", self.host_timeout.as_secs_f32());
        let (host, port) = match &server.address {
            Address::Unix(path) => {
                let connection = async {
                    let socket = UnixStream::connect(path).await.map_err(in_full)?;
                    // As with libpq, sslmode does not apply to Unix sockets.
                    self.start(Negotiated::plain(Box::new(socket))).await
                };
                let opened = timeout(self.host_timeout, connection).await;
                return opened.map_err(|_| late())?;
            }
            Address::Tcp { host, port } => (host.as_str(), *port),
        };
        let addresses = timeout(self.host_timeout, lookup_host((host, port)));
        let addresses = addresses.await.map_err(|_| late())?.map_err(in_full)?;
        let mut reason = "the host has no address".to_owned();
        for address in addresses {
            let connection = self.connect_tcp(address, &server.hostname);
            match timeout(self.host_timeout, connection).await {
                Ok(Ok(connection)) => return Ok(connection),
                Ok(Err(refused)) => reason = refused,
                Err(_) => reason = late(),
            }
        }
        Err(reason)
    }

    async fn connect_tcp(&self, address: SocketAddr, host: &str) -> Result<Connection, String> {
        let socket = TcpStream::connect(address).await.map_err(in_full)?;
        self.configure(&socket).map_err(in_full)?;
        let socket: Socket = Box::new(socket);
        self.start(self.tls.negotiate(socket, host).await?).await
    }

    /// Sets keepalives and timeouts, which detect a host that died silently.
    fn configure(&self, socket: &TcpStream) -> std::io::Result<()> {
        socket.set_nodelay(true)?;
        let (socket, config) = (SockRef::from(socket), &self.config);
        #[cfg(target_os = "linux")]
        {
            let limit = config.get_tcp_user_timeout();
            socket.set_tcp_user_timeout(Some(limit.map_or(TCP_USER_TIMEOUT, |t| *t)))?;
        }
        if config.get_keepalives() {
            let idle = config.get_keepalives_idle();
            let unset = Config::new().get_keepalives_idle();
            let interval = config.get_keepalives_interval();
            let retries = config.get_keepalives_retries();
            let keepalive = TcpKeepalive::new()
                .with_time(if idle == unset { KEEPALIVE_IDLE } else { idle })
                .with_interval(interval.unwrap_or(KEEPALIVE_INTERVAL))
                .with_retries(retries.unwrap_or(KEEPALIVE_RETRIES));
            socket.set_tcp_keepalive(&keepalive)?;
        }
        Ok(())
    }

    async fn start(&self, stream: Negotiated) -> Result<Connection, String> {
        let (stream, last_error) = stream.observed();
        let session = self.config.connect_raw(stream, super::tls::Done).await;
        let (client, connection) = session.map_err(in_full)?;
        let driver = Driver::start(connection);
        self.check_role(&client).await?;
        Connection::new(client, driver, ConnectionState::new(last_error))
            .await
            .map_err(in_full)
    }

    async fn check_role(&self, client: &Client) -> Result<(), String> {
        let (required, refusal) = match self.config.get_target_session_attrs() {
            TargetSessionAttrs::ReadWrite => ("off", "the server is read-only"),
            TargetSessionAttrs::ReadOnly => ("on", "the server is not read-only"),
            _ => return Ok(()),
        };
        let shown = client.simple_query("SHOW transaction_read_only").await;
        let has_role = shown.map_err(in_full)?.iter().any(
            |message| matches!(message, SimpleQueryMessage::Row(row) if row.get(0) == Some(required)),
        );
        has_role.then_some(()).ok_or(refusal.to_owned())
    }
}

fn servers(config: &Config) -> Result<Vec<Server>, ConnectionError> {
    let (hosts, addresses, ports) = (
        config.get_hosts(),
        config.get_hostaddrs(),
        config.get_ports(),
    );
    let count = hosts.len().max(addresses.len());
    let counts_fit = |len: usize| len <= 1 || len == count;
    if count == 0 {
        return Err(bad("the URL of the database names no host"));
    }
    if !counts_fit(ports.len()) || (!hosts.is_empty() && hosts.len() != count) {
        return Err(bad(
            "the URL of the database has not one port for each host",
        ));
    }
    let server = |index: usize| {
        let port = ports.get(index).or(ports.first()).copied();
        let port = port.unwrap_or(DEFAULT_PORT);
        let by_address = addresses.get(index).map(ToString::to_string);
        let (host, hostname) = match (hosts.get(index), by_address) {
            (Some(Host::Unix(directory)), _) => {
                let path = directory.join(format!(".s.PGSQL.{port}"));
                return Some(Server {
                    address: Address::Unix(path),
                    hostname: String::new(),
                });
            }
            (Some(Host::Tcp(name)), Some(address)) => (address, name.clone()),
            (Some(Host::Tcp(name)), None) => (name.clone(), name.clone()),
            (None, Some(address)) => (address.clone(), address),
            (None, None) => return None,
        };
        Some(Server {
            address: Address::Tcp { host, port },
            hostname,
        })
    };
    Ok((0..count).filter_map(server).collect())
}

impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.address {
            Address::Tcp { host, port } => write!(f, "{host}:{port}"),
            Address::Unix(path) => write!(f, "{}", path.display()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(url: &str) -> Vec<String> {
        let target = Target::parse(url).unwrap();
        target.servers.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn parses_every_host_of_a_url() {
        assert_eq!(shown("postgres://u:p@one/db"), ["one:5432"]);
        assert_eq!(
            shown("postgres://u:p@one:1,two,[::1]:3/db"),
            ["one:1", "two:5432", "::1:3"]
        );
        assert_eq!(
            shown("postgres:///db?host=/run/postgresql&user=u"),
            ["/run/postgresql/.s.PGSQL.5432"]
        );
        assert_eq!(
            shown("postgres:///db?host=one&hostaddr=127.0.0.1&port=7"),
            ["127.0.0.1:7"]
        );
    }

    #[test]
    fn requires_a_writable_server_among_several() {
        let role = |url| {
            let target = Target::parse(url).unwrap();
            target.config.get_target_session_attrs()
        };
        assert_eq!(role("postgres://one/db"), TargetSessionAttrs::Any);
        assert_eq!(role("postgres://one,two/db"), TargetSessionAttrs::ReadWrite);
        assert_eq!(
            role("postgres://one,two/db?target_session_attrs=any"),
            TargetSessionAttrs::Any
        );
    }

    #[test]
    fn rejects_a_url_without_a_host() {
        assert!(Target::parse("postgres:///db").is_err());
    }
}
