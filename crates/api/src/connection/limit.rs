use std::{net::IpAddr, num::NonZeroU32, sync::Arc};

use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};
use sovd_services::{
    in_flight::{InFlight, Permit},
    network_of,
};

use crate::extract::TrustedProxies;

/// Log records about rejected connections per minute.
const RECORDS_PER_MINUTE: NonZeroU32 = NonZeroU32::new(6).unwrap();

/// Limits the open connections of each address in this process, except for trusted proxies, which
/// connect on behalf of many clients.
pub(crate) struct ConnectionLimit {
    /// 0 means no limit.
    limit: usize,
    open: Arc<InFlight<IpAddr>>,
    proxies: TrustedProxies,
    records: DefaultDirectRateLimiter,
}

/// Counts one connection of an address until it is dropped; `None` if it does not count.
pub(crate) type OpenConnection = Option<Permit<IpAddr>>;

/// The address has reached the limit.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct TooManyConnections;

impl ConnectionLimit {
    /// Allows each address `per_address` connections; 0 means no limit.
    pub(crate) fn new(per_address: usize, proxies: TrustedProxies) -> Self {
        Self {
            limit: per_address,
            open: Arc::new(InFlight::new("connections of one address", per_address)),
            proxies,
            records: RateLimiter::direct(Quota::per_minute(RECORDS_PER_MINUTE)),
        }
    }

    /// Counts a connection from `peer`.
    pub(super) fn admit(&self, peer: Option<IpAddr>) -> Result<OpenConnection, TooManyConnections> {
        let Some(peer) = peer.map(|peer| peer.to_canonical()) else {
            return Ok(None);
        };
        if self.limit == 0 || self.proxies.contain(peer) {
            return Ok(None);
        }
        let admitted = self.open.try_admit(network_of(peer));
        if admitted.is_err() && self.records.check().is_ok() {
            let limit = self.limit;
            tracing::warn!(address = %peer, limit, "connection refused: too many from one address");
        }
        admitted.map(Some).map_err(|_| TooManyConnections)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limit(per_address: usize) -> ConnectionLimit {
        let proxies = TrustedProxies(vec!["10.0.0.0/8".parse().unwrap()]);
        ConnectionLimit::new(per_address, proxies)
    }

    fn admit(limit: &ConnectionLimit, peer: &str) -> Result<OpenConnection, TooManyConnections> {
        limit.admit(Some(peer.parse().unwrap()))
    }

    #[test]
    fn limits_each_address_separately() {
        let limit = limit(1);
        let first = admit(&limit, "192.0.2.1").unwrap();
        assert!(admit(&limit, "192.0.2.1").is_err());
        assert!(admit(&limit, "::ffff:192.0.2.1").is_err());
        assert!(admit(&limit, "192.0.2.2").is_ok());
        drop(first);
        assert!(admit(&limit, "192.0.2.1").is_ok());
    }

    #[test]
    fn treats_a_64_bit_ipv6_network_as_one_address() {
        let limit = limit(1);
        let _first = admit(&limit, "2001:db8::1").unwrap();
        assert!(admit(&limit, "2001:db8::ffff:1").is_err());
        assert!(admit(&limit, "2001:db8:0:1::1").is_ok());
    }

    #[test]
    fn does_not_limit_trusted_proxies() {
        let limit = limit(1);
        let open: Vec<_> = (0..3).map(|_| admit(&limit, "10.1.2.3")).collect();
        assert!(open.iter().all(|it| matches!(it, Ok(None))));
    }

    #[test]
    fn zero_means_no_limit() {
        assert_eq!(admit(&limit(0), "192.0.2.1").unwrap().map(|_| ()), None);
    }
}
