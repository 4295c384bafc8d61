//! What is asked of an endpoint at every call, worked out once with each version of a model.

use hashbrown::HashMap;
use rustc_hash::FxBuildHasher;

use super::model::{CLASSES, TEMPLATES_MAX};

/// What is known of an endpoint where nothing is declared and nothing left out.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Known {
    /// By class of harm [`super::SessionModel::share`], and how surprising it is, bits.
    shares: [f64; CLASSES],
    bits: [f64; CLASSES],
    /// The templates that hold it, in their order, and how often.
    pub(super) holders: Vec<(u8, u8)>,
}

const _: () = assert!(TEMPLATES_MAX <= 1 << u8::BITS);

impl Known {
    pub(super) fn new(shares: [f64; CLASSES]) -> Self {
        Self { shares, bits: shares.map(|share| -libm::log2(share)), holders: Vec::new() }
    }

    /// What is known of a call of such a class.
    pub(super) fn asked(&self, class: usize) -> Asked<'_> {
        Asked { share: self.shares[class], bits: Some(self.bits[class]), holders: &self.holders }
    }
}

/// What is known of a call to an endpoint, whatever is declared or left out.
#[derive(Clone, Copy)]
pub(super) struct Asked<'a> {
    pub(super) share: f64,
    pub(super) bits: Option<f64>,
    pub(super) holders: &'a [(u8, u8)],
}

impl Asked<'_> {
    /// How surprising it is that a session holds it.
    pub(super) fn bits(&self) -> f64 {
        self.bits.unwrap_or_else(|| -libm::log2(self.share))
    }
}

/// All endpoints of a model, and those that it has never heard of.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Stock {
    known: HashMap<u64, Known, FxBuildHasher>,
    unheard_of: Known,
}

impl Default for Stock {
    /// Of a model that knows no session.
    fn default() -> Self {
        Self { known: HashMap::default(), unheard_of: Known::new([1.0; CLASSES]) }
    }
}

impl Stock {
    /// Of endpoints that were counted, and of templates.
    pub(super) fn new<'a>(
        counted: impl Iterator<Item = (u64, Known)>,
        unheard_of: Known,
        templates: impl Iterator<Item = &'a [(u64, u8)]>,
    ) -> Self {
        let mut known: HashMap<u64, Known, FxBuildHasher> = counted.collect();
        for (t, calls) in templates.enumerate() {
            for &(endpoint, count) in calls {
                let of_it = known.entry(endpoint).or_insert_with(|| unheard_of.clone());
                of_it.holders.push((t as u8, count));
            }
        }
        Self { known, unheard_of }
    }

    pub(super) fn of(&self, endpoint: u64) -> &Known {
        self.known.get(&endpoint).unwrap_or(&self.unheard_of)
    }

    #[cfg(test)]
    pub(super) fn bytes(&self) -> usize {
        let holders = self.known.values().map(|known| known.holders.capacity() * size_of::<(u8, u8)>());
        self.known.allocation_size() + holders.sum::<usize>()
    }
}
