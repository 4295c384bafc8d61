//! Which tokens, sessions, instances and keys of an agent called normally of late, beside one that does not.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use detector::Timestamp;

use crate::part::{KINDS, Marks, PartMark};

/// Who called within this before is there still.
const RECENT: Duration = Duration::from_mins(10);
/// Locks, so that threads rarely wait for each other,
const SHARDS: usize = 16;
/// and agents under each. One more and those of the shard are forgotten, which has an agent ended whole at worst.
const AGENTS_MAX: usize = 4_096;

/// The two that called last, of each kind: one of them is another than any third.
type Recent = [[Option<(PartMark, Timestamp)>; 2]; KINDS];

/// Kept in memory alone. After a restart nobody is known to have company, and is ended whole.
#[derive(Debug, Default)]
pub(super) struct Company {
    shards: [Mutex<HashMap<u64, Recent>>; SHARDS],
}

impl Company {
    /// An attested agent made a normal call.
    pub(super) fn saw(&self, issuer: Option<&str>, agent_id: &str, parts: &Marks, ts: Timestamp) {
        if parts.iter().all(Option::is_none) {
            return;
        }
        let (mut shard, key) = self.shard(issuer, agent_id);
        if shard.len() >= AGENTS_MAX && !shard.contains_key(&key) {
            shard.clear();
        }
        for (recent, part) in shard.entry(key).or_default().iter_mut().zip(parts) {
            let Some(part) = *part else { continue };
            let known = |slot: &Option<(PartMark, Timestamp)>| slot.is_some_and(|(known, _)| known == part);
            let place = recent.iter().position(known);
            let oldest = usize::from(recent[1].map(|(_, at)| at) < recent[0].map(|(_, at)| at));
            recent[place.unwrap_or(oldest)] = Some((part, ts));
        }
    }

    /// Whether, by kind, another part of the agent than the call's own made a normal call of late.
    pub(super) fn others(
        &self,
        issuer: Option<&str>,
        agent_id: &str,
        parts: &Marks,
        ts: Timestamp,
    ) -> [bool; KINDS] {
        let (shard, key) = self.shard(issuer, agent_id);
        let Some(recent) = shard.get(&key) else { return [false; KINDS] };
        let mut recent = recent.iter();
        parts.map(|own| {
            let slots = recent.next().into_iter().flatten().flatten();
            slots.into_iter().any(|(part, at)| {
                own.is_some_and(|own| own != *part) && ts.since(*at).max(at.since(ts)) < RECENT
            })
        })
    }

    fn shard(&self, issuer: Option<&str>, agent_id: &str) -> (MutexGuard<'_, HashMap<u64, Recent>>, u64) {
        let mut hasher = DefaultHasher::new();
        (issuer.unwrap_or_default(), agent_id).hash(&mut hasher);
        let key = hasher.finish();
        let shard = &self.shards[(key % SHARDS as u64) as usize];
        (shard.lock().unwrap_or_else(PoisonError::into_inner), key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::at;

    #[test]
    fn company_is_another_that_called_of_late() {
        let company = Company::default();
        let session = |name: &str| [None, Some(PartMark::of(name)), None, None];
        let others = |name, s| company.others(None, "a", &session(name), at(s))[1];
        company.saw(None, "a", &session("one"), at(0));
        assert_eq!((others("one", 1), others("two", 1)), (false, true));
        for (s, name) in (0..).zip(["two", "three", "two"]) {
            company.saw(None, "a", &session(name), at(s));
        }
        assert!(others("two", 5) && others("three", 5) && others("four", 5));
        assert!(!others("four", 700) && !company.others(None, "b", &session("four"), at(5))[1]);
        for n in 0..2 * AGENTS_MAX * SHARDS {
            company.saw(None, &n.to_string(), &session("s"), at(0));
        }
        assert!(company.shards.iter().all(|shard| shard.lock().unwrap().len() <= AGENTS_MAX));
    }
}
