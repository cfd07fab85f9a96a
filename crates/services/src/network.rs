use std::net::{IpAddr, Ipv6Addr};

/// Who counts as one address: in IPv6 a network of 64 bits, because it is given to one customer.
pub(crate) fn network(address: Option<IpAddr>) -> String {
    match address.map(|address| address.to_canonical()) {
        None => "none".to_owned(),
        Some(IpAddr::V4(address)) => address.to_string(),
        Some(IpAddr::V6(address)) => {
            let prefix = address.to_bits() & !u128::from(u64::MAX);
            format!("{}/64", Ipv6Addr::from_bits(prefix))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_one_host_or_one_network_of_64_bits() {
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
