//! An explanation as a person reads it. Unlike an alert, whose sentences are about the signal that won, it says what every
//! signal saw, also those that saw nothing.

use std::fmt;
use std::time::Duration;

use detector::{MicroBits, Part, Pattern, RuleKind, Signal, VerdictRecord, visible};

use super::Explanation;

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        head(f, &self.record)?;
        writeln!(f, "\n{}", self.record.sentence())?;
        self.level(f)?;
        let verdict = &self.record.verdict;
        writeln!(f, "\nwho acted: {} ({})", verdict.who(), verdict.actor.is.as_str())?;
        writeln!(f, "  {}", verdict.layers.told())?;
        writeln!(f, "\nwhat each signal makes of it, if it were the only one")?;
        for part in self.families() {
            let pattern = part.pattern.as_str().replace('_', " ");
            writeln!(
                f,
                "  {:<9} {:>6} bits  {pattern}",
                part.signal.as_str(),
                format!("{:+.1}", part.level)
            )?;
            writeln!(f, "      {}", sentence(part, &self.record))?;
            writeln!(f, "      {}", basis(part))?;
        }
        self.quiet(f)
    }
}

impl Explanation {
    fn level(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verdict = &self.record.verdict;
        writeln!(f, "\nlevel {:+.1} bits, {:+.1} by this call", verdict.level, verdict.added)?;
        let budgets = &self.budgets;
        for (name, budget) in
            [("watch", budgets.watch), ("step-up", budgets.step_up), ("revoke", budgets.revoke)]
        {
            let over = verdict.level - budget;
            let how = if over >= MicroBits::ZERO {
                format!("crossed by {over:.1} bits")
            } else {
                format!("{:.1} bits below", -over)
            };
            writeln!(f, "  {name:<9} {:>6} bits  {how}", format!("{budget:.1}"))?;
        }
        if let Some(rule) = verdict.rule {
            writeln!(f, "\nrule broken, whatever the level: {rule}, since {}", rule.since)?;
        }
        if let Some(cohort) = verdict.cohort {
            writeln!(
                f,
                "\nshared with its peers: {cohort}; what is its own comes to {:+.1} bits",
                cohort.own
            )?;
        }
        Ok(())
    }

    /// Every signal that is over the watch budget by itself has to be quiet for the verdict to be, and no rule broken.
    fn quiet(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rule = self.record.verdict.rule;
        let under = self.budgets.watch - self.record.verdict.level;
        if under > MicroBits::ZERO && rule.is_none() {
            return writeln!(f, "\nit was quiet: {under:.1} bits under the watch budget");
        }
        writeln!(f, "\nit would have been quiet with")?;
        if let Some(rule) = rule {
            let at_most = |what| format!("at most {} {what}in {}", rule.limit, window(rule.window_ms));
            let quiet = match rule.kind {
                RuleKind::RateCeiling => at_most(""),
                RuleKind::RepeatedCall => at_most("of the same call "),
                RuleKind::RevokedToken => "a token from after access was given back".to_owned(),
                _ => "a call within what the manifest declares".to_owned(),
            };
            writeln!(f, "  {:<9} {quiet}", "rule")?;
        }
        for part in self.families().into_iter().filter(|part| part.level >= self.budgets.watch) {
            writeln!(f, "  {:<9} {}", part.signal.as_str(), quiet(part, &self.record))?;
        }
        Ok(())
    }
}

/// Who did what, when.
fn head(f: &mut fmt::Formatter<'_>, record: &VerdictRecord) -> fmt::Result {
    let verdict = &record.verdict;
    let rows = [
        ("agent", Some(record.agent_id.as_str())),
        ("issuer", record.issuer.as_deref()),
        ("instance", record.instance_id.as_deref()),
        ("session", record.session_id.as_deref()),
        ("key", record.key_thumbprint.as_deref()),
        ("for", record.delegator.as_deref()),
        ("attested", Some(verdict.attestation.get().as_str())),
        (record.kind.as_str(), Some(record.endpoint.as_str())),
        ("method", record.method.as_deref()),
        ("operation", record.operation.as_deref()),
        ("one of", record.route.as_deref()),
        ("resource", record.resource.as_deref()),
        ("line of", record.line.as_deref()),
        ("event", Some(record.event_id.as_str())),
    ];
    writeln!(f, "{:<9} {}", "at", verdict.ts)?;
    for (name, value) in rows {
        if let Some(value) = value {
            writeln!(f, "{name:<9} {}", visible(value))?;
        }
    }
    Ok(())
}

/// What a signal saw and what it expected.
fn sentence(part: &Part, record: &VerdictRecord) -> String {
    let endpoint = record.called();
    let since = format!("since {}", part.since);
    match (part.signal, part.pattern) {
        (Signal::Volume, Pattern::Ramp) => format!(
            "{} in {} where {} were usual before it began to grow, {since}; up to {} is allowed",
            calls(part.observed),
            window(part.window_ms),
            number(part.expected),
            number(part.high),
        ),
        (Signal::Volume, pattern) => {
            let seen = format!(
                "{} in {} where about {} are expected, {} to {} for all that is known",
                counted(part, part.observed, record),
                window(part.window_ms),
                number(part.expected),
                number(part.low),
                number(part.high),
            );
            if pattern == Pattern::AsUsual { seen } else { format!("{seen}, {since}") }
        }
        (Signal::Timing, pattern) => {
            let seen = format!("{} between calls where {} is usual", gap(part.observed), gap(part.expected));
            if pattern == Pattern::AsUsual { seen } else { format!("{seen}, {since}") }
        }
        (Signal::Endpoint, Pattern::Unfitting) => part.unfitting(record, visible),
        (Signal::Endpoint, _) if let Some(drift) = part.drift() => drift,
        (Signal::Context, Pattern::AsUsual) => part.context(),
        (Signal::Context, _) => format!("{}, {since}", part.context()),
        (Signal::Endpoint | Signal::LookElsewhere, pattern) => {
            let share = percent(part.expected);
            let seen =
                format!("`{}` is {share} of what it calls by its own past and its peers'", visible(endpoint));
            if pattern == Pattern::AsUsual { seen } else { format!("{seen}; strange calls {since}") }
        }
    }
}

fn basis(part: &Part) -> String {
    let unit = match part.pattern {
        Pattern::Unfitting | Pattern::SessionDrift | Pattern::RoleDrift | Pattern::OrderDrift => "sessions",
        _ if part.is_by_the_hour() => "hours",
        _ => "calls",
    };
    let history = part.history;
    let [own, peers, prior] = [history.own, history.peers, history.prior].map(|share| share / 10);
    format!("{} {unit} of history: {own} % own, {peers} % peers, {prior} % prior", history.n)
}

/// The smallest change that would have kept a signal under the watch budget.
fn quiet(part: &Part, record: &VerdictRecord) -> String {
    match (part.signal, part.pattern) {
        (Signal::Volume, Pattern::FewerCalls) => {
            format!("at least {} in {}", calls(part.quiet_at), window(part.window_ms))
        }
        (Signal::Volume, _) => {
            format!("at most {} in {}", counted(part, part.quiet_at, record), window(part.window_ms))
        }
        (Signal::Timing, _) => format!("about {} between calls", gap(part.quiet_at)),
        (Signal::Context, _) => part.quiet_context(),
        (Signal::Endpoint, Pattern::SessionDrift | Pattern::RoleDrift | Pattern::OrderDrift) => {
            "sessions as its own past ones".to_owned()
        }
        (Signal::Endpoint, Pattern::Unfitting) if part.high < 0.5 => "a session as others are".to_owned(),
        (Signal::Endpoint, Pattern::Unfitting) => {
            format!("about {} sessions that held both", number(part.quiet_at.ceil()))
        }
        (Signal::Endpoint | Signal::LookElsewhere, _) if part.quiet_at >= 1.0 => {
            "no endpoint whatever: its earlier calls are enough".to_owned()
        }
        (Signal::Endpoint | Signal::LookElsewhere, _) => {
            format!("an endpoint that is at least {} of what it calls", percent(part.quiet_at))
        }
    }
}

/// So many of what volume counts.
fn counted(part: &Part, n: f64, record: &VerdictRecord) -> String {
    let line = record.line.as_ref().map(|head| visible(head));
    if part.is_of_line() { format!("{} {}", number(n), part.counted(line.as_deref())) } else { calls(n) }
}

fn calls(n: f64) -> String {
    let plural = if n.total_cmp(&1.0).is_eq() { "" } else { "s" };
    format!("{} call{plural}", number(n))
}

fn number(x: f64) -> String {
    let digits = match x.abs() {
        a if a >= 100.0 || x.fract() == 0.0 => 0,
        a if a >= 1.0 => 1,
        _ => 3,
    };
    format!("{x:.digits$}")
}

fn percent(share: f64) -> String {
    if share < 1e-4 { "under 0.01 %".to_owned() } else { format!("{} %", number(share * 100.0)) }
}

/// The time between two calls.
fn gap(seconds: f64) -> String {
    match seconds {
        s if s < 1.0 => format!("{:.0} ms", s * 1e3),
        s if s < 120.0 => format!("{s:.1} s"),
        s if s < 7_200.0 => format!("{:.0} minutes", s / 60.0),
        s => format!("{:.1} h", s / 3_600.0),
    }
}

/// A window that evidence is counted in, or the time since it began to be.
fn window(ms: u64) -> String {
    match Duration::from_millis(ms).as_secs() {
        0 => format!("{ms} ms"),
        s if s % 3_600 == 0 => format!("{} h", s / 3_600),
        s if s % 60 == 0 => format!("{} min", s / 60),
        s => format!("{s} s"),
    }
}

#[cfg(test)]
mod tests;
