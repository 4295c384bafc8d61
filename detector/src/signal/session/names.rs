//! What endpoints are called, for people: sessions know them by their keys.

use hashbrown::HashMap;
use rustc_hash::FxBuildHasher;
use serde::{Deserialize, Serialize};

use super::{SessionModel, Sessions, key_of};
use crate::profile::Key;
use crate::route::Routes;
use crate::stored::in_order;
use crate::{Call, Misfit, Part, Pattern};

/// Endpoints whose names one lane keeps; a fleet's model counts half as many. What comes later has none until others are forgotten.
const NAMES_MAX: usize = 8_192;
/// The most bytes of one; a longer one is not kept.
const NAME_BYTES_MAX: usize = 256;

/// Names by the keys of their endpoints.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Names(#[serde(serialize_with = "in_order")] HashMap<u64, Box<str>, FxBuildHasher>);

impl Names {
    /// The endpoint of a call, shown as `route` where that is known already. A name that is known costs a look and nothing else.
    pub(super) fn hear(&mut self, endpoint: u64, (call, route): (&Call<'_>, Option<&str>), routes: &Routes) {
        if self.0.len() >= NAMES_MAX || self.0.contains_key(&endpoint) {
            return;
        }
        let shown = route.map(str::to_owned).or_else(|| routes.shown(call));
        let name = shown.unwrap_or_else(|| call.endpoint.to_string());
        if name.len() <= NAME_BYTES_MAX {
            self.0.insert(endpoint, name.into());
        }
    }

    fn of(&self, endpoint: u64) -> Option<String> {
        self.0.get(&endpoint).map(ToString::to_string)
    }

    /// Where there is no room, forgets all that no session of the fleet held: whoever calls many new names takes the place of none
    /// that others know.
    pub(super) fn make_room(&mut self, fleet: &SessionModel) {
        if self.0.len() >= NAMES_MAX {
            self.0.retain(|endpoint, _| fleet.counts(*endpoint));
        }
    }
}

impl Sessions {
    /// Which call of the session that `call` is in goes with the others least, where `parts` say that one does and its name is known.
    pub(crate) fn misfit(&self, agent: Key, call: &Call<'_>, parts: &[Part]) -> Option<Misfit> {
        parts.iter().find(|part| part.pattern == Pattern::Unfitting)?;
        let live = self.live.get(&key_of(agent, call.identity.session_id.as_deref()))?;
        let after = live.pair.and_then(|pair| self.names.of(pair.first));
        Some(Misfit { call: self.names.of(live.raised_by)?, after })
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Closed, Seen};
    use super::*;
    use crate::Timestamp;

    #[test]
    fn many_new_names_take_no_place_of_those_that_sessions_held() {
        let mut fleet = SessionModel::default();
        let calls = [1, 2].map(|endpoint| Seen { endpoint, count: 1, harm: 1.0 });
        let (calls, path) = (calls.into(), [1, 2].into());
        fleet.learn(&Closed {
            calls,
            path,
            role: 0.0,
            chance: 1.0,
            may_be_odd: false,
            group: None,
            left: 1.0,
        });
        let (mut names, routes) = (Names::default(), Routes::default());
        let hear = |names: &mut Names, endpoint: u64| {
            let call = Call::new("", Timestamp::from_micros(0), "agent", format!("call-{endpoint}"));
            names.hear(endpoint, (&call, None), &routes);
        };
        for endpoint in 1..2 * NAMES_MAX as u64 {
            hear(&mut names, endpoint);
        }
        assert_eq!(names.0.len(), NAMES_MAX);
        names.make_room(&fleet);
        let kept = [1, 2, 3].map(|endpoint| names.of(endpoint));
        assert_eq!(kept, [Some("call-1".to_owned()), Some("call-2".to_owned()), None]);
        hear(&mut names, 3);
        assert_eq!(names.of(3).as_deref(), Some("call-3"));
        let long = Call::new("", Timestamp::from_micros(0), "agent", "c".repeat(NAME_BYTES_MAX + 1));
        names.hear(4, (&long, None), &routes);
        assert_eq!(names.of(4), None);
    }
}
