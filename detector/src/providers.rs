//! Which provider an address belongs to, where the operator has a table of that.

use std::net::IpAddr;

use crate::Network;
use crate::hash::hash64;

/// The most networks of a table: all that are announced today fit.
pub const PROVIDERS_MAX: usize = 2_000_000;

/// Networks with their providers' names as hashes, by length of prefix and in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Providers {
    /// From the longest prefix to the shortest; IPv4 lies in IPv6, under `::ffff:0:0/96`.
    by_length: Vec<(u8, Vec<(u128, u64)>)>,
}

impl Providers {
    /// Networks and whose they are. Of one that is named twice the last counts.
    pub fn new<'a>(networks: impl IntoIterator<Item = (Network, &'a str)>) -> Self {
        let mut all: Vec<(u8, u128, u64)> = Vec::new();
        for (network, provider) in networks {
            let (length, bits) = network.bits();
            all.push((length, bits, hash64(&["provider's name", provider])));
        }
        all.sort_by_key(|&(length, bits, _)| (std::cmp::Reverse(length), bits));
        let mut by_length: Vec<(u8, Vec<(u128, u64)>)> = Vec::new();
        for (length, bits, provider) in all {
            if by_length.last().is_none_or(|(last, _)| *last != length) {
                by_length.push((length, Vec::new()));
            }
            let Some((_, networks)) = by_length.last_mut() else { continue };
            match networks.last_mut() {
                Some(same) if same.0 == bits => same.1 = provider,
                _ => networks.push((bits, provider)),
            }
        }
        Self { by_length }
    }

    /// The provider with the longest prefix that holds the address.
    pub(crate) fn of(&self, address: IpAddr) -> Option<u64> {
        let (_, bits) = Network::around(address, 32, 128)?.bits();
        self.by_length.iter().find_map(|(length, networks)| {
            let wanted = bits & u128::MAX.checked_shl(128 - u32::from(*length)).unwrap_or(0);
            let at = networks.binary_search_by_key(&wanted, |(bits, _)| *bits).ok()?;
            Some(networks[at].1)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_prefix_counts_and_the_last_of_its_name() {
        let table = [
            ("203.0.0.0/8", "cloud"),
            ("203.0.113.0/24", "shop"),
            ("203.0.113.0/24", "shop on the cloud"),
            ("2001:db8::/32", "cloud"),
            ("0.0.0.0/0", "somewhere"),
        ];
        let providers = Providers::new(table.map(|(net, provider)| (net.parse().unwrap(), provider)));
        let of = |ip: &str| providers.of(ip.parse().unwrap());
        assert_eq!(of("203.0.112.9"), of("2001:db8:77::1"));
        assert_eq!(of("::ffff:203.0.112.9"), of("203.0.112.9"));
        assert!(of("203.0.113.9").is_some() && of("203.0.113.9") != of("203.0.112.9"));
        assert_eq!(of("198.51.100.1"), Some(hash64(&["provider's name", "somewhere"])));
        assert_eq!(
            (of("2001:db9::1"), Providers::default().of("203.0.113.9".parse().unwrap())),
            (None, None)
        );
    }
}
