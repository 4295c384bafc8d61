//! What context says of who calls, layer by layer.

use arrayvec::ArrayVec;

use super::news::Topic;
use super::{Circumstances, Context, DENIED, FAILING, NEWS, PLACES, SIZES, THRESHOLD};
use crate::combine::{self, CONTEXT};
use crate::layers::{ACTOR_REASONS_MAX, Trust};
use crate::signal::Strength;
use crate::verdict::Pattern;
use crate::{Call, MicroBits, Timestamp};

const IDENTITY: [Topic; 2] = [Topic::Credential, Topic::Delegator];
const NETWORK: [Topic; 1] = [Topic::Network];
const RUNTIME: [Topic; 2] = [Topic::UserAgent, Topic::Model];
const CALLER: [Topic; 5] =
    [Topic::Network, Topic::UserAgent, Topic::Model, Topic::Credential, Topic::Delegator];
/// Of what is asked for and acted upon: it says what is done and not who does it.
const ACTS: [Topic; 2] = [Topic::Scope, Topic::Resource];

/// What context says of who calls; of nobody by default.
#[derive(Clone, Debug, Default)]
pub(crate) struct Caller {
    pub(crate) identity: Trust,
    pub(crate) network: Trust,
    pub(crate) runtime: Trust,
    /// Whether what is done, rather than who does it, is over the watch budget.
    pub(crate) acts_doubt: bool,
    /// Whether two of them at least have evidence against the agent, and all of it a person is asked about.
    pub(crate) is_another: bool,
    /// What is new about the caller, where together that is over the watch budget, strongest first; before it a credential in two places. A
    /// pace takes the last place.
    pub(crate) because: ArrayVec<Pattern, { ACTOR_REASONS_MAX - 1 }>,
}

impl Circumstances {
    /// What a call that was just taken up says of its caller. `level` is the family's; none of its groups has more.
    pub(super) fn caller(&self, call: &Call<'_>, ts: Timestamp, level: f64, ctx: Context<'_>) -> Caller {
        let mut caller = Caller {
            identity: self.vouches(
                &[(Topic::Credential, true), (Topic::Delegator, call.identity.delegator.is_some())],
                ctx,
            ),
            network: self.vouches(&[(Topic::Network, call.source_ip.is_some())], ctx),
            runtime: self.vouches(
                &[(Topic::UserAgent, call.user_agent.is_some()), (Topic::Model, call.model.is_some())],
                ctx,
            ),
            ..Caller::default()
        };
        if f64::from(self.gauges[PLACES].sum) > THRESHOLD {
            let layer = if self.places.by_client() { &mut caller.runtime } else { &mut caller.network };
            *layer = Trust::Silent;
        }
        if MicroBits::from_bits(level) >= ctx.watch {
            self.doubt(&mut caller, ts, ctx);
        }
        caller
    }

    /// Whether the call tells any of these, and nothing told is news of an agent that was known by it before this hour.
    fn vouches(&self, topics: &[(Topic, bool)], ctx: Context<'_>) -> Trust {
        let mut told = topics.iter().filter(|(_, told)| *told).map(|(topic, _)| *topic).peekable();
        let is_known = ctx.is_established
            && told.peek().is_some()
            && told.all(|topic| self.news.hours_of(topic) > 1.0 && self.news.standing([topic]) <= THRESHOLD);
        if is_known { Trust::Agrees } else { Trust::Silent }
    }

    fn doubt(&self, caller: &mut Caller, ts: Timestamp, ctx: Context<'_>) {
        let level = |group: usize, sum: f64| {
            let is_out = sum > THRESHOLD;
            let strength = if is_out { self.strength_of(group, sum, ts, ctx) } else { Strength::CALM };
            MicroBits::from_bits(combine::level(CONTEXT, strength))
        };
        let of_group = |group: usize| level(group, f64::from(self.gauges[group].sum));
        let news = |topics: &[Topic]| level(NEWS, self.news.standing(topics.iter().copied()));
        let (places, nothing) = (of_group(PLACES), (0.0, level(NEWS, 0.0)));
        let (by_client, turns) = (self.places.by_client(), (f64::from(self.gauges[PLACES].sum), places));
        let mut against = 0;
        for (layer, topics, other) in [
            (&mut caller.identity, &IDENTITY[..], nothing),
            (&mut caller.network, &NETWORK, if by_client { nothing } else { turns }),
            (&mut caller.runtime, &RUNTIME, if by_client { turns } else { nothing }),
        ] {
            let sum = self.news.standing(topics.iter().copied());
            against += u8::from(sum.max(other.0) > THRESHOLD);
            if news(topics).max(other.1) >= ctx.watch {
                *layer = Trust::Doubts;
            }
        }
        let all = news(&CALLER).max(places);
        caller.is_another = against > 1 && all >= ctx.step_up;
        let of_acts = [DENIED, FAILING, SIZES].map(of_group).into_iter().fold(news(&ACTS), MicroBits::max);
        caller.acts_doubt = of_acts >= ctx.watch;
        if news(&CALLER) >= ctx.watch {
            // What has all but faded is no reason; the strongest is one, however many share the evidence.
            let told = self.news.strongest(&CALLER);
            let is_one = |&(i, (nats, _)): &(usize, &(f64, Topic))| i == 0 || *nats > THRESHOLD;
            let told = told.iter().enumerate().filter(is_one);
            caller.because = told.map(|(_, (_, topic))| topic.pattern()).collect();
        }
        if places >= ctx.watch {
            caller.because.truncate(ACTOR_REASONS_MAX - 2);
            caller.because.insert(0, if by_client { Pattern::TwoCallers } else { Pattern::TwoPlaces });
        }
    }
}
