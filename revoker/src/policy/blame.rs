//! Of which part of an agent the evidence is.

use detector::MicroBits;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};

use super::evidence::Evidence;
use crate::part::{KINDS, Marks, PartKind};

/// Evidence since the agent was last trusted, and how much of it is of the parts that it began with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Blame {
    /// Those parts, by kind; none where nothing was seen, or the first call named none.
    #[serde(deserialize_with = "by_kind")]
    of: Marks,
    /// Whether anything was seen.
    begun: bool,
    /// Bits that calls of each of them added,
    #[serde(deserialize_with = "by_kind")]
    own: [MicroBits; KINDS],
    /// and bits that all calls added.
    all: MicroBits,
}

/// One value a kind. What was written before there were as many kinds has nothing of the later ones.
fn by_kind<'de, D, T>(from: D) -> Result<[T; KINDS], D::Error>
where
    D: Deserializer<'de>,
    T: Copy + Default + Deserialize<'de>,
{
    let written = Vec::<T>::deserialize(from)?;
    let mut all = [T::default(); KINDS];
    let known =
        all.get_mut(..written.len()).ok_or_else(|| D::Error::invalid_length(written.len(), &"one a kind"))?;
    known.copy_from_slice(&written);
    Ok(all)
}

/// Bits that are counted at most, of one call and of all; twice as many read back from JSON.
const ALL_MAX: MicroBits = MicroBits::from_micros(400_000_000);

impl Blame {
    /// With one piece of evidence more.
    #[must_use]
    pub fn with(mut self, evidence: &Evidence) -> Self {
        let added = evidence.added.max(MicroBits::ZERO).min(ALL_MAX);
        if !self.begun {
            (self.of, self.begun) = (evidence.parts, true);
        }
        self.all += added;
        for (own, (of, part)) in self.own.iter_mut().zip(self.of.iter().zip(&evidence.parts)) {
            if part.is_some() && part == of {
                *own += added;
            }
        }
        // What counts is the share, and what is stored must read back.
        if self.all > ALL_MAX {
            let half = |bits: MicroBits| MicroBits::from_micros(bits.as_micros() / 2);
            (self.own, self.all) = (self.own.map(half), half(self.all));
        }
        self
    }

    /// Whether all of it is of this call's part of that kind, while others of the agent call as ever.
    ///
    /// An eighth may be what others happened to do beside it: of a burst on an agent each call of its other sessions is a call too
    /// many.
    pub fn is_all_of(&self, kind: PartKind, evidence: &Evidence) -> bool {
        let place = kind as usize;
        let part = evidence.parts[place];
        let (own, all) = (self.own[place].as_micros(), self.all.as_micros());
        part.is_some() && part == self.of[place] && 8 * (all - own) <= all && evidence.company[place]
    }

    /// How many bits it has seen.
    pub(crate) fn weight(&self) -> MicroBits {
        self.all
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::part::PartMark;
    use crate::testing::{at, record};

    fn evidence(session: &str, bits: f64) -> Evidence {
        let parts = [None, Some(PartMark::of(session)), None, None];
        Evidence {
            parts,
            company: [true; KINDS],
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
        assert_eq!(is_all(&[("a", 3.0)]), [false, true, false, false]);
        assert_eq!(is_all(&[("a", 7.0), ("b", 1.0), ("a", 0.1)]), [false, true, false, false]);
        assert_eq!(is_all(&[("a", 7.0), ("b", 1.1), ("a", 0.1)]), [false; KINDS]);
        // What another session did last ends neither.
        assert_eq!(is_all(&[("a", 7.0), ("b", 0.1)]), [false; KINDS]);
        // However much there is, it reads back as it was.
        let much = (0..5_000)
            .fold(Blame::default(), |b, n| b.with(&evidence(if n % 9 == 0 { "b" } else { "a" }, 300.0)));
        let text = serde_json::to_string(&much).unwrap();
        assert_eq!(serde_json::from_str::<Blame>(&text).unwrap(), much);
        // So does what was written when there were three kinds.
        let three = text.replace(r#",null],"begun"#, r#"],"begun"#).replace(r#",0.0],"all"#, r#"],"all"#);
        assert_ne!(three, text);
        assert_eq!(serde_json::from_str::<Blame>(&three).unwrap(), much);
        let alone = Evidence { company: [false; KINDS], ..evidence("a", 3.0) };
        assert!(!Blame::default().with(&alone).is_all_of(PartKind::Session, &alone));
    }
}
