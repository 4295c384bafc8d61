//! What may go on while a human is asked: a few calls of reading, and what the operator knows to be benign.
//!
//! A hijacked reader exfiltrates by reading. So what is among the evidence waits whatever it is called, and of the rest few calls go
//! on, and few bytes.

use serde::{Deserialize, Serialize};

use super::risk::RiskLists;
use crate::hex::mark;
use crate::whom::Glob;

/// The section `[policy.envelope]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct EnvelopeConfig {
    /// Whether actions go on that read, by their names or their method, and are in no class of risk.
    pub reads: bool,
    /// Endpoints or operations that go on beside those: whoever lists one knows that it is benign.
    pub endpoints: Vec<Glob>,
    /// Calls that go on while one question stands; 0 lets none.
    pub calls: u32,
    /// Bytes the agent may get in that time, of all its calls that a log tells the size of; the call that reaches it is the last.
    pub bytes: u64,
}

impl Default for EnvelopeConfig {
    fn default() -> Self {
        Self { reads: true, endpoints: Vec::new(), calls: 20, bytes: 1 << 20 }
    }
}

impl EnvelopeConfig {
    /// Whether an action is of a kind that may go on.
    pub fn holds(
        &self,
        risks: &RiskLists,
        method: Option<&str>,
        endpoint: &str,
        operation: Option<&str>,
    ) -> bool {
        let is_listed = |glob: &Glob| glob.covers(endpoint) || operation.is_some_and(|o| glob.covers(o));
        self.endpoints.iter().any(is_listed) || (self.reads && risks.only_reads(method, endpoint, operation))
    }

    /// What is left of it once so much was used.
    pub fn left(&self, used: Used) -> Room {
        Room { calls: self.calls.saturating_sub(used.calls), bytes: self.bytes.saturating_sub(used.bytes) }
    }
}

/// What an agent has had since its question was asked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Used {
    /// Calls that went on.
    pub calls: u32,
    /// Bytes that it got.
    pub bytes: u64,
}

/// How much may still go on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Room {
    /// Calls.
    pub calls: u32,
    /// Bytes.
    pub bytes: u64,
}

impl Room {
    /// Whether a call of so many announced bytes still goes on.
    pub(crate) fn fits(self, bytes: u64) -> bool {
        self.calls > 0 && self.bytes > 0 && bytes <= self.bytes
    }
}

/// An endpoint as standings remember it: 64 bits of a hash that is the same for ever.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Place(u64);

impl Place {
    /// The place of an endpoint as the signals tell it apart.
    pub fn of(endpoint: &str) -> Self {
        Self(mark(endpoint))
    }
}

/// Endpoints that evidence speaks of, as a Bloom filter: one that was added is always in it, and another now and then, which has it
/// wait without need. Of twenty added ones one other in a hundred does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Touched([u64; 4]);

/// Bits that stand for one endpoint.
const BITS_EACH: u32 = 3;

impl Touched {
    /// Evidence speaks of this one too.
    #[must_use]
    pub fn with(mut self, place: Place) -> Self {
        bits(place).for_each(|bit| self.0[bit / 64] |= 1 << (bit % 64));
        self
    }

    /// Whether evidence may speak of it.
    pub fn holds(&self, place: Place) -> bool {
        bits(place).all(|bit| self.0[bit / 64] & (1 << (bit % 64)) != 0)
    }
}

fn bits(place: Place) -> impl Iterator<Item = usize> {
    (0..BITS_EACH).map(move |n| ((place.0 >> (8 * n)) & 0xff) as usize)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_reads_and_harms_nothing_goes_on_and_what_the_operator_says() {
        let (risks, config) = (RiskLists::default(), EnvelopeConfig::default());
        let holds = |method, endpoint| config.holds(&risks, method, endpoint, None);
        for (method, endpoint) in
            [(None, "read_mail"), (None, "ec2:DescribeInstances"), (Some("GET"), "/v1/payments")]
        {
            assert!(holds(method, endpoint), "{endpoint}");
        }
        for (method, endpoint) in [
            (None, "send_email"),
            (None, "summarize"),
            (None, "get_export"),
            (None, "get_secret"),
            (None, "read_and_delete"),
            // Of two words the more dangerous counts: what also writes is no reading.
            (Some("POST"), "/v1/search"),
            (Some("DELETE"), "get_order"),
            (Some("GET"), "/v1/credentials"),
        ] {
            assert!(!holds(method, endpoint), "{endpoint}");
        }
        let listed = EnvelopeConfig {
            endpoints: vec![Glob::try_from("summar*".to_owned()).unwrap()],
            reads: false,
            ..config
        };
        assert!(
            listed.holds(&risks, None, "summarize", None) && !listed.holds(&risks, None, "read_mail", None)
        );
    }

    proptest! {
        #[test]
        fn an_endpoint_that_was_added_is_never_missed(names in prop::collection::vec(".{0,12}", 0..40)) {
            let touched = names.iter().fold(Touched::default(), |t, name| t.with(Place::of(name)));
            prop_assert!(names.iter().all(|name| touched.holds(Place::of(name))));
        }
    }

    #[test]
    fn few_others_wait_with_them() {
        let touched = (0..20).fold(Touched::default(), |t, n| t.with(Place::of(&format!("added-{n}"))));
        let others = (0..10_000).filter(|n| touched.holds(Place::of(&format!("other-{n}")))).count();
        assert!(others < 200, "{others}");
        assert!(!Touched::default().holds(Place::of("any")));
    }
}
