//! How much each client may send: one token bucket for each address, in a table of bounded size.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use crate::config::ClientRate;

/// Clients that are remembered at the same time.
const CLIENTS_MAX: usize = 16_384;

/// What each client has sent of late.
pub(super) struct Clients {
    rate: Option<ClientRate>,
    buckets: Mutex<HashMap<IpAddr, Bucket>>,
}

/// How many requests a client has left, and as of when.
#[derive(Clone, Copy)]
struct Bucket {
    left: f64,
    at: Instant,
}

impl Clients {
    pub(super) fn new(rate: Option<ClientRate>) -> Clients {
        Clients { rate, buckets: Mutex::default() }
    }

    /// Counts a request.
    ///
    /// # Errors
    /// In how many seconds the client may come again, when it has sent too much.
    pub(super) fn take(&self, client: IpAddr) -> Result<(), u32> {
        self.take_at(client, Instant::now())
    }

    fn take_at(&self, client: IpAddr, now: Instant) -> Result<(), u32> {
        let Some(rate) = self.rate else { return Ok(()) };
        let (most, per_second) = (f64::from(rate.burst), f64::from(rate.requests_per_second));
        let filled = |bucket: &Bucket| {
            (now.saturating_duration_since(bucket.at).as_secs_f64().mul_add(per_second, bucket.left)).min(most)
        };
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        let mut name = network(client);
        if buckets.len() >= CLIENTS_MAX && !buckets.contains_key(&name) {
            // Who may send as much as anybody new need not be remembered.
            buckets.retain(|_, bucket| filled(bucket) < most);
            if buckets.len() >= CLIENTS_MAX {
                // More clients at once than there is room for: the rest share what one may send.
                name = IpAddr::V6(Ipv6Addr::UNSPECIFIED);
            }
        }
        let bucket = buckets.entry(name).or_insert(Bucket { left: most, at: now });
        *bucket = Bucket { left: filled(bucket), at: now };
        if bucket.left < 1.0 {
            let seconds = (1.0 - bucket.left) / per_second;
            // At least a second, and few: a rate is at least one request in a second.
            return Err(if seconds > 1.0 { 2 } else { 1 });
        }
        bucket.left -= 1.0;
        Ok(())
    }
}

/// An IPv4 address; of an IPv6 address the network, all of which is one customer's.
fn network(client: IpAddr) -> IpAddr {
    match client {
        IpAddr::V4(_) => client,
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            IpAddr::V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::time::Duration;

    use super::*;

    #[test]
    fn each_client_has_its_burst_and_then_its_rate() {
        let clients = Clients::new(Some(ClientRate { requests_per_second: 10, burst: 20 }));
        let (a, b): (IpAddr, IpAddr) = ("10.0.0.1".parse().unwrap(), "10.0.0.2".parse().unwrap());
        let begin = Instant::now();
        let sent = |who, at, many: usize| (0..many).filter(|_| clients.take_at(who, at).is_ok()).count();
        assert_eq!(sent(a, begin, 100), 20);
        assert_eq!(clients.take_at(a, begin), Err(1));
        assert_eq!(sent(b, begin, 100), 20);
        assert_eq!(sent(a, begin + Duration::from_secs(1), 100), 10);
        assert_eq!(sent(a, begin + Duration::from_secs(1000), 100), 20);
        // A clock that a thread read earlier does no harm.
        assert_eq!(sent(a, begin, 100), 0);
        let none = Clients::new(None);
        assert!((0..10_000).all(|_| none.take(a).is_ok()));
    }

    #[test]
    fn a_network_is_one_client_and_the_table_is_bounded() {
        let clients = Clients::new(Some(ClientRate { requests_per_second: 1, burst: 1 }));
        let begin = Instant::now();
        let [one, two]: [IpAddr; 2] = ["2001:db8:0:1::1", "2001:db8:0:1:ffff::2"].map(|text| text.parse().unwrap());
        assert!(clients.take_at(one, begin).is_ok() && clients.take_at(two, begin).is_err());
        let address = |at: u32| IpAddr::V4((at + 0x0a00_0000).into());
        let sent = (0..100_000).filter(|at| clients.take_at(address(*at), begin).is_ok()).count();
        assert!((CLIENTS_MAX - 1..=CLIENTS_MAX + 1).contains(&sent), "{sent}");
        assert!(clients.buckets.lock().unwrap().len() <= CLIENTS_MAX + 1);
        // A little later all have filled up again and nobody is remembered.
        assert!(clients.take_at(address(200_000), begin + Duration::from_secs(2)).is_ok());
        assert_eq!(clients.buckets.lock().unwrap().len(), 1);
    }
}
