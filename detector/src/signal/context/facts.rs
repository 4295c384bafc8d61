//! What a call says of its caller, as numbers that can be compared.

use std::net::IpAddr;

use arrayvec::{ArrayString, ArrayVec};

use super::news::Topic;
use crate::hash::hash64;
use crate::{Call, Providers, Timestamp};

/// Scopes of one token that are looked at.
const SCOPES_MAX: usize = 12;

/// One value, from the exact to the broad: an address, its network, its provider.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Fact {
    pub(super) topic: Topic,
    pub(super) exact: u64,
    pub(super) broad: u64,
    /// What the broad one is part of, where that is something.
    pub(super) whole: Option<u64>,
}

/// All of them, and by what a place is told from others.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Facts {
    pub(super) all: ArrayVec<Fact, { SCOPES_MAX + 6 }>,
    /// The credential, session or instance that the call was made with, as closely as the log tells them apart.
    pub(super) bearer: u64,
    /// The network and the client's name, where they are told.
    pub(super) network: Option<u64>,
    pub(super) client: Option<u64>,
}

impl Facts {
    pub(super) fn of(call: &Call<'_>, providers: &Providers) -> Self {
        let mut all = ArrayVec::new();
        let same = |topic, text: &str| {
            let hash = hash64(&[text]);
            Fact { topic, exact: hash, broad: hash, whole: None }
        };
        let network = call.source_ip.map(|ip| network(ip.to_canonical(), providers));
        all.extend(network);
        let client = call.user_agent.as_deref().map(|agent| (agent, letters(agent)));
        all.extend(client.map(|(agent, broad)| Fact { broad, ..same(Topic::UserAgent, agent) }));
        if let Some(model) = call.model.as_deref() {
            all.push(Fact { broad: letters(model), ..same(Topic::Model, model) });
        }
        all.extend(call.identity.delegator.as_deref().map(|d| same(Topic::Delegator, d)));
        // What is acted upon changes all the time; where it lies does not.
        all.extend(call.resource.as_deref().map(|resource| same(Topic::Resource, folder(resource))));
        let kind = [call.credential.kind.as_str(), call.attestation.get().as_str()];
        let hash = hash64(&kind);
        all.push(Fact { topic: Topic::Credential, exact: hash, broad: hash, whole: None });
        if let Some(scope) = call.scope.as_deref() {
            let scopes = scope.split([' ', ',']).filter(|s| !s.is_empty());
            all.extend(scopes.take(SCOPES_MAX).map(|s| same(Topic::Scope, s)));
        }
        let id = &call.identity;
        let bearer = [&id.token_id, &id.session_id, &id.instance_id].into_iter().flatten().next();
        Self {
            all,
            bearer: bearer.map_or(0, |b| hash64(&[b])),
            network: network.map(|n| n.broad),
            client: client.map(|(_, letters)| letters),
        }
    }
}

/// An address, its network and its provider. Where the operator's table does not name one, the shortest prefix that registries
/// commonly hand out stands for it: /16 and /32. Hosts of one private range come and go, so there the network is wider.
fn network(ip: IpAddr, providers: &Providers) -> Fact {
    let (exact, broad, whole) = match ip {
        IpAddr::V4(v4) => {
            let bits = u64::from(v4.to_bits());
            let is_private = v4.is_private() || v4.is_loopback() || v4.is_link_local();
            let [broad, whole] = if is_private { [16, 24] } else { [8, 16] };
            (bits, bits >> broad, bits >> whole)
        }
        IpAddr::V6(v6) => {
            let bits = v6.to_bits();
            // Hosts choose their lower half themselves, and many choose anew.
            ((bits >> 64) as u64, (bits >> 80) as u64, (bits >> 96) as u64)
        }
    };
    let family = if ip.is_ipv4() { "4" } else { "6" };
    let hash = |name: &str, bits: u64| hash64(&[family, name, &decimal(bits)]);
    Fact {
        topic: Topic::Network,
        exact: hash("address", exact),
        broad: hash("network", broad),
        whole: Some(providers.of(ip).unwrap_or_else(|| hash("provider", whole))),
    }
}

/// Its digits, of which 64 bits have 20 at most.
fn decimal(bits: u64) -> ArrayString<20> {
    ArrayString::try_from(format_args!("{bits}")).unwrap_or_default()
}

/// The hour of event time.
pub(super) fn hour_of(ts: Timestamp) -> u32 {
    (ts.as_micros() / 3_600_000_000).clamp(0, i64::from(u32::MAX)) as u32
}

/// A product's name without its versions.
fn letters(text: &str) -> u64 {
    let mut name = ArrayVec::<u8, 96>::new();
    for byte in text.bytes().filter(|b| b.is_ascii_alphabetic() || !b.is_ascii()) {
        if name.try_push(byte.to_ascii_lowercase()).is_err() {
            break;
        }
    }
    // Cut within a character it is still the same bytes each time.
    hash64(&[&String::from_utf8_lossy(&name)])
}

/// A resource without its last part: the folder of a path, the bucket of an object.
fn folder(resource: &str) -> &str {
    let resource = resource.trim_end_matches('/');
    let cut = resource.rfind('/').or_else(|| resource.rfind(':'));
    cut.map_or(resource, |at| &resource[..at])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_hosts_and_objects_are_no_news_of_the_broad_kind() {
        assert_eq!(letters("python-requests/2.31.0"), letters("python-requests/2.32"));
        assert_ne!(letters("python-requests/2.31.0"), letters("curl/8.1"));
        assert_eq!(folder("arn:aws:s3:::b/k/1"), "arn:aws:s3:::b/k");
        assert_eq!(folder("table:users"), "table");
        let ip = |text: &str| network(text.parse().unwrap(), &Providers::default());
        let (a, b, c) = (ip("203.0.113.7"), ip("203.0.113.8"), ip("203.0.112.8"));
        assert!(a.exact != b.exact && a.broad == b.broad && b.broad != c.broad && b.whole == c.whole);
        assert_eq!(ip("10.1.2.3").broad, ip("10.1.77.3").broad);
        assert_eq!(ip("2001:db8::1").exact, ip("2001:db8::ffff").exact);
        assert_ne!(ip("2001:db8::1").exact, ip("0.0.0.1").exact);
        assert_eq!(&*decimal(u64::MAX), "18446744073709551615");
    }
}
