//! Networks that an agent may call from.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

/// A network in CIDR notation, or one address. IPv4 within IPv6 (`::ffff:192.0.2.0/120`) is IPv4.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Network(IpNet);

/// The text is no [`Network`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NetworkError {
    /// Neither a network nor an address.
    #[error("`{0}` is no network such as `10.0.0.0/8` or `2001:db8::/32`")]
    Syntax(String),
    /// The address says more than the length of its prefix lets count: one of them is a slip.
    #[error("`{0}` has bits beyond its prefix; the network is `{1}`")]
    HostBits(String, Network),
}

impl Network {
    /// Whether the address lies within.
    pub fn contains(self, address: IpAddr) -> bool {
        self.0.contains(&address.to_canonical())
    }

    /// Its length and bits as IPv6 has them; IPv4 lies under `::ffff:0:0/96`.
    pub(crate) fn bits(self) -> (u8, u128) {
        match self.0 {
            IpNet::V4(v4) => (v4.prefix_len() + 96, v4.addr().to_ipv6_mapped().to_bits()),
            IpNet::V6(v6) => (v6.prefix_len(), v6.addr().to_bits()),
        }
    }

    /// The network of this length that the address lies in; none if there is no such length.
    pub fn around(address: IpAddr, prefix_v4: u8, prefix_v6: u8) -> Option<Self> {
        let address = address.to_canonical();
        let prefix = if address.is_ipv4() { prefix_v4 } else { prefix_v6 };
        IpNet::new(address, prefix).ok().map(|net| Self(net.trunc()))
    }
}

impl FromStr for Network {
    type Err = NetworkError;
    fn from_str(text: &str) -> Result<Self, NetworkError> {
        let net = text.parse().or_else(|_| text.parse::<IpAddr>().map(IpNet::from));
        let net: IpNet = net.map_err(|_| NetworkError::Syntax(text.to_owned()))?;
        let canonical = match net {
            IpNet::V6(v6) if v6.prefix_len() >= 96 => IpNet::new(
                IpAddr::V6(v6.addr()).to_canonical(),
                if v6.addr().to_ipv4_mapped().is_some() { v6.prefix_len() - 96 } else { v6.prefix_len() },
            ),
            net => Ok(net),
        };
        let net = canonical.map_err(|_| NetworkError::Syntax(text.to_owned()))?;
        if net.trunc() != net {
            return Err(NetworkError::HostBits(text.to_owned(), Self(net.trunc())));
        }
        Ok(Self(net))
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl TryFrom<String> for Network {
    type Error = NetworkError;
    fn try_from(text: String) -> Result<Self, NetworkError> {
        text.parse()
    }
}

impl From<Network> for String {
    fn from(network: Network) -> Self {
        network.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_in_its_network_however_it_is_written() {
        let contains =
            |net: &str, address: &str| net.parse::<Network>().unwrap().contains(address.parse().unwrap());
        assert!(contains("10.0.0.0/8", "10.255.255.255") && !contains("10.0.0.0/8", "11.0.0.0"));
        assert!(contains("10.0.0.0/8", "::ffff:10.1.2.3") && contains("::ffff:10.0.0.0/104", "10.1.2.3"));
        assert!(contains("192.0.2.7", "192.0.2.7") && !contains("192.0.2.7", "192.0.2.8"));
        assert!(contains("2001:db8::/32", "2001:db8::1") && !contains("2001:db8::/32", "192.0.2.7"));
        assert!(contains("2001:db8::/120", "2001:db8::ff"));
    }

    #[test]
    fn what_is_no_network_is_refused() {
        for bad in ["", "10.0.0.0/33", "10.0.0/8", "example.org", "10.0.0.0-10.0.0.9", "2001:db8::/129"] {
            assert!(matches!(bad.parse::<Network>(), Err(NetworkError::Syntax(_))), "{bad}");
        }
        let slip = "10.0.0.1/8".parse::<Network>().unwrap_err();
        assert_eq!(slip.to_string(), "`10.0.0.1/8` has bits beyond its prefix; the network is `10.0.0.0/8`");
    }
}
