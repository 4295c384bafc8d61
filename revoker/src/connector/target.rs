//! Where a message may go: checked when the configuration is read, and again for every address at every connection.
//!
//! A target's address is an operator's to set, but names resolve to what others say, and a message must not be turned
//! against what only this host can reach (OWASP: server-side request forgery). Names are checked after resolution, inside
//! the client, so that a name that changes its mind between check and use gains nothing.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use reqwest::Url;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};

/// Where a target listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    url: Url,
    insecure: bool,
}

/// Why an address is no target.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TargetError {
    /// Not an address at all.
    #[error("not an address: {0}")]
    NotUrl(String),
    /// Not encrypted.
    #[error("`{0}` is not https; `allow_insecure_target` allows it, for tests")]
    NotHttps(String),
    /// A user name or password in the address would end up in logs.
    #[error("an address must not hold a user name or password")]
    Credentials,
    /// Reachable from here only.
    #[error("{0} is not a public address; `allow_insecure_target` allows it, for tests")]
    NotPublic(IpAddr),
}

impl Target {
    /// Checks an address. `insecure` allows `http` and addresses that are not public: for tests, never the default.
    pub fn new(url: &str, insecure: bool) -> Result<Self, TargetError> {
        let url = Url::parse(url).map_err(|e| TargetError::NotUrl(e.to_string()))?;
        match url.scheme() {
            "https" => {}
            "http" if insecure => {}
            other => return Err(TargetError::NotHttps(other.to_owned())),
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(TargetError::Credentials);
        }
        // The resolver never sees an address written as numbers. `Url` has normalised its octal, hexadecimal and
        // decimal forms.
        match literal(&url) {
            Some(ip) if !insecure && !is_public(ip) => Err(TargetError::NotPublic(ip)),
            _ => Ok(Self { url, insecure }),
        }
    }

    /// The address.
    pub fn url(&self) -> &Url {
        &self.url
    }

    /// Whether it may be unencrypted and not public.
    pub fn is_insecure(&self) -> bool {
        self.insecure
    }
}

fn literal(url: &Url) -> Option<IpAddr> {
    let host = url.host_str()?;
    host.strip_prefix('[').and_then(|h| h.strip_suffix(']')).unwrap_or(host).parse().ok()
}

/// Whether an address belongs to the public internet (IANA special-purpose registries, RFC 6890 and its updates).
pub fn is_public(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => is_public_v4(ip),
        IpAddr::V6(ip) => is_public_v6(ip),
    }
}

fn is_public_v4(ip: Ipv4Addr) -> bool {
    let [a, b, c, _] = ip.octets();
    let special = ip.is_private()
        || ip.is_loopback()
        || ip.is_link_local()
        || ip.is_multicast()
        || ip.is_broadcast()
        || ip.is_documentation()
        || a == 0 // "this network", RFC 791
        || a >= 240 // reserved, RFC 1112
        || (a == 100 && (64..128).contains(&b)) // carrier-grade NAT, RFC 6598
        || (a == 192 && b == 0 && c == 0) // IETF protocol assignments, RFC 6890
        || (a == 192 && b == 88 && c == 99) // 6to4 relays, RFC 7526
        || (a == 198 && (18..20).contains(&b)); // benchmarks, RFC 2544
    !special
}

fn is_public_v6(ip: Ipv6Addr) -> bool {
    if let Some(v4) = ip.to_ipv4_mapped() {
        return is_public_v4(v4);
    }
    let [a, b, c, ..] = ip.segments();
    // Global unicast is 2000::/3 only (RFC 4291); that alone rules out loopback, link-local, unique-local, multicast
    // and the translation prefix 64:ff9b::/96, which reaches any IPv4 address.
    let special = (a == 0x2001 && b == 0xdb8) // documentation, RFC 3849
        || (a == 0x3fff && b < 0x1000) // documentation, RFC 9637
        || (a == 0x2001 && b < 0x200) // protocol assignments and Teredo, RFC 2928 and 4380
        || a == 0x2002 // 6to4 wraps any IPv4 address, RFC 3056
        || (a == 0x2620 && b == 0x4f && c == 0x8000); // AS112, RFC 7534
    (a & 0xe000) == 0x2000 && !special
}

/// What this host's resolver says names lead to.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct System;

impl Resolve for System {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            Ok(Box::new(found.collect::<Vec<_>>().into_iter()) as Addrs)
        })
    }
}

/// Of what another says names lead to, public addresses only.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct PublicOnly<R>(pub(crate) R);

/// A name that leads nowhere public.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the name resolves to no public address")]
pub(crate) struct NothingPublic;

impl<R: Resolve> Resolve for PublicOnly<R> {
    fn resolve(&self, name: Name) -> Resolving {
        let asked = self.0.resolve(name);
        Box::pin(async move {
            let public: Vec<SocketAddr> = asked.await?.filter(|address| is_public(address.ip())).collect();
            if public.is_empty() {
                return Err(NothingPublic.into());
            }
            Ok(Box::new(public.into_iter()) as Addrs)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_https_to_public_addresses() {
        for good in ["https://idp.example/hook", "https://1.1.1.1/", "https://[2606:4700::1111]:8443/x"] {
            assert!(Target::new(good, false).is_ok(), "{good}");
        }
        let bad = [
            "http://idp.example/",
            "ftp://idp.example/",
            "file:///etc/passwd",
            "idp.example",
            "https://",
            "https://user:pass@idp.example/",
            "https://127.0.0.1/",
            "https://0x7f.1/",
            "https://2130706433/",
            "https://0177.0.0.1/",
            "https://10.1.2.3/",
            "https://169.254.169.254/latest/meta-data/",
            "https://100.64.0.1/",
            "https://0.0.0.0/",
            "https://[::1]/",
            "https://[::ffff:127.0.0.1]/",
            "https://[fd00::1]/",
            "https://[fe80::1]/",
            "https://[64:ff9b::7f00:1]/",
            "https://[2002:7f00:1::]/",
        ];
        let taken: Vec<_> = bad.into_iter().filter(|bad| Target::new(bad, false).is_ok()).collect();
        assert_eq!(taken, [""; 0]);
        crate::testing::prove::row(
            "outbound-safety corpus: targets that may be connected to",
            taken.len(),
            "0: private, loopback, link-local, metadata, mapped and octal literals",
            "only_https_to_public_addresses",
        );
    }

    #[test]
    fn the_switch_for_tests_allows_what_tests_need_and_no_more() {
        assert!(Target::new("http://127.0.0.1:8080/hook", true).is_ok());
        assert!(Target::new("ftp://127.0.0.1/", true).is_err());
        assert!(Target::new("http://a:b@127.0.0.1/", true).is_err());
    }

    #[tokio::test]
    async fn a_name_for_this_host_resolves_to_nothing() {
        use std::str::FromStr;
        let refused = PublicOnly(System).resolve(Name::from_str("localhost").unwrap()).await;
        assert_eq!(refused.err().map(|e| e.to_string()), Some(NothingPublic.to_string()));
    }
}
