use std::net::{IpAddr, SocketAddr};

use actix_web::{
    HttpRequest,
    http::header::{HeaderMap, X_FORWARDED_FOR},
    web::Data,
};
use ipnet::IpNet;

/// The proxies whose `X-Forwarded-For` header is trusted.
#[derive(Debug, Clone)]
pub(crate) struct TrustedProxies(pub(crate) Vec<IpNet>);

/// Returns the address of the client: the peer's, or the one that trusted proxies report.
pub(crate) fn client_address(request: &HttpRequest) -> Option<IpAddr> {
    let peer = request.peer_addr()?.ip().to_canonical();
    Some(match request.app_data::<Data<TrustedProxies>>() {
        Some(proxies) => proxies.client_behind(peer, request.headers()),
        None => peer,
    })
}

impl TrustedProxies {
    /// Walks back from proxy to proxy. Each proxy appends the address of its peer, so entries before
    /// that of an untrusted peer may be forged.
    fn client_behind(&self, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
        let values: Vec<_> = headers.get_all(X_FORWARDED_FOR).collect();
        // A value that is not text becomes one empty entry, which ends the walk.
        let entries = values
            .iter()
            .rev()
            .flat_map(|value| value.to_str().unwrap_or_default().rsplit(','));
        let mut client = peer;
        for entry in entries {
            let Some(previous) = self.contain(client).then(|| address(entry)).flatten() else {
                break;
            };
            client = previous;
        }
        client
    }

    /// Whether `address` is a trusted proxy's.
    pub(crate) fn contain(&self, address: IpAddr) -> bool {
        self.0.iter().any(|network| network.contains(&address))
    }
}

/// Parses an entry, which may include a port. An IPv4-mapped IPv6 address becomes an IPv4 address.
fn address(entry: &str) -> Option<IpAddr> {
    let entry = entry.trim();
    let address = entry
        .parse()
        .or_else(|_| entry.parse().map(|socket: SocketAddr| socket.ip()));
    Some(address.ok()?.to_canonical())
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;

    use super::*;

    /// Returns the client address of a request by its peer and its `X-Forwarded-For` headers.
    fn client(peer: &str, values: &[&[u8]]) -> String {
        let proxies = ["10.0.0.0/8", "192.0.2.7/32", "2001:db8:ffff::/48"];
        let proxies = TrustedProxies(proxies.map(|it| it.parse().unwrap()).to_vec());
        let mut request = TestRequest::default()
            .app_data(Data::new(proxies))
            .peer_addr(SocketAddr::new(peer.parse().unwrap(), 5000))
            .insert_header(("X-Real-IP", "203.0.113.99"))
            .insert_header(("Forwarded", "for=203.0.113.98"));
        for value in values {
            request = request.append_header(("X-Forwarded-For", *value));
        }
        client_address(&request.to_http_request())
            .unwrap()
            .to_string()
    }

    #[test]
    fn ignores_the_header_of_an_untrusted_peer() {
        for peer in ["203.0.113.1", "192.0.2.8", "11.0.0.1", "2001:db8::1"] {
            assert_eq!(client(peer, &[b"198.51.100.1"]), peer);
        }
    }

    #[test]
    fn accepts_the_header_of_a_trusted_proxy() {
        for peer in [
            "10.0.0.0",
            "10.255.255.255",
            "192.0.2.7",
            "2001:db8:ffff::9",
        ] {
            assert_eq!(client(peer, &[b"198.51.100.1"]), "198.51.100.1");
            assert_eq!(client(peer, &[]), peer);
        }
        assert_eq!(
            client("::ffff:10.0.0.1", &[b"198.51.100.1"]),
            "198.51.100.1"
        );
    }

    #[test]
    fn returns_the_last_address_that_is_not_trusted() {
        for (values, expected) in [
            (
                &[&b"1.1.1.1, 198.51.100.1, 10.0.0.2"[..]][..],
                "198.51.100.1",
            ),
            (&[b"1.1.1.1,198.51.100.1", b"10.0.0.2"], "198.51.100.1"),
            (&[b"1.1.1.1", b"198.51.100.1"], "198.51.100.1"),
            (&[b"10.0.0.3, 10.0.0.2"], "10.0.0.3"),
            (&[b"2001:db8::5, ::ffff:10.0.0.2"], "2001:db8::5"),
            (&[b"::ffff:198.51.100.1"], "198.51.100.1"),
            (&[b"198.51.100.1:1234, 10.0.0.2:80"], "198.51.100.1"),
            (&[b"[2001:db8::5]:1234"], "2001:db8::5"),
        ] {
            assert_eq!(client("10.0.0.1", values), expected, "{values:?}");
        }
    }

    #[test]
    fn stops_at_an_entry_that_is_not_an_address() {
        for (value, expected) in [
            (&b""[..], "10.0.0.1"),
            (b"unknown", "10.0.0.1"),
            (b"_hidden", "10.0.0.1"),
            (b"198.51.100.1, unknown", "10.0.0.1"),
            (b"198.51.100.1, , 10.0.0.2", "10.0.0.2"),
            (b"198.51.100.1 10.0.0.2", "10.0.0.1"),
            (b"198.51.100.256", "10.0.0.1"),
            (b"198.51.100.01", "10.0.0.1"),
            (b"198.51.100.0/24", "10.0.0.1"),
            (b"'; DROP TABLE users, 10.0.0.2", "10.0.0.2"),
            (b"198.51.100.1, \xff", "10.0.0.1"),
        ] {
            assert_eq!(client("10.0.0.1", &[value]), expected, "{value:?}");
        }
    }
}
