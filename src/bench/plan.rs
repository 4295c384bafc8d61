//! Which fleets are run for what, by two threads.

use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Result, anyhow};
use clap::ValueEnum;

use super::attack::{ATTACKS, ATTACKS_ON_SERIES};
use super::cohort::{self, CohortReport};
use super::context::{self, ContextReport};
use super::field::{self, Settings};
use super::fleet::Fleet;
use super::groups::{self, GroupsReport};
use super::hearing::{Grade, Lens};
use super::pace::Pace;
use super::progress::Progress;
use super::report::{FleetReport, Report, RevokesOf, RevokesReport, SeriesReport, agent_years, agents_for};
use super::series::{self, Series};
use super::sessions::{self, SessionsReport};
use super::source::{STUDY_RATES, Source};
use super::timing::{self, TimingReport};
use super::young::{self, YoungReport};
use super::{DetectionArgs, Part, false_alarms};

const THREADS: usize = 2;
/// Agents a fleet attacks, and newcomers of either kind: as many as in the study.
const ATTACKED: usize = 40;
/// A random cut forest takes about a minute an agent-year, so it watches the first few.
const FORESTS: usize = 5;
/// Base rates of the agents that false revocations are counted on: false alarms an agent-year hardly depend on the
/// rate, and the time to play them does.
const REVOKES_RATES: (f64, f64) = (0.05, 0.5);

/// One piece of work.
#[derive(Clone, Copy, Debug)]
enum Job {
    Fleet(Fleet),
    Series(Series),
    Timing(Pace),
    Young(Fleet),
    Context,
    Cohort,
    Groups,
    Sessions,
    Revokes(Fleet),
}

enum Done {
    Fleet(Box<FleetReport>),
    Series(Option<Box<SeriesReport>>),
    Timing(TimingReport),
    Young(Vec<YoungReport>),
    Context(Vec<ContextReport>),
    Cohort(CohortReport),
    Groups(Vec<GroupsReport>),
    Sessions(Option<SessionsReport>),
    Revokes(RevokesOf),
}

/// Does all that was asked for.
pub(super) fn run(args: &DetectionArgs) -> Result<Report> {
    let jobs = jobs(args);
    let progress = Progress::new(jobs.iter().map(|job| job.days(args)).sum());
    let next = AtomicUsize::new(0);
    let work = || {
        let mut done = Vec::new();
        while let Some((i, job)) = jobs.iter().copied().enumerate().nth(next.fetch_add(1, Ordering::Relaxed))
        {
            done.push((i, job.run(args, &progress)?));
            progress.done(&job.name());
        }
        Ok::<_, anyhow::Error>(done)
    };
    let mut done = Vec::new();
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS).map(|_| scope.spawn(work)).collect();
        for thread in threads {
            done.extend(thread.join().map_err(|_| anyhow!("a thread of the bench panicked"))??);
        }
        Ok::<_, anyhow::Error>(())
    })?;
    progress.finish();
    done.sort_by_key(|(i, _)| *i);
    Ok(collect(args, done.into_iter().map(|(_, d)| d)))
}

fn jobs(args: &DetectionArgs) -> Vec<Job> {
    let wanted = |part: Part| args.only.is_none_or(|only| only == part);
    let chosen = |fleet: &Fleet| args.fleets.is_empty() || args.fleets.contains(fleet);
    let mut jobs = Vec::new();
    if wanted(Part::FalseAlarms) || wanted(Part::Delay) {
        jobs.extend(Fleet::value_variants().iter().copied().filter(chosen).map(Job::Fleet));
    }
    if wanted(Part::Series) {
        jobs.extend(Series::value_variants().iter().copied().map(Job::Series));
    }
    if wanted(Part::Timing) {
        jobs.extend(Pace::ALL.map(Job::Timing));
    }
    if wanted(Part::Young) {
        jobs.extend(young::FLEETS.map(Job::Young));
    }
    if wanted(Part::Context) {
        jobs.push(Job::Context);
    }
    if wanted(Part::Cohort) {
        jobs.push(Job::Cohort);
    }
    if wanted(Part::Groups) {
        jobs.push(Job::Groups);
    }
    if wanted(Part::Sessions) {
        jobs.push(Job::Sessions);
    }
    if wanted(Part::Revokes) && args.revokes_years.is_some() {
        jobs.extend(Fleet::quiet().filter(chosen).map(Job::Revokes));
    }
    jobs
}

fn collect(args: &DetectionArgs, done: impl Iterator<Item = Done>) -> Report {
    let mut report = Report {
        version: env!("CARGO_PKG_VERSION"),
        seed: args.seed,
        budgets: args.step_up_days,
        fleets: Vec::new(),
        series: Vec::new(),
        timing: Vec::new(),
        young: Vec::new(),
        context: Vec::new(),
        cohort: None,
        groups: Vec::new(),
        sessions: None,
        revokes: None,
    };
    let mut revokes = Vec::new();
    for done in done {
        match done {
            Done::Fleet(f) => report.fleets.push(*f),
            Done::Series(s) => report.series.extend(s.map(|s| *s)),
            Done::Timing(t) => report.timing.push(t),
            Done::Young(y) => report.young.extend(y),
            Done::Context(c) => report.context = c,
            Done::Cohort(c) => report.cohort = Some(c),
            Done::Groups(g) => report.groups = g,
            Done::Sessions(s) => report.sessions = s,
            Done::Revokes(r) => revokes.push(r),
        }
    }
    if !revokes.is_empty() {
        let (low, high) = REVOKES_RATES;
        let mix = format!("{} fleets alike, base rates {low} to {high} calls a minute", revokes.len());
        report.revokes = Some(RevokesReport::of(mix, revokes));
    }
    report
}

impl Job {
    fn name(self) -> String {
        match self {
            Self::Fleet(fleet) => fleet.name().to_owned(),
            Self::Series(series) => series.facts().name.to_owned(),
            Self::Timing(pace) => pace.name().to_owned(),
            Self::Young(fleet) => format!("young agents, {}", fleet.name()),
            Self::Context => "context".to_owned(),
            Self::Cohort => "cohorts".to_owned(),
            Self::Groups => "groups".to_owned(),
            Self::Sessions => "sessions".to_owned(),
            Self::Revokes(fleet) => format!("revokes on {}", fleet.name()),
        }
    }

    /// Steps of progress: days of a fleet, agents of a kind of timing.
    fn days(self, args: &DetectionArgs) -> u64 {
        match self {
            Self::Context => u64::from(args.days) * context::FLEETS,
            Self::Fleet(_) | Self::Series(_) | Self::Sessions | Self::Revokes(_) => u64::from(args.days),
            Self::Timing(_) => timing::AGENTS as u64,
            Self::Young(_) => u64::from(young::DAYS),
            Self::Cohort => u64::from(cohort::DAYS),
            Self::Groups => groups::STEPS,
        }
    }

    fn run(self, args: &DetectionArgs, progress: &Progress) -> Result<Done> {
        let wanted = |part: Part| args.only.is_none_or(|only| only == part);
        let agents = args.agents as usize;
        let settings = Settings {
            seed: args.seed,
            days: args.days,
            budgets: args.step_up_days,
            false_alarms: wanted(Part::FalseAlarms),
            attacks: &ATTACKS,
            attacked: if wanted(Part::Delay) { ATTACKED.min(agents) } else { 0 },
            rivals: Some(if wanted(Part::FalseAlarms) { FORESTS } else { 0 }),
        };
        Ok(match self {
            Self::Fleet(fleet) => {
                Done::Fleet(Box::new(simulated(fleet, agents, STUDY_RATES, &settings, progress)?))
            }
            Self::Series(series) => {
                let settings = Settings {
                    false_alarms: true,
                    attacks: &ATTACKS_ON_SERIES,
                    attacked: ATTACKED.min(agents),
                    rivals: Some(0),
                    ..settings
                };
                Done::Series(series::run(series, agents, &settings, progress)?.map(Box::new))
            }
            Self::Timing(pace) => Done::Timing(timing::run(pace, args.seed, args.step_up_days, progress)),
            Self::Young(fleet) => {
                Done::Young(young::run(fleet, args.seed, ATTACKED.min(agents), args.step_up_days, progress))
            }
            Self::Context => Done::Context(context::run(args.seed, agents, args.days, progress)),
            Self::Cohort => Done::Cohort(cohort::run(args.seed, ATTACKED.min(agents), progress)),
            Self::Groups => Done::Groups(groups::run(args.seed, progress)),
            Self::Sessions => Done::Sessions(sessions::run(args.seed, args.days, progress)),
            Self::Revokes(fleet) => Done::Revokes(revokes(fleet, args, &settings, progress)?),
        })
    }
}

/// One fleet of `agents` that nobody recorded, with base rates between `rates` calls a minute.
fn simulated(
    fleet: Fleet,
    agents: usize,
    rates: (f64, f64),
    set: &Settings,
    progress: &Progress,
) -> Result<FleetReport> {
    let sources = (0..agents).map(|agent| Source::new(fleet, set.seed, agent, rates)).collect();
    let (played, _) = field::run(fleet.name(), sources, set, progress)?;
    Ok(FleetReport { fleet, about: fleet.about(), true_change: fleet.true_change(), played })
}

/// False revocations of one fleet: its share of the years, and nothing else.
fn revokes(
    fleet: Fleet,
    args: &DetectionArgs,
    settings: &Settings,
    progress: &Progress,
) -> Result<RevokesOf> {
    let fleets = jobs(args).iter().filter(|j| matches!(j, Job::Revokes(_))).count().max(1);
    let years = f64::from(args.revokes_years.unwrap_or(0)) / fleets as f64;
    let agents = agents_for(years, args.days);
    let settings = Settings { false_alarms: true, attacked: 0, rivals: None, ..*settings };
    let report = simulated(fleet, agents, REVOKES_RATES, &settings, progress)?;
    let find = |grade| false_alarms::find(&report.played.false_alarms, Lens::Combined, grade);
    let found = find(Grade::Revoke);
    Ok(RevokesOf {
        fleet,
        agent_years: agent_years(agents, args.days),
        count: found.map_or(0, |f| f.count),
        worst: found.map_or(0, |f| f.worst),
        levels: find(Grade::RevokeLevel).map_or(0, |f| f.count),
    })
}
