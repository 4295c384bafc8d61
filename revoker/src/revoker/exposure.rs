//! How long it takes from the evidence against an agent to the last call that somebody still accepted of it: a metric, so this
//! process's alone and gone with it; a case tells its own (`tocsin case show`).

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use detector::Timestamp;

use crate::agent::AgentKey;
use crate::standing::Standing;

/// After so long without a call an agent whose access has ended has made its last.
const QUIET: Duration = Duration::from_mins(10);
/// Agents measured at once.
const OPEN_MAX: usize = 65_536;

/// Agents whose access has ended lately.
#[derive(Debug, Default)]
pub(super) struct Exposures(Mutex<HashMap<AgentKey, Open>>);

#[derive(Debug)]
struct Open {
    evidence: Timestamp,
    /// The last call that was accepted: that of the evidence, or one after the end.
    last: Timestamp,
    heard: Timestamp,
}

impl Exposures {
    /// A standing has changed; `ts` is when the call was made that it changed by, if one was.
    pub(super) fn changed(
        &self,
        agent: &AgentKey,
        (from, to): (&Standing, &Standing),
        ts: Option<Timestamp>,
        now: Timestamp,
    ) {
        let (before, after) = (from.acting(), to.acting());
        let Some(acting) = after.filter(|_| before != after) else { return };
        let mut open = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if before.is_none() && open.len() < OPEN_MAX {
            let evidence = ts.or(Some(from.known().covers).filter(|covers| *covers > Timestamp::default()));
            let evidence = evidence.unwrap_or(now);
            open.insert(agent.clone(), Open { evidence, last: evidence, heard: now });
        } else if let Some(open) = open.get_mut(agent)
            && before.is_some_and(|before| before.calls < acting.calls)
        {
            (open.last, open.heard) = (open.last.max(ts.unwrap_or(now)), now);
        }
    }

    /// Those that have been quiet for long enough; seconds each.
    pub(super) fn take_quiet(&self, now: Timestamp) -> Vec<f64> {
        let mut open = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let quiet = open.extract_if(|_, open| now.since(open.heard) >= QUIET);
        quiet.map(|(_, open)| open.last.since(open.evidence).as_secs_f64()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{at, damning, open_ungoverned, record};

    #[tokio::test]
    async fn it_is_measured_once_from_the_evidence_to_the_last_accepted_call() {
        let folder = tempfile::tempdir().unwrap();
        let revoker = open_ungoverned(folder.path());
        let quiet = |s| revoker.inner.exposures.take_quiet(at(s));
        revoker.handle(&damning(1, at(0), "quiet"), at(1)).unwrap();
        revoker.handle(&damning(2, at(0), "acting"), at(1)).unwrap();
        // The second is not told, for so soon after the first it is no news.
        for (n, s) in [(3, 60), (4, 61)] {
            revoker.handle(&record(n, at(s), "acting", 0.0), at(s)).unwrap();
        }
        revoker
            .suspend(AgentKey::new(None, "asked"), "o".into(), "r".into(), at(9_000), at(2))
            .await
            .unwrap();
        assert_eq!(quiet(599), [0.0; 0]);
        assert_eq!(quiet(602), [0.0, 0.0]);
        assert_eq!((quiet(661), quiet(9_000)), (vec![61.0], vec![]));
    }
}
