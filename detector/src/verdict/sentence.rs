//! A verdict in one sentence, for whoever has no time for more.

use super::words::{duration, number, percent, seconds, timing};
use super::{Part, Pattern, Signal, VerdictRecord};
use crate::signal::session::COMPARES_FROM;
use crate::{Kind, MicroBits, visible_to};

/// What is told of the evidence: the rule and the strongest parts, so many in all.
const TOLD_MAX: usize = 2;
/// The most characters of a name in words.
const NAME_MAX: usize = 80;

impl MicroBits {
    /// How rare a level of evidence is, in words: it would be reached once in 2^bits days.
    pub fn rarity(self) -> String {
        let days = libm::exp2(self.as_bits());
        match days {
            d if d < 1.5 => "about once a day or more often".to_owned(),
            d if d < 60.0 => format!("about once in {d:.0} days"),
            d if d < 730.0 => format!("about once in {:.0} months", d / 30.44),
            d if d < 365_250.0 => format!("about once in {} years", rounded(d / 365.25)),
            _ => "less than once in a thousand years".to_owned(),
        }
    }
}

fn rounded(years: f64) -> String {
    if years < 10.0 { format!("{years:.0}") } else { format!("{:.0}", (years / 10.0).round() * 10.0) }
}

/// A name from outside, as it stands in words: it may be long, and nothing hides in it.
pub(super) fn name(text: &str) -> String {
    visible_to(text, NAME_MAX)
}

impl VerdictRecord {
    /// The verdict in one sentence: the rule that was broken and what weighs most, then the level and how seldom this agent comes
    /// to it. [`Self::reasons`] has the rest.
    pub fn sentence(&self) -> String {
        let verdict = &self.verdict;
        let amended = (self.kind == Kind::Silence && verdict.version > 1)
            .then(|| "calls from the time of its silence came late: it was none".to_owned());
        let rule = verdict.rule.map(|rule| rule.to_string());
        let weighty = |part: &&Part| part.bits > MicroBits::ZERO && part.signal != Signal::LookElsewhere;
        let mut parts: Vec<&Part> = verdict.parts.iter().filter(weighty).collect();
        parts.sort_by_key(|part| std::cmp::Reverse(part.bits));
        let parts = parts.into_iter().map(|part| self.short(part));
        let mut told: Vec<String> = amended.into_iter().chain(rule).chain(parts).take(TOLD_MAX).collect();
        if told.is_empty() {
            told.push("nothing unusual".to_owned());
        }
        if let Some(cohort) = verdict.cohort {
            told.push(format!("{} of {} agents do the same", cohort.agents, cohort.exposed));
        }
        told.push(format!("{:.1} bits, {} for this agent", verdict.level, verdict.level.rarity()));
        told.join("; ")
    }

    /// What one part says, in as few words as say it.
    fn short(&self, part: &Part) -> String {
        let [observed, expected] = [part.observed, part.expected].map(number);
        match part.signal {
            Signal::Volume => {
                let line = self.line.as_deref().map(name);
                let (what, window) = (part.counted(line.as_deref()), duration(part.window_ms));
                match part.pattern {
                    Pattern::FewerCalls => {
                        format!("only {observed} calls in {window} where about {expected} are expected")
                    }
                    Pattern::Ramp => format!(
                        "{observed} calls in {window} where {expected} were usual before it began to grow"
                    ),
                    _ => format!("{observed} {what} in {window} where about {expected} are expected"),
                }
            }
            Signal::Timing => {
                let [observed, expected] = [part.observed, part.expected].map(seconds);
                format!("{}, {observed} where {expected} is usual", timing(part.pattern))
            }
            Signal::Context => match part.pattern.of_calls() {
                Some(what) => format!("{observed} {what} where {expected} would be usual"),
                None => news(part),
            },
            Signal::Endpoint if part.pattern == Pattern::Unfitting => self.unfitting_in_short(part),
            Signal::Endpoint => match part.pattern.of_sessions() {
                Some(what) => format!("{observed} sessions that {what}"),
                None => format!(
                    "`{}` is {} of what it calls by its own past and its peers'",
                    name(self.called()),
                    percent(part.expected)
                ),
            },
            Signal::LookElsewhere => String::new(),
        }
    }

    fn unfitting_in_short(&self, part: &Part) -> String {
        let misfit = self.misfit.as_ref();
        let what = match misfit {
            Some(misfit) => format!("`{}`", name(&misfit.call)),
            None if part.since == self.verdict.ts => format!("`{}`", name(self.called())),
            None => format!("a call before `{}`", name(self.called())),
        };
        let few = if part.is_of_few() {
            format!(" (only {} sessions to compare with)", part.history.n)
        } else {
            String::new()
        };
        if part.high < 0.5 {
            return format!("{what} in a session of a kind not seen{few}");
        }
        let with = number(part.high.round());
        let both = match part.observed.round() {
            n if n < 0.5 => "none of them both".to_owned(),
            n => format!("{} of them both", number(n)),
        };
        match misfit.and_then(|misfit| misfit.after.as_deref()).map(name) {
            Some(after) => format!("{what} after `{after}`: {with} sessions had `{after}`, {both}{few}"),
            None => {
                format!("{what} after a call it does not go with: {with} sessions had that call, {both}{few}")
            }
        }
    }
}

impl Part {
    /// Whether sessions are compared with so few that they can be called no rarer than those are many.
    pub(super) fn is_of_few(&self) -> bool {
        self.pattern == Pattern::Unfitting && (self.history.n as usize) < COMPARES_FROM
    }
}

/// News of a caller: `new network, its first such news in 1,400 hours of calls`.
fn news(part: &Part) -> String {
    let what = part.pattern.as_str().replace('_', " ");
    match part.high {
        n if n < 1.5 => format!("{what}, its first such news in {} hours of calls", part.history.n),
        n => format!("{what}, such news number {}", number(n)),
    }
}

#[cfg(test)]
mod tests {
    use arrayvec::ArrayVec;

    use super::*;
    use crate::{Call, History, Misfit, Names, Verdict, VerdictId};

    fn part(
        signal: Signal,
        pattern: Pattern,
        bits: f64,
        (observed, expected, high): (f64, f64, f64),
    ) -> Part {
        Part {
            signal,
            bits: MicroBits::from_bits(bits),
            added: MicroBits::ZERO,
            level: MicroBits::from_bits(bits),
            pattern,
            observed,
            expected,
            low: 0.0,
            high,
            since: "2026-03-02T09:00:00Z".parse().unwrap(),
            window_ms: 600_000,
            history: History { n: 412, prior: 0, peers: 0, own: 1_000 },
            quiet_at: 0.0,
        }
    }

    fn record(endpoint: &str, parts: &[Part]) -> VerdictRecord {
        let ts = "2026-03-02T09:00:00Z".parse().unwrap();
        let call = Call::new("evt-1", ts, "mailer", endpoint);
        let verdict = Verdict {
            id: VerdictId(1),
            version: 1,
            ts,
            level: parts.iter().map(|part| part.bits).sum(),
            added: MicroBits::ZERO,
            parts: parts.iter().copied().collect::<ArrayVec<_, { crate::PARTS_MAX }>>(),
            families: 1,
            jump: 1.0,
            attestation: crate::EffectiveAttestation::default(),
            model: 1,
            rule: None,
            cohort: None,
            layers: crate::Layers::default(),
            actor: crate::Actor::default(),
        };
        VerdictRecord::new(&call, verdict)
    }

    #[test]
    fn a_verdict_reads_as_one_sentence_of_what_weighs_most() {
        let unfitting = part(Signal::Endpoint, Pattern::Unfitting, 9.0, (0.0, 31.0, 412.0));
        let network = part(Signal::Context, Pattern::NewNetwork, 4.5, (0.0, 0.001, 1.0));
        let pace = part(Signal::Timing, Pattern::HumanPaced, 1.0, (31.0, 0.2, 0.0));
        let price = part(Signal::LookElsewhere, Pattern::AsUsual, -3.2, (9.0, 0.0, 0.0));
        let burst = part(Signal::Volume, Pattern::MoreCalls, 6.5, (512.0, 12.0, 20.0));
        let mut few = unfitting;
        few.history.n = 40;
        let named = |call: &str, after: Option<&str>, part| {
            let misfit = Misfit { call: call.to_owned(), after: after.map(str::to_owned) };
            record("search", &[part]).named(Names { misfit: Some(misfit), ..Names::default() })
        };
        let said = [
            record("send_money", &[pace, network, unfitting, price]),
            record("send_money", &[few]),
            named("send_money", Some("read_\u{202e}file"), unfitting),
            named("send_money", None, Part { high: 0.0, ..few }),
            record("search", &[burst]),
            record("search", &[price]),
            record(
                "send\u{1b}[2J\n\u{202e}money",
                &[part(Signal::Endpoint, Pattern::Foreign, 3.0, (1.0, 1e-5, 0.0))],
            ),
        ];
        assert_eq!(
            said.map(|record| record.sentence()),
            [
                "`send_money` after a call it does not go with: 412 sessions had that call, none of them both; \
                 new network, its first such news in 412 hours of calls; 11.3 bits, about once in 7 years for this agent",
                "`send_money` after a call it does not go with: 412 sessions had that call, none of them both \
                 (only 40 sessions to compare with); 9.0 bits, about once in 17 months for this agent",
                "`send_money` after `read_\\u{202e}file`: 412 sessions had `read_\\u{202e}file`, none of them both; 9.0 bits, \
                 about once in 17 months for this agent",
                "`send_money` in a session of a kind not seen (only 40 sessions to compare with); 9.0 bits, about once in 17 months \
                 for this agent",
                "512 calls in 10 minutes where about 12 are expected; 6.5 bits, about once in 3 months for this agent",
                "nothing unusual; -3.2 bits, about once a day or more often for this agent",
                r"`send\u{1b}[2J\u{a}\u{202e}money` is under 0.01 % of what it calls by its own past and its peers'; 3.0 bits, about once in 8 days for this agent",
            ]
        );
        let compared = record("send_money", &[few]).reason(&few);
        assert!(
            compared.ends_with("(40 sessions to compare with, too few to call it rarer than 1 in 41)"),
            "{compared}"
        );
    }

    #[test]
    fn how_rare_a_level_is() {
        let said =
            [-3.0, 0.0, 2.8, 6.5, 9.4, 11.8, 14.0, 40.0].map(|bits| MicroBits::from_bits(bits).rarity());
        assert_eq!(
            said,
            [
                "about once a day or more often",
                "about once a day or more often",
                "about once in 7 days",
                "about once in 3 months",
                "about once in 22 months",
                "about once in 10 years",
                "about once in 40 years",
                "less than once in a thousand years",
            ]
        );
    }
}
