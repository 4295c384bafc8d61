//! Calls that are said again count once: after a kill, and after a topic was wound back.

use std::collections::VecDeque;
use std::sync::Arc;

use detector::Position;
use proptest::prelude::*;

use super::*;
use crate::agent::CaseId;
use crate::lifecycle::Input;
use crate::revoker::Heard;
use crate::standing::{Challenge, Standing};
use crate::testing::{at, damning, open_ungoverned, record};

const CALLS: u32 = 160;
/// More than ten calls of each agent, whose memory may be so far ahead of the record; what it gets is written down each time.
const LAG: usize = 40;
const AGENTS: [&str; 3] = ["watched", "reinstated", "asked"];

/// The `n`th call as it lies in one of two partitions, several to a message.
fn said(n: u32, kind: u8, step_s: u32) -> Heard {
    let (ts, agent) = (at((n * step_s).into()), AGENTS[n as usize % 3]);
    // Messages of six calls, which have one time.
    let message = n / 6;
    let position = Position {
        partition: format!("calls/{}", message % 2),
        offset: (message / 2).into(),
        line: (n % 6 + 1).into(),
        taken_in: at((message * 6 * step_s).into()),
    };
    // One is a little strange now and then, and calm at last; one is asked about early on, and what it gets is counted.
    let mut verdict = match (agent, kind) {
        ("asked", _) if n < 4 => record(n + 1, ts, agent, 9.0),
        ("asked", 0..8) => return Heard::Got(super::agent(agent), 70_000, position),
        ("watched", 0) if n < CALLS / 2 => record(n + 1, ts, agent, 4.0),
        ("watched", 1) if n < CALLS / 2 => record(n + 1, ts, agent, 3.5),
        _ => record(n + 1, ts, agent, -3.0),
    };
    verdict.beside.position = Some(position);
    Heard::Verdict(Arc::new(verdict))
}

fn hear(revoker: &Revoker, story: &[Heard]) {
    for next in story {
        let now = match next {
            Heard::Verdict(record) => record.verdict.ts,
            Heard::Got(_, _, at) => at.taken_in,
            Heard::TaskEnded { .. } => unreachable!("none ends"),
        };
        revoker.hear(&mut VecDeque::from([next.clone()]), now, |_, _| ()).unwrap();
    }
}

/// One agent was revoked and is given its access back before it calls.
fn begun() -> (tempfile::TempDir, Revoker) {
    let folder = tempfile::tempdir().unwrap();
    let revoker = open_ungoverned(folder.path());
    handle(&revoker, &damning(100_000, at(-100), "reinstated"));
    let reinstate = Input::Reinstate { by: "ann".to_owned(), reason: "a test".to_owned(), at: at(-50) };
    revoker.inner.write(|w| w.apply(&agent("reinstated"), reinstate, at(-50))).unwrap();
    (folder, revoker)
}

fn killed(folder: &Path, revoker: Revoker) -> Revoker {
    drop(revoker);
    open_ungoverned(folder)
}

/// Where each stands and all that is remembered of it, but for names that are drawn.
fn standings(revoker: &Revoker) -> Vec<Standing> {
    let live = |name: &&str| revoker.standing(Some("https://idp.example"), name);
    let drawn = |standing| match standing {
        Standing::Challenged(c) => Standing::Challenged(Challenge { case: CaseId::new(0), ..c }),
        other => other,
    };
    AGENTS.iter().map(live).map(drawn).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn what_is_said_again_counts_once_and_what_memory_lost_counts(
        kinds in prop::collection::vec(0_u8..20, CALLS as usize),
        step_s in 5_u32..900,
        kills in prop::collection::vec((0.0..1.0_f64, 0.0..1.0_f64), 0..4),
    ) {
        let story: Vec<Heard> = (0..).zip(kinds).map(|(n, kind)| said(n, kind, step_s)).collect();
        let (once, undisturbed) = begun();
        hear(&undisturbed, &story);

        let (folder, mut revoker) = begun();
        let mut from = 0;
        for (dies, back) in kills {
            let end = from + ((story.len() - from) as f64 * dies) as usize;
            hear(&revoker, &story[from..end]);
            revoker = killed(folder.path(), revoker);
            // It is read again from before what a memory may be ahead of the record, or from anywhere before that.
            from = (end.saturating_sub(LAG) as f64 * back) as usize;
        }
        hear(&revoker, &story[from..]);
        prop_assert_eq!(standings(&revoker), standings(&undisturbed));
        prop_assert_eq!(counts(folder.path()), counts(once.path()));

        // Wound back by hand, to processes that remember none of it.
        revoker = killed(folder.path(), revoker);
        for _ in 0..2 {
            hear(&revoker, &story);
            prop_assert_eq!(standings(&revoker), standings(&undisturbed));
            prop_assert_eq!(counts(folder.path()), counts(once.path()));
        }
    }
}
