//! Every story of a few beats, under each kind of restraint: what must never happen does not, and from everywhere there is a way
//! back. All beats there are in short stories, the few that matter most in longer ones.

use std::collections::HashSet;
use std::fmt::Write;

use super::super::{Limits, governed};
use super::*;
use crate::governor::{Act, Action, Governor, GovernorConfig};
use crate::policy::Demand;
use crate::restraint::Restraint;
use crate::testing::prove;

/// Of stories of all beats, and of the few: as `make test` tells them, and `make prove`.
const DEPTH: (usize, usize) = (3, 4);
const FEW_DEPTH: (usize, usize) = (4, 6);

fn verdict_of(bits: f64, attested: bool, request: bool) -> What {
    What::Verdict { bits, added: 0.0, two: true, attested, request, admitted: false, late_s: 0 }
}

/// What may happen next, and how long after.
fn beats() -> Vec<(What, u64)> {
    vec![
        (verdict_of(0.0, true, false), 300),
        (verdict_of(3.0, true, false), 1),
        (verdict_of(9.0, true, false), 1),
        (verdict_of(60.0, true, false), 1),
        (verdict_of(60.0, false, true), 1),
        (verdict_of(0.0, true, true), 950),
        (What::Breaks { attested: true, began_s: 0 }, 1),
        (What::Time, 4_000),
        (What::Approve { right: true, seen: 60.0 }, 1),
        (What::Deny { right: true }, 1),
        (What::Attack { right: true }, 1),
        (What::Revoke, 1),
        (What::Suspend { for_s: 60 }, 1),
        (What::Retire, 1),
        (What::Reinstate, 1),
        (hijacks(1), 1),
        (hijacks(2), 1),
        (What::Late { bits: 60.0, added: 9.0, late_s: 30 }, 1),
        (What::Ended { acts: true, bits: 20.0, added: 0.0 }, 60),
        (What::Ended { acts: false, bits: 20.0, added: 9.0 }, 60),
        (What::Reads { place: 0, added: 0.0, bytes: 400 }, 1),
        (What::Reads { place: 1, added: 1.0, bytes: 0 }, 1),
        (What::Got { bytes: 700 }, 1),
        (What::Over, 1),
        (What::Flood, 1),
    ]
}

/// Evidence of one session, while others of the agent call as ever.
fn hijacks(session: u8) -> What {
    What::Session { name: session, bits: 20.0, added: 20.0, company: true }
}

fn few_beats() -> Vec<(What, u64)> {
    vec![
        (verdict_of(0.0, true, false), 300),
        (verdict_of(9.0, true, false), 1),
        (hijacks(1), 1),
        (What::Reads { place: 0, added: 0.0, bytes: 400 }, 1),
        (What::Over, 1),
        (What::Time, 4_000),
        (What::Approve { right: true, seen: 60.0 }, 1),
        (What::Attack { right: true }, 1),
        (What::Reinstate, 1),
        (What::Late { bits: 60.0, added: 9.0, late_s: 30 }, 1),
    ]
}

/// A story so far.
#[derive(Clone)]
struct Path {
    standing: Standing,
    now: Timestamp,
    governor: Governor,
    opened: HashSet<CaseId>,
    closed: HashSet<CaseId>,
    /// Calls that went on since the last question was asked.
    let_through: u32,
    told: String,
    /// When a person last gave it its access back.
    reinstated: Option<Timestamp>,
    /// Whether lists of gateways name it.
    listed: bool,
}

impl Path {
    fn begin(governor: Governor) -> Self {
        let (opened, closed) = (HashSet::new(), HashSet::new());
        Self {
            standing: Standing::Trusted,
            now: at(0),
            governor,
            opened,
            closed,
            let_through: 0,
            told: String::new(),
            reinstated: None,
            listed: false,
        }
    }

    fn step(&mut self, n: usize, what: What, after_s: u64, policy: &Policy) -> Vec<Effect> {
        self.now = self.now + Duration::from_secs(after_s);
        let input = input(n, what, &self.standing, self.now);
        let before = self.standing;
        let mut limits = Limits { governor: &mut self.governor, group: None, agents: 0 };
        let (after, effects) = governed(&before, &input, self.now, policy, &mut limits);
        self.standing = after;
        write!(self.told, "{what:?} -> {}; ", after.name()).unwrap();
        self.check(&before, &input, &effects);
        effects
    }

    fn check(&mut self, before: &Standing, input: &Input, effects: &[Effect]) {
        let (after, told) = (&self.standing, &self.told);
        let by_person = input.is_by_person();
        if is_revoked(before) && !is_revoked(after) {
            assert!(matches!(input, Input::Reinstate { .. } | Input::Retire { .. }), "{told}");
        }
        if matches!(before, Standing::Retired(_)) {
            assert!(matches!(after, Standing::Retired(_)), "{told}");
        }
        if matches!(before, Standing::Challenged(c) if c.phase == crate::standing::Phase::Denied)
            && after.name() == "probation"
        {
            assert!(by_person, "{told}");
        }
        if let Input::Verdict { evidence, .. } = input
            && self.reinstated.zip(evidence.taken_in).is_some_and(|(back, taken_in)| taken_in < back)
            && matches!(before, Standing::Probation(_))
            && evidence.gone.is_none()
        {
            assert_eq!(after.name(), "probation", "what a person answered for is done to nobody: {told}");
        }
        if matches!(input, Input::Reinstate { .. }) && !effects.is_empty() {
            self.reinstated = Some(self.now);
        }
        let (after, told) = (&self.standing, &self.told);
        let revocations =
            effects.iter().filter(|e| matches!(e, Effect::Publish(Event::Revoked { .. }))).count();
        let ends = !is_revoked(before) && matches!(after, Standing::Revoked(_) | Standing::Retired(_));
        let ended = matches!(before, Standing::Retired(_));
        assert_eq!(revocations, usize::from(ends && !ended), "{told}");
        let parts = effects.iter().filter(|e| matches!(e, Effect::EndPart { .. })).count();
        let pruned = matches!(before, Standing::Watched(w) if w.after_part.is_some());
        assert!(parts + revocations <= 1 && !(pruned && parts > 0), "{told}");
        assert!(parts == 0 || matches!(input, Input::Verdict { .. }), "{told}");
        for effect in effects {
            match effect {
                Effect::List { .. } => self.listed = true,
                Effect::Unlist => self.listed = false,
                Effect::OpenCase { case, .. } => {
                    self.let_through = 0;
                    assert!(self.opened.insert(*case), "{told}");
                }
                Effect::LetThrough { .. } => {
                    self.let_through += 1;
                    assert!(self.let_through <= 3, "{told}");
                }
                Effect::CloseCase { case, .. } => {
                    assert!(self.opened.contains(case) && self.closed.insert(*case), "{told}");
                }
                _ => {}
            }
        }
        assert_eq!(
            self.listed,
            after.acting().is_some(),
            "who is listed has lost access, and nobody else: {told}"
        );
    }

    /// A person who means well, and an agent that behaves: the way back to trust.
    fn comes_back(mut self, policy: &Policy) {
        for n in 1_000..1_040 {
            let (what, after_s) = match self.standing {
                Standing::Trusted | Standing::Retired(_) => return,
                Standing::Challenged(c)
                    if c.phase == crate::standing::Phase::Pending && self.now < c.until =>
                {
                    (What::Approve { right: true, seen: 60.0 }, 0)
                }
                Standing::Challenged(_) => (verdict_of(0.0, true, true), 1_000),
                Standing::Revoked(_) => (What::Reinstate, 1),
                Standing::Suspended(_) => (What::Time, 100),
                Standing::Watched(_) | Standing::Probation(_) => (verdict_of(0.0, true, false), 300),
            };
            self.step(n, what, after_s, policy);
        }
        panic!("no way back: {}", self.told);
    }
}

fn explore(
    path: &Path,
    (depth, beats): (usize, &[(What, u64)]),
    policy: &Policy,
    also: &impl Fn(&Path, What, &[Effect]),
) -> usize {
    path.clone().comes_back(policy);
    if depth == 0 {
        return 1;
    }
    let mut seen = 1;
    for &(what, after_s) in beats {
        let mut next = path.clone();
        // A case is named after its beat, so that one that is opened twice is noticed.
        let effects = next.step(depth * 100 + 1, what, after_s, policy);
        also(&next, what, &effects);
        seen += explore(&next, (depth - 1, beats), policy, also);
    }
    seen
}

fn by_person(what: What) -> bool {
    !matches!(
        what,
        What::Verdict { .. }
            | What::Breaks { .. }
            | What::Reads { .. }
            | What::Session { .. }
            | What::Late { .. }
            | What::Ended { .. }
            | What::Got { .. }
            | What::Over
            | What::Time
    )
}

#[test]
fn every_short_story_ends_well_whoever_answers() {
    let mut stories = 0;
    for policy in [
        policy(OnExpiry::Stay),
        policy(OnExpiry::Revoke),
        policy_while(WhileAsked::Suspend, OnExpiry::Stay),
        policy_while(WhileAsked::Observe, OnExpiry::Revoke),
    ] {
        for (beats, depth) in [(beats(), DEPTH), (few_beats(), FEW_DEPTH)] {
            let depth = prove::scaled(depth.0, depth.1);
            let begin = Path::begin(Governor::default());
            let seen = explore(&begin, (depth, &beats), &policy, &|_, _, _| {});
            assert_eq!(seen, (0..=u32::try_from(depth).unwrap()).map(|n| beats.len().pow(n)).sum::<usize>());
            stories += seen;
        }
    }
    let goal = "in all: nothing leaves Revoked but by a person, no effect twice, a way back from everywhere";
    prove::row("stories of the lifecycle, all there are of a length", stories, goal, "every_short_story");
}

#[test]
fn where_the_caps_are_used_up_or_it_is_protected_nothing_automatic_ends_access_and_what_was_withheld_is_kept()
{
    let config =
        PolicyConfig { governor: GovernorConfig::default(), ..policy(OnExpiry::Revoke).config().clone() };
    let base = Policy::new(Budgets::default(), config);
    let mut full = Governor::default();
    let act = Act { action: Action::Revoke, excess: MicroBits::from_bits(100.0), group: None, agents: 0 };
    // Five a day are all that a fleet of none may lose.
    while full.admit(&act, &base.config().governor, at(0)).is_ok() {}
    let protected = base.clone().withholding(Demand::Revoke, Restraint::Protected);
    let suspends = policy_while(WhileAsked::Suspend, OnExpiry::Stay);
    let asked = suspends.clone().withholding(Demand::Revoke, Restraint::Protected);
    for (policy, governor) in [
        (base, full.clone()),
        (suspends, full),
        (protected, Governor::default()),
        (asked, Governor::default()),
    ] {
        explore(&Path::begin(governor), (DEPTH.0, &beats()), &policy, &|path, what, effects| {
            let ends = |e: &Effect| match e {
                Effect::Publish(event) => event.ends_access(),
                other => matches!(other, Effect::EndPart { .. }),
            };
            // A declared life ends under no cap.
            let is_declared = matches!(what, What::Over) && policy.withholds(Demand::Revoke).is_none();
            let ends = effects.iter().any(ends) && !is_declared;
            assert!(!ends || by_person(what), "{}", path.told);
            let damning = matches!(what, What::Verdict { bits, attested: true, .. } if bits > 50.0);
            if damning
                && matches!(path.standing, Standing::Challenged(c) if c.answered.level < MicroBits::from_bits(50.0))
            {
                assert_eq!(path.standing.would().demand, Some(Demand::Revoke), "{}", path.told);
            }
        });
    }
}
