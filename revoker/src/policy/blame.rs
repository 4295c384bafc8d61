//! Of which part of an agent the evidence is.

use detector::MicroBits;
use serde::{Deserialize, Serialize};

use super::evidence::Evidence;
use crate::part::{PartKind, PartMark};

/// Evidence since the agent was last trusted, by kind of part.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Blame([Share; 3]);

/// How much of it is of the part that it began with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Share {
    /// That part; none where nothing was seen, or the first call named none.
    of: Option<PartMark>,
    /// Whether anything was seen.
    begun: bool,
    /// Bits that its calls added,
    own: MicroBits,
    /// and bits that all added.
    all: MicroBits,
}

impl Share {
    fn with(mut self, part: Option<PartMark>, added: MicroBits) -> Self {
        if !self.begun {
            (self.of, self.begun) = (part, true);
        }
        self.all += added;
        if part.is_some() && part == self.of {
            self.own += added;
        }
        self
    }

    /// An eighth may be what others happened to do beside it: of a burst on an agent each call of its other sessions is a call too
    /// many.
    fn is_of(&self, part: Option<PartMark>) -> bool {
        let (own, all) = (self.own.as_micros(), self.all.as_micros());
        part.is_some() && part == self.of && 8 * (all - own) <= all
    }
}

impl Blame {
    /// With one piece of evidence more.
    #[must_use]
    pub fn with(self, evidence: &Evidence) -> Self {
        let added = evidence.added.max(MicroBits::ZERO);
        let mut parts = evidence.parts.into_iter();
        Self(self.0.map(|share| share.with(parts.next().flatten(), added)))
    }

    /// Whether all of it is of this call's part of that kind, while others of the agent call as ever.
    pub fn is_all_of(&self, kind: PartKind, evidence: &Evidence) -> bool {
        let place = kind as usize;
        self.0[place].is_of(evidence.parts[place]) && evidence.company[place]
    }

    /// How many bits it has seen.
    pub(crate) fn weight(&self) -> MicroBits {
        self.0[0].all
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{at, record};

    fn evidence(session: &str, bits: f64) -> Evidence {
        let parts = [None, Some(PartMark::of(session)), None];
        Evidence {
            parts,
            company: [true; 3],
            added: MicroBits::from_bits(bits),
            ..Evidence::of(&record(1, at(0), "mailer", 20.0))
        }
    }

    #[test]
    fn evidence_is_one_sessions_while_hardly_any_is_anothers() {
        let is_all = |said: &[(&str, f64)]| {
            let blame = said.iter().fold(Blame::default(), |b, (s, bits)| b.with(&evidence(s, *bits)));
            let last = evidence(said[said.len() - 1].0, 0.0);
            PartKind::ALL.map(|kind| blame.is_all_of(kind, &last))
        };
        assert_eq!(is_all(&[("a", 3.0)]), [false, true, false]);
        assert_eq!(is_all(&[("a", 7.0), ("b", 1.0), ("a", 0.1)]), [false, true, false]);
        assert_eq!(is_all(&[("a", 7.0), ("b", 1.1), ("a", 0.1)]), [false; 3]);
        // What another session did last ends neither.
        assert_eq!(is_all(&[("a", 7.0), ("b", 0.1)]), [false; 3]);
        let alone = Evidence { company: [false; 3], ..evidence("a", 3.0) };
        assert!(!Blame::default().with(&alone).is_all_of(PartKind::Session, &alone));
    }
}
