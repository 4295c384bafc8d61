//! The profiles of all agents, each for itself, so that a copy of all holds none twice that has not changed since.

use std::ops::{Index, IndexMut};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::profile::Profile;

/// Profiles by their places. A clone takes some nanoseconds an agent; whichever of the two changes a profile first then copies that one
/// (copy on write).
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Profiles(Vec<Arc<Profile>>);

impl Profiles {
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn get(&self, place: usize) -> Option<&Profile> {
        self.0.get(place).map(|p| &**p)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Profile> {
        self.0.iter().map(|p| &**p)
    }

    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Profile> {
        self.0.iter_mut().map(Arc::make_mut)
    }

    /// Those at `places`, which grow; each to be changed while the others are.
    pub(crate) fn at_mut(&mut self, places: &[usize]) -> impl Iterator<Item = &mut Profile> {
        let (mut rest, mut passed) = (self.0.iter_mut(), 0);
        places.iter().map_while(move |&place| {
            let p = rest.nth(place - passed)?;
            passed = place + 1;
            Some(Arc::make_mut(p))
        })
    }

    pub(crate) fn push(&mut self, profile: Profile) {
        self.0.push(Arc::new(profile));
    }

    /// Takes one out; the last takes its place.
    pub(crate) fn swap_remove(&mut self, place: usize) -> Profile {
        Arc::unwrap_or_clone(self.0.swap_remove(place))
    }
}

impl Index<usize> for Profiles {
    type Output = Profile;

    fn index(&self, place: usize) -> &Profile {
        &self.0[place]
    }
}

impl IndexMut<usize> for Profiles {
    fn index_mut(&mut self, place: usize) -> &mut Profile {
        Arc::make_mut(&mut self.0[place])
    }
}
