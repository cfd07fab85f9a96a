use std::net::{IpAddr, Ipv6Addr};

/// Returns the address that stands for one client: for IPv6 its /64 prefix, which is what one customer is
/// assigned.
pub fn network_of(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            let prefix = address.to_bits() & !u128::from(u64::MAX);
            Ipv6Addr::from_bits(prefix).into()
        }
        address @ IpAddr::V4(_) => address,
    }
}

/// Returns the network of a client as text, `none` if its address is unknown.
pub(crate) fn network(address: Option<IpAddr>) -> String {
    match address.map(network_of) {
        None => "none".to_owned(),
        Some(address @ IpAddr::V4(_)) => address.to_string(),
        Some(address @ IpAddr::V6(_)) => format!("{address}/64"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ipv6_client_is_a_network_of_64_bits() {
        let of = |text: &str| network(Some(text.parse().unwrap()));
        assert_eq!(of("192.0.2.1"), "192.0.2.1");
        assert_ne!(of("192.0.2.1"), of("192.0.2.2"));
        assert_eq!(of("::ffff:192.0.2.1"), of("192.0.2.1"));
        assert_eq!(of("2001:db8:1:2::1"), "2001:db8:1:2::/64");
        assert_eq!(of("2001:db8:1:2:ffff:ffff:ffff:ffff"), of("2001:db8:1:2::"));
        assert_ne!(of("2001:db8:1:3::1"), of("2001:db8:1:2::1"));
        assert_eq!(network(None), "none");
    }
}
