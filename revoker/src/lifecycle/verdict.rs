//! What a verdict does to a standing.

use std::time::Duration;

use detector::{Kind, MicroBits, Timestamp};

use super::{Cause, release, revoke_now, supersede};
use crate::agent::CaseId;
use crate::config::WhileAsked;
use crate::effect::{AlertAction, Effect, Event};
use crate::part::PartKind;
use crate::policy::envelope::{Touched, Used};
use crate::policy::{Blame, Demand, Evidence, Gone, Policy};
use crate::restraint::{Answer, Restraint, Would};
use crate::standing::{
    Acting, Answered, Calm, Challenge, Meanwhile, Phase, Probation, Retirement, Revocation, Standing,
    Suspension, Watch,
};

/// An agent that goes on acting is told of again after a quarter of the time since its access ended, within these: an alert
/// a call would bury the first one, and each telling has the next target of the escalation list tried.
const STILL_ACTING_EVERY: (Duration, Duration) = (Duration::from_secs(2), Duration::from_mins(1));

/// One verdict on its way through a standing.
pub(super) struct Judge<'a> {
    pub(super) evidence: &'a Evidence,
    pub(super) fresh: CaseId,
    pub(super) now: Timestamp,
    pub(super) policy: &'a Policy,
    pub(super) effects: &'a mut Vec<Effect>,
}

impl Judge<'_> {
    pub(super) fn judge(mut self, standing: Standing) -> Standing {
        if self.evidence.kind == Kind::Silence && self.evidence.level < self.policy.budgets().watch() {
            // No call, so no step towards trust either; but who was told of a silence is told that it was none.
            if matches!(standing, Standing::Watched(_)) {
                self.alert(AlertAction::Amend, Would::default());
            }
            return standing;
        }
        match self.evidence.gone {
            Some(Gone::Idle) => return self.refused(standing),
            Some(Gone::Acts { since, .. }) => {
                let exposure_s = self.evidence.ts.since(since).as_secs();
                if standing.acting().is_none() {
                    self.effects.push(Effect::Publish(Event::StillActing { exposure_s, calls: 1 }));
                }
            }
            None => {}
        }
        match standing {
            Standing::Trusted => self.trusted(),
            Standing::Watched(w) => self.watched(w),
            Standing::Challenged(c) => self.challenged(c),
            Standing::Probation(p) => self.probation(p),
            Standing::Suspended(s) => self.suspended(s),
            Standing::Revoked(r) => self.revoked(r),
            Standing::Retired(r) => self.retired(r),
        }
    }

    /// A part whose access has ended asks, or had begun before; no act, and no evidence against the others. While it does the agent
    /// stays watched.
    fn refused(&mut self, standing: Standing) -> Standing {
        let answered = |answered: Answered| answered.after(&Evidence { admitted: true, ..*self.evidence });
        match standing {
            Standing::Watched(w) => {
                let after_part = w.after_part.map(answered);
                Standing::Watched(Watch { calm: self.restless(), after_part, ..w })
            }
            Standing::Probation(p) => Standing::Probation(Probation { answered: answered(p.answered), ..p }),
            other => other,
        }
    }

    fn trusted(&mut self) -> Standing {
        let demand = self.policy.demand(self.evidence, MicroBits::ZERO);
        let answer = self.policy.answer(demand);
        let watch = Watch {
            calm: self.restless(),
            would: Would::default(),
            rule_told: self.evidence.rule.is_some(),
            touched: self.touched(Touched::default()),
            blame: Blame::default().with(self.evidence),
            after_part: None,
        };
        match answer.does {
            Demand::None => Standing::Trusted,
            Demand::Watch => match answer.withheld {
                None => {
                    self.alert(AlertAction::Watch, Would::default());
                    Standing::Watched(watch)
                }
                Some(_) => {
                    Standing::Watched(Watch { would: self.withhold(watch.would, demand, answer), ..watch })
                }
            },
            Demand::StepUp | Demand::Revoke => self.escalate(demand, answer, Standing::Trusted),
        }
    }

    fn watched(&mut self, w: Watch) -> Standing {
        let demand = match w.after_part {
            None => self.policy.demand(self.evidence, MicroBits::ZERO),
            // Its level was of the part that ended; a rule that is broken still was answered for by nobody.
            Some(answered) => self.policy.demand_after(self.evidence, answered.bits(self.evidence)),
        };
        let answer = self.policy.answer(demand);
        let settings = self.policy.config();
        let normal = self.policy.demand(self.evidence, MicroBits::ZERO) == Demand::None;
        let w = Watch { after_part: w.after_part.map(|answered| answered.after(self.evidence)), ..w };
        let touches = demand != Demand::None || (!normal && self.evidence.is_evident());
        let w = if touches {
            Watch { touched: self.touched(w.touched), blame: w.blame.with(self.evidence), ..w }
        } else {
            w
        };
        match answer.does {
            Demand::None if !normal => Standing::Watched(w),
            Demand::None => {
                let (calls, time) = (settings.watch_calls.get(), settings.watch_s.duration());
                match self.calmer(w.calm, calls, time) {
                    Some(calm) => Standing::Watched(Watch { calm, ..w }),
                    None => Standing::Trusted,
                }
            }
            Demand::Watch if answer.withheld.is_none() => {
                let rule_told = self.tell_rule(self.evidence, w.rule_told);
                Standing::Watched(Watch { calm: self.restless(), rule_told, ..w })
            }
            Demand::Watch => {
                let would = self.withhold(w.would, demand, answer);
                Standing::Watched(Watch { calm: self.restless(), would, ..w })
            }
            Demand::StepUp | Demand::Revoke => self.escalate(demand, answer, Standing::Watched(w)),
        }
    }

    fn probation(&mut self, p: Probation) -> Standing {
        if self.evidence.kind == Kind::Call && p.answered.holds_for(self.evidence) {
            return Standing::Probation(Probation { answered: self.set_aside(p.answered), ..p });
        }
        let unanswered = p.answered.unanswered(self.evidence);
        let demand = self.policy.demand_on_probation(&unanswered, p.answered.bits(self.evidence), p.approved);
        let answer = self.policy.answer(demand);
        // What a human answered for is no relapse, but it is not a normal call either.
        let normal = self.policy.demand(self.evidence, MicroBits::ZERO) == Demand::None;
        let settings = self.policy.config();
        let p = Probation { answered: p.answered.after(self.evidence), ..p };
        match answer.does {
            Demand::None if normal => {
                let (calls, time) = (settings.probation_calls.get(), settings.probation_s.duration());
                match self.calmer(p.calm, calls, time) {
                    Some(calm) => Standing::Probation(Probation { calm, ..p }),
                    None => Standing::Trusted,
                }
            }
            Demand::None => Standing::Probation(p),
            Demand::Watch if answer.withheld.is_none() => {
                let rule_told = self.tell_rule(&unanswered, p.rule_told);
                Standing::Probation(Probation { calm: self.restless(), rule_told, ..p })
            }
            Demand::Watch => {
                let would = self.withhold(p.would, demand, answer);
                Standing::Probation(Probation { calm: self.restless(), would, ..p })
            }
            Demand::StepUp | Demand::Revoke => self.escalate(demand, answer, Standing::Probation(p)),
        }
    }

    fn challenged(&mut self, c: Challenge) -> Standing {
        if self.evidence.kind == Kind::Call && c.answered.holds_for(self.evidence) {
            let (peak, covers) = self.grown(c.peak, c.covers);
            return Standing::Challenged(Challenge {
                peak,
                covers,
                answered: self.set_aside(c.answered),
                ..c
            });
        }
        let c = Challenge { meanwhile: self.meanwhile(c.meanwhile), ..c };
        let unanswered = c.answered.unanswered(self.evidence);
        let demand = self.policy.demand(&unanswered, c.answered.bits(self.evidence));
        let answer = self.policy.answer(demand);
        let (peak, covers) = self.grown(c.peak, c.covers);
        let attested = c.attested || self.attests(demand);
        let is_let_through = c.meanwhile == Meanwhile::Waits && self.policy.lets_through(&c, self.evidence);
        let touched = if unanswered.is_evident() { self.touched(c.touched) } else { c.touched };
        let blame = c.blame.filter(|_| c.phase != Phase::Denied).map(|blame| blame.with(self.evidence));
        let answered = c.answered.after(self.evidence);
        let c = Challenge { peak, covers, attested, answered, touched, blame, ..c };
        if answer.does == Demand::Revoke {
            return self.escalate(demand, answer, Standing::Challenged(c));
        }
        if is_let_through {
            return self.let_through(c);
        }
        let c = if self.evidence.kind == Kind::Call { had(c, self.evidence.bytes) } else { c };
        // An agent whose question was denied or never answered may ask again once that question's time is over;
        // else it would wait for ever.
        let asks = self.evidence.kind == Kind::Request || answer.does == Demand::StepUp;
        if asks && c.phase != Phase::Pending && self.now >= c.until {
            let would = stronger(c.would, demand, answer);
            let asked = self.evidence.place;
            return self.challenge(Challenge { would, asked, touched: self.touched(c.touched), ..c });
        }
        let would = if demand == Demand::Revoke { self.withhold(c.would, demand, answer) } else { c.would };
        Standing::Challenged(Challenge { would, ..c })
    }

    /// A call from before a person gave the agent its access back, read late: what it asks for is told, and not done.
    fn set_aside(&mut self, answered: Answered) -> Answered {
        let seen = answered.as_seen();
        let demand = self.policy.demand_after(&seen.unanswered(self.evidence), seen.bits(self.evidence));
        let before = answered.set_aside.unwrap_or(Demand::Watch);
        if demand > before {
            self.alert(
                AlertAction::Watch,
                Would { demand: Some(demand), withheld: Some(Restraint::Answered) },
            );
        }
        Answered { set_aside: Some(demand.max(before)), ..answered.after(self.evidence) }
    }

    fn suspended(&mut self, s: Suspension) -> Standing {
        let (peak, covers) = self.grown(s.peak, s.covers);
        let demand = self.policy.demand(self.evidence, MicroBits::ZERO);
        let answer = self.policy.answer(demand);
        let s = Suspension { peak, covers, acting: self.still_acting(s.since, s.acting), ..s };
        if answer.does == Demand::Revoke {
            return self.escalate(demand, answer, Standing::Suspended(s));
        }
        Standing::Suspended(s)
    }

    fn revoked(&mut self, r: Revocation) -> Standing {
        let (peak, covers) = self.grown(r.peak, r.covers);
        let acting = self.still_acting(r.not_before, r.acting);
        Standing::Revoked(Revocation { peak, covers, acting, ..r })
    }

    fn retired(&mut self, r: Retirement) -> Standing {
        Standing::Retired(Retirement { acting: self.still_acting(r.since, r.acting), ..r })
    }

    /// What an agent whose access has ended while a human is asked did after.
    fn meanwhile(&mut self, meanwhile: Meanwhile) -> Meanwhile {
        match meanwhile {
            Meanwhile::Suspended { since, acting } => {
                Meanwhile::Suspended { since, acting: self.still_acting(since, acting) }
            }
            other => other,
        }
    }

    /// A request is refused at the gate and so is no act; a call that was logged was accepted by somebody. Beyond what clocks may differ by
    /// it was made after.
    fn still_acting(&mut self, ended: Timestamp, mut acting: Acting) -> Acting {
        let tolerance = self.policy.config().clock_tolerance_s.duration();
        if self.evidence.kind != Kind::Call || self.evidence.ts <= ended + tolerance {
            return acting;
        }
        acting.calls = acting.calls.saturating_add(1);
        let exposure = self.evidence.ts.since(ended);
        let every = (exposure / 4).clamp(STILL_ACTING_EVERY.0, STILL_ACTING_EVERY.1);
        if acting.told.is_none_or(|told| self.now.since(told) >= every) {
            acting.told = Some(self.now);
            let exposure_s = exposure.as_secs();
            self.effects.push(Effect::Publish(Event::StillActing { exposure_s, calls: acting.calls }));
            self.alert(AlertAction::StillActing, Would::default());
        }
        acting
    }

    fn escalate(&mut self, demand: Demand, answer: Answer, from: Standing) -> Standing {
        if answer.does == Demand::Revoke {
            return self.end(from);
        }
        let (answered, touched, blame) = match from {
            Standing::Probation(p) => (p.answered, Touched::default(), None),
            Standing::Watched(w) => (w.after_part.unwrap_or_default(), w.touched, self.blame(&from)),
            _ => (Answered::default(), Touched::default(), self.blame(&from)),
        };
        supersede(&from, self.effects);
        self.challenge(Challenge {
            case: self.fresh,
            phase: Phase::Pending,
            until: self.now,
            peak: self.evidence.level,
            covers: self.evidence.ts.min(self.now),
            attested: self.attests(demand),
            answered,
            would: stronger(Would::default(), demand, answer),
            asked: self.evidence.place,
            touched: self.touched(touched),
            used: Used::default(),
            blame,
            meanwhile: Meanwhile::Waits,
        })
    }

    /// Whose the evidence is by now; none where nothing less than the agent is to be ended: after a part of it was, or once a person
    /// was asked and doubted.
    fn blame(&self, from: &Standing) -> Option<Blame> {
        match from {
            Standing::Trusted => Some(Blame::default().with(self.evidence)),
            Standing::Watched(w) => Some(w.blame).filter(|_| w.after_part.is_none()),
            Standing::Challenged(c) => c.blame,
            _ => None,
        }
    }

    /// Access ends: of the narrowest subject that the evidence covers.
    fn end(&mut self, from: Standing) -> Standing {
        let blame = self.blame(&from).filter(|_| self.evidence.gone.is_none());
        let narrowest = blame.and_then(|blame| self.policy.narrowest(&blame, self.evidence));
        if let Some((kind, true)) = narrowest {
            return self.end_part(kind, &from);
        }
        let revoked = revoke_now(&from, Cause::Evidence, self.now, self.effects);
        if let Some(Effect::Publish(Event::Revoked { in_place_of, .. })) = self.effects.last_mut() {
            *in_place_of = narrowest.map(|(kind, _)| kind);
        }
        self.alert(AlertAction::Revoke, Would::default());
        // The evidence that ends access is known to whoever reinstates.
        match revoked {
            Standing::Revoked(r) => {
                let (peak, covers) = self.grown(r.peak, r.covers);
                Standing::Revoked(Revocation { peak, covers, ..r })
            }
            other => other,
        }
    }

    fn end_part(&mut self, kind: PartKind, from: &Standing) -> Standing {
        supersede(from, self.effects);
        release(from, self.effects);
        self.effects.push(Effect::EndPart { kind, not_before: self.now });
        self.alert(AlertAction::Revoke, Would::default());
        let known = from.known();
        let (level, covers) = self.grown(known.level, known.covers);
        // What the part did is no evidence against the rest, but whoever comes by another part is asked before it does that again.
        let touched = match from {
            Standing::Watched(w) => w.touched,
            Standing::Challenged(c) => c.touched,
            _ => Touched::default(),
        };
        Standing::Watched(Watch {
            calm: self.restless(),
            would: Would::default(),
            rule_told: false,
            touched: self.touched(touched),
            blame: Blame::default(),
            after_part: Some(Answered { level, covers, left: level, ..Answered::default() }),
        })
    }

    /// Within the envelope: it goes on although the question stands.
    fn let_through(&mut self, c: Challenge) -> Standing {
        let used = Used { calls: c.used.calls.saturating_add(1), ..c.used };
        let left = self.policy.config().envelope.left(used);
        self.effects.push(Effect::LetThrough { left });
        Standing::Challenged(Challenge { used, ..c })
    }

    fn touched(&self, before: Touched) -> Touched {
        before.with(self.evidence.place)
    }

    /// A new question on what is known.
    fn challenge(&mut self, known: Challenge) -> Standing {
        let (case, until) = (self.fresh, self.now + self.policy.config().challenge_s.duration());
        self.effects.push(Effect::OpenCase { case, until });
        let used = Used::default();
        let envelope = self.policy.config().envelope.left(used);
        let wanted = self.policy.while_asked(self.evidence);
        let meanwhile = match known.meanwhile {
            suspended @ Meanwhile::Suspended { .. } => suspended,
            _ if wanted == WhileAsked::Suspend && self.may_suspend() => {
                Meanwhile::Suspended { since: self.now, acting: Acting::default() }
            }
            _ if wanted == WhileAsked::Observe => Meanwhile::GoesOn,
            _ => Meanwhile::Waits,
        };
        let while_asked = meanwhile.in_force();
        self.effects.push(Effect::Publish(Event::Challenged { case, until, envelope, while_asked }));
        if while_asked == WhileAsked::Suspend && known.meanwhile != meanwhile {
            let not_before = self.now;
            let suspended = Event::Suspended { not_before, until: None };
            self.effects.extend([Effect::List { not_before }, Effect::Publish(suspended)]);
        }
        self.alert(AlertAction::Challenge, known.would);
        Standing::Challenged(Challenge { case, until, used, meanwhile, phase: Phase::Pending, ..known })
    }

    /// Access may end without a person, as for a revocation.
    fn may_suspend(&self) -> bool {
        self.evidence.attestation.allows_automatic_revocation()
            && self.policy.withholds(Demand::Revoke).is_none()
    }

    /// Told once for each stronger answer, not once a call.
    fn withhold(&mut self, before: Would, demand: Demand, answer: Answer) -> Would {
        let would = stronger(before, demand, answer);
        if would.demand != before.demand {
            self.alert(AlertAction::Watch, would);
        }
        would
    }

    /// Where a broken rule asks for no more than an alert, there is one while the standing lasts and not one a call.
    fn tell_rule(&mut self, evidence: &Evidence, told: bool) -> bool {
        if evidence.rule.is_some() && !told {
            self.alert(AlertAction::Watch, Would::default());
        }
        told || evidence.rule.is_some()
    }

    fn alert(&mut self, action: AlertAction, would: Would) {
        self.effects.push(Effect::Alert { action, would });
    }

    fn attests(&self, demand: Demand) -> bool {
        // Nor may a question that stands for what is withheld for good end in a revocation.
        let for_good =
            matches!(self.policy.withholds(Demand::Revoke), Some(Restraint::Rule | Restraint::Cohort));
        demand >= Demand::StepUp && !for_good && self.evidence.attestation.allows_automatic_revocation()
    }

    fn grown(&self, peak: MicroBits, covers: Timestamp) -> (MicroBits, Timestamp) {
        (peak.max(self.evidence.level), covers.max(self.evidence.ts.min(self.now)))
    }

    fn restless(&self) -> Calm {
        Calm { calls: 0, since: self.now }
    }

    /// One normal call more; `None` once both the calls and the time are there.
    fn calmer(&self, calm: Calm, calls: u32, time: Duration) -> Option<Calm> {
        let seen = calm.calls.saturating_add(1).min(calls);
        (seen < calls || self.now.since(calm.since) < time).then_some(Calm { calls: seen, ..calm })
    }
}

/// A challenged agent got so much more, by whatever call.
pub(super) fn got(standing: Standing, bytes: u64) -> Standing {
    match standing {
        Standing::Challenged(c) => Standing::Challenged(had(c, bytes)),
        other => other,
    }
}

fn had(c: Challenge, bytes: u64) -> Challenge {
    Challenge { used: Used { bytes: c.used.bytes.saturating_add(bytes), ..c.used }, ..c }
}

/// What is withheld by now: the first that withheld the strongest.
fn stronger(before: Would, demand: Demand, answer: Answer) -> Would {
    if answer.withheld.is_none() || before.demand.is_some_and(|b| b >= demand) {
        return before;
    }
    Would { demand: Some(demand), withheld: answer.withheld }
}
