//! Which records a replay has read already: the same id twice is a duplicate, with other content a conflict.

use std::collections::{HashMap, VecDeque};

use detector::Call;
use ingest::decode::{ContentDigest, EventKey, event_key};

/// Ids remembered, about 100 bytes each; past it the oldest are forgotten and would be scored again.
const SEEN_MAX: usize = 10_000_000;

/// What a record is, given those before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sight {
    New,
    Duplicate,
    Conflict,
}

#[derive(Default)]
pub(super) struct Seen {
    digests: HashMap<EventKey, ContentDigest>,
    order: VecDeque<EventKey>,
}

impl Seen {
    pub(super) fn look(&mut self, call: &Call<'_>, digest: &ContentDigest) -> Sight {
        let key = event_key(&call.event_id);
        match self.digests.get(&key) {
            Some(known) if known == digest => return Sight::Duplicate,
            Some(_) => return Sight::Conflict,
            None => {}
        }
        if self.order.len() >= SEEN_MAX
            && let Some(oldest) = self.order.pop_front()
        {
            self.digests.remove(&oldest);
        }
        self.digests.insert(key, *digest);
        self.order.push_back(key);
        Sight::New
    }
}
