//! From evidence to a recurrence: how often a day *this* agent shows the like when nothing is wrong.
//!
//! A CUSUM's excursions above a level have an exponential tail. Its rate is 1 only where the model of the agent is
//! right, so it is estimated from the excursions the agent has made (peaks over threshold; volume-timing study §1, "POT
//! calibration"). The scale is integrated out under a gamma prior, which makes the tail a Lomax.

use libm::log2;
use serde::{Deserialize, Serialize};

use super::Strength;
use crate::stored::Stored;

/// Weight of the prior scale, in excursions (study: `a0`).
const PRIOR_EXCURSIONS: f64 = 20.0;
/// The scale before anything is known, and of an agent that is (study: `s0`).
const SCALE_YOUNG: f64 = 3.0;
const SCALE_SETTLED: f64 = 1.0;
/// What one excursion may teach, as a multiple of the threshold in force (study: `X = min(M, 1.5 thr) − u`).
const PEAK_MAX: f64 = 1.5;
/// However many small excursions an agent makes, its scale ends at this multiple of its peers' (study §7: widening by
/// excursions under the threshold is the attacker's way in).
const SCALE_OVER_PEERS_MAX: f64 = 3.0;
/// Excursions of one agent that its peers learn from: none teaches them more.
const TEACHES_MAX: f64 = 20.0;
/// Excursions of peers from which their scale replaces the schedule above.
const PEERS_MIN: f64 = 100.0;

/// Where excursions begin, in nats of evidence, and how the looks of one group come.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Group {
    /// An excursion begins above this and ends below half of it.
    pub(crate) threshold: f64,
    /// Days between two excursions of an agent that has never made one: what a threshold of evidence promises, e^threshold,
    /// in looks that do not depend on each other.
    pub(crate) never_days: f64,
    /// Groups that share the family's budget.
    pub(crate) groups: f64,
}

/// What the excursions of one group have been.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Tail<S> {
    excursions: S,
    /// Sum of how far the peaks stood above the threshold, and of its squares.
    excess: S,
    excess2: S,
    /// The highest of the present excursion; 0 outside one.
    peak: S,
}

/// What many agents' excursions have been; the prior of one of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct PeerTail {
    excursions: f64,
    excess: f64,
    excess2: f64,
}

impl PeerTail {
    /// Of nobody.
    #[cfg(test)]
    pub(crate) const NONE: Self = Self { excursions: 0.0, excess: 0.0, excess2: 0.0 };

    /// An excursion of some agent stood so far above the threshold.
    pub(crate) fn learn(&mut self, excess: f64) {
        self.excursions += 1.0;
        self.excess += excess;
        self.excess2 += excess * excess;
    }

    /// Takes up what others have learned, and leaves them nothing.
    pub(crate) fn take_up(&mut self, other: &mut Self) {
        let Self { excursions, excess, excess2 } = std::mem::take(other);
        self.excursions += excursions;
        self.excess += excess;
        self.excess2 += excess2;
    }

    /// What peers' excursions say the scale is; none before there are enough.
    fn scale(&self) -> Option<f64> {
        (self.excursions >= PEERS_MIN)
            .then(|| scale(SCALE_SETTLED, self.excursions, self.excess, self.excess2))
    }
}

/// The larger of the two estimates of an exponential's scale, by the first moment and by the ratio of the second to the
/// first, which hears the tail; both with the prior at its weight.
fn scale(prior: f64, n: f64, sum: f64, sum2: f64) -> f64 {
    let (a, first) = (PRIOR_EXCURSIONS + n, PRIOR_EXCURSIONS * prior + sum);
    (first / a).max((PRIOR_EXCURSIONS * prior * prior + sum2 / 2.0) / first)
}

/// How evidence of one group translates, at one moment.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Rule {
    threshold: f64,
    /// Shape and scale of the Lomax tail.
    shape: f64,
    scale: f64,
    /// Excursions a day, all groups of the family together.
    per_day: f64,
}

impl Rule {
    /// The same with a scale so many times as large; 1 changes nothing.
    pub(crate) fn widened(self, times: f64) -> Self {
        Self { scale: self.scale * times, ..self }
    }

    /// Bits above the threshold: −log2 of the share of excursions that reach so far.
    pub(crate) fn bits(&self, evidence: f64) -> f64 {
        let above = (evidence - self.threshold).max(0.0);
        self.shape * log2(1.0 + above / (self.shape * self.scale))
    }

    /// The same as a recurrence.
    pub(crate) fn strength(&self, evidence: f64) -> Strength {
        Strength::new(self.bits(evidence), self.per_day)
    }

    /// What is under the threshold and recurs so many times as often as what reaches it.
    pub(crate) fn under_threshold(&self, times: f64) -> Strength {
        Strength::new(0.0, self.per_day * times)
    }

    /// The evidence that recurs once in so many days.
    pub(crate) fn evidence_once_in(&self, days: f64) -> f64 {
        let looks = self.per_day * days;
        if looks <= 1.0 {
            return self.threshold;
        }
        self.threshold + self.shape * self.scale * (libm::pow(looks, 1.0 / self.shape) - 1.0)
    }
}

impl<S: Stored> Tail<S> {
    /// The rule after `age_days` of this agent, which is still `young`, from 1 to 0, among such peers.
    pub(crate) fn rule(&self, group: Group, age_days: f64, young: f64, peers: &PeerTail) -> Rule {
        let of_peers = peers.scale();
        let scheduled = SCALE_SETTLED + (SCALE_YOUNG - SCALE_SETTLED) * young;
        self.rule_with(group, age_days, of_peers.unwrap_or(scheduled), of_peers)
    }

    /// The same from a given prior scale.
    pub(crate) fn rule_with(&self, group: Group, age_days: f64, prior: f64, peers: Option<f64>) -> Rule {
        let n = self.excursions.get();
        let most = SCALE_OVER_PEERS_MAX * peers.unwrap_or(SCALE_YOUNG).max(SCALE_SETTLED);
        let scale = scale(prior, n, self.excess.get(), self.excess2.get()).min(most);
        Rule {
            threshold: group.threshold,
            shape: PRIOR_EXCURSIONS + n,
            scale,
            per_day: group.groups * (n + 1.0) / (age_days.max(0.0) + group.never_days),
        }
    }

    /// Whether an excursion is under way.
    pub(crate) fn is_out(&self) -> bool {
        self.peak.get() > 0.0
    }

    #[cfg(test)]
    pub(crate) fn from_sums([excursions, excess, excess2]: [f64; 3]) -> Self {
        let [excursions, excess, excess2] = [excursions, excess, excess2].map(S::put);
        Self { excursions, excess, excess2, peak: S::default() }
    }

    #[cfg(test)]
    pub(crate) fn sums(&self) -> [f64; 3] {
        [self.excursions.get(), self.excess.get(), self.excess2.get()]
    }

    /// Excursions learned so far.
    pub(crate) fn excursions(&self) -> f64 {
        self.excursions.get()
    }

    /// A look at the evidence: begins an excursion or raises its peak.
    pub(crate) fn raise(&mut self, evidence: f64, group: Group) {
        if evidence > group.threshold {
            self.peak.update(|peak| peak.max(evidence));
        }
    }

    /// Whether evidence so low ends the excursion that is under way.
    pub(crate) fn ends(&self, evidence: f64, group: Group) -> bool {
        self.is_out() && evidence < group.threshold / 2.0
    }

    /// The highest evidence of the present excursion.
    pub(crate) fn peak(&self) -> f64 {
        self.peak.get()
    }

    /// Ends the excursion, learns it and gives how far it stood above the threshold. `alarm` is the evidence at which a
    /// person is asked: what is far above it is no part of being normal.
    pub(crate) fn end(&mut self, group: Group, alarm: f64) -> f64 {
        let excess = (self.peak.get().min(PEAK_MAX * alarm) - group.threshold).max(0.0);
        self.excursions.update(|n| n + 1.0);
        self.excess.update(|x| x + excess);
        self.excess2.update(|x| x + excess * excess);
        self.forget();
        excess
    }

    /// Ends the excursion; the agent learns it, and its peers its first ones.
    pub(crate) fn end_among(&mut self, peers: &mut PeerTail, group: Group, alarm: f64) {
        let excess = self.end(group, alarm);
        if self.excursions() <= TEACHES_MAX {
            peers.learn(excess);
        }
    }

    /// Ends the excursion and learns nothing.
    pub(crate) fn forget(&mut self) {
        self.peak = S::default();
    }
}

#[cfg(test)]
mod tests {
    use libm::exp;

    use super::*;
    use crate::reference::{Table, Worst, json};

    /// Once in 90 days, as the study.
    const ALARM_DAYS: f64 = 90.0;

    #[test]
    fn recurrence_is_the_prototypes() {
        let volume = json(include_str!("../../tests/reference/volume.json"));
        let mut worst = Worst::default();
        for row in Table::new(&volume["pot"]).rows() {
            let tail = Tail::<f64>::from_sums(["EX", "SX", "SXX"].map(|name| row.get(name)));
            let days = row.get("days");
            // The prototype has six groups and knows no peers that would cap the scale.
            let group = Group { threshold: 2.0, never_days: exp(2.0) * row.get("W") / 1_440.0, groups: 6.0 };
            let rule = tail.rule_with(group, days, 1.0 + 2.0 * exp(-days / 14.0), Some(f64::INFINITY));
            worst.check("lam", rule.per_day / 6.0, row.get("lam"));
            worst.check("a", rule.shape, row.get("a"));
            worst.check("s", rule.scale, row.get("s"));
            worst.check("thr", rule.evidence_once_in(ALARM_DAYS), row.get("thr"));
            for i in 0..5 {
                let share = libm::exp2(-rule.bits(row.at("G", i)));
                worst.check("tail", share, row.at("tail", i));
                worst.check("R", rule.per_day * share, row.at("R", i));
            }
            // Without peers, and before they cap anything, the schedule is the same.
            if rule.scale <= SCALE_OVER_PEERS_MAX * SCALE_YOUNG {
                assert_eq!(tail.rule(group, days, exp(-days / 14.0), &PeerTail::default()), rule);
            }
        }
        worst.say_how_well("tails");
    }

    #[test]
    fn however_many_excursions_stay_under_the_alarm_they_widen_the_scale_to_three_times_the_peers() {
        let mut peers = PeerTail::default();
        (0..200).for_each(|i| peers.learn(-1.25 * libm::log((f64::from(i) + 0.5) / 200.0)));
        let of_peers = peers.scale().unwrap();
        let group = Group { threshold: 2.0, never_days: exp(2.0) / 1_440.0, groups: 7.0 };
        // So many in four weeks, each as high as it may be: the scale, and the threshold in nats.
        let patient = |excursions: u32, peers: f64| {
            let mut tail = Tail::<f32>::default();
            let rule = |tail: &Tail<f32>| tail.rule_with(group, 28.0, of_peers, Some(peers));
            for _ in 0..excursions {
                let alarm = rule(&tail).evidence_once_in(ALARM_DAYS);
                tail.raise(0.999 * alarm, group);
                tail.end(group, alarm);
            }
            let rule = rule(&tail);
            (rule.scale, rule.evidence_once_in(ALARM_DAYS))
        };
        let (none, capped) = (patient(0, of_peers), patient(1_000, of_peers));
        let free = patient(20, f64::INFINITY);
        assert!(capped.0 <= SCALE_OVER_PEERS_MAX * of_peers, "{capped:?} {of_peers}");
        // Without the cap the first 20 win more than a thousand do with it.
        assert!(capped.1 < 8.0 * none.1 && free.1 > capped.1, "{none:?} {capped:?} {free:?}");
    }
}
