//! The life of one agent, as far as context goes.

use std::net::{IpAddr, Ipv4Addr};

use detector::{Attestation, Call, CredentialKind, EffectiveAttestation, Timestamp};
use rand::RngExt;

use crate::bench::chance::{Dice, Purpose, choose, log_uniform, normal, poisson, stream};
use crate::bench::player::START;
use crate::simulate::usual_endpoint;

pub(super) const HOUR_US: i64 = 3_600_000_000;
/// Calls an hour on average.
const RATES: (f64, f64) = (1.0, 20.0);
/// At night it does so much of what it does by day.
const NIGHT: f64 = 0.1;
/// Days between changes of each kind, on average; nobody's fault.
const MOVES_DAYS: f64 = 200.0;
const UPDATES_DAYS: f64 = 25.0;
const REWRITES_DAYS: f64 = 300.0;
const MODELS_DAYS: f64 = 60.0;
const DELEGATORS_DAYS: f64 = 60.0;
const SCOPES_DAYS: f64 = 200.0;
const OUTAGES_DAYS: f64 = 14.0;
const EXPIRIES_DAYS: f64 = 10.0;
/// One agent in so many is on the move, with a new network every few days.
const ROAMS_ONE_IN: usize = 10;
const ROAMS_DAYS: f64 = 4.0;
/// One in so many moves and is rewritten at once when it changes.
const MIGRATES: f64 = 0.3;

/// A call that is about to be played.
#[derive(Clone, Debug)]
pub(super) struct Event {
    pub(super) at: Timestamp,
    pub(super) agent: usize,
    pub(super) is_theft: bool,
    pub(super) endpoint: &'static str,
    pub(super) ip: IpAddr,
    pub(super) client: String,
    pub(super) model: String,
    pub(super) delegator: u32,
    pub(super) scopes: u32,
    pub(super) status: u16,
    pub(super) bytes_out: u64,
    pub(super) resource: u32,
    pub(super) token: u32,
    /// Which agent it says has spawned it.
    pub(super) parent: Option<usize>,
}

impl Event {
    /// As a record of the log.
    pub(super) fn call(&self, id: u64) -> Call<'_> {
        let mut call = Call::new(id.to_string(), self.at, format!("context-{}", self.agent), self.endpoint);
        call.identity.parent_agent_id = self.parent.map(|parent| format!("context-{parent}").into());
        call.source_ip = Some(self.ip);
        call.user_agent = Some((&*self.client).into());
        call.model = Some((&*self.model).into());
        call.identity.delegator = Some(format!("person-{}", self.delegator).into());
        call.identity.token_id = Some(format!("token-{}-{}", self.agent, self.token).into());
        let scopes: Vec<String> = (0..self.scopes).map(|i| format!("scope:{i}")).collect();
        call.scope = Some(scopes.join(" ").into());
        call.resource = Some(format!("records/{}/{}", self.agent, self.resource).into());
        call.status = Some(self.status);
        call.bytes_out = Some(self.bytes_out);
        call.credential.kind = CredentialKind::Oauth;
        call.claimed = Attestation::Token;
        call.attestation = EffectiveAttestation::new(Attestation::Token, Attestation::Token);
        call
    }
}

/// One agent. A clone goes on as the original will.
#[derive(Clone, Debug)]
pub(super) struct Life {
    dice: Dice,
    agent: usize,
    seed: u64,
    pub(super) rate: f64,
    pub(super) noon: f64,
    /// The network, how many of its addresses are used, and whether it changes all the time.
    network: u32,
    hosts: u32,
    roams: bool,
    product: u32,
    version: u32,
    model: u32,
    delegators: u32,
    scopes: u32,
    denied: f64,
    failed: f64,
    bytes: f64,
    spread: f64,
    resources: f64,
    seen: u32,
    /// Calls that are still denied because a token has expired.
    expired: u32,
}

/// A moment of an hour, from 0 to 1.
pub(super) fn instant(hour: u32, of_hour: f64) -> Timestamp {
    Timestamp::from_micros(START.as_micros() + i64::from(hour) * HOUR_US + (of_hour * HOUR_US as f64) as i64)
}

impl Life {
    pub(super) fn new(seed: u64, agent: usize, agents: usize) -> Self {
        let mut dice = stream(seed, "context", agent, Purpose::Agent);
        Self {
            agent,
            seed,
            rate: log_uniform(&mut dice, RATES),
            noon: dice.random_range(0.0..24.0),
            // A third shares one gateway.
            network: if agent.is_multiple_of(3) { 7 } else { dice.random_range(1_000..60_000) },
            hosts: choose(&mut dice, [1, 2, 8, 40]),
            roams: agent % ROAMS_ONE_IN == 5 && agents > ROAMS_ONE_IN,
            product: dice.random_range(0..4),
            version: dice.random_range(1..9),
            model: dice.random_range(0..3),
            delegators: choose(&mut dice, [1, 1, 3, 6]),
            scopes: dice.random_range(1..5),
            denied: log_uniform(&mut dice, (1e-4, 0.03)),
            failed: log_uniform(&mut dice, (1e-4, 0.02)),
            bytes: log_uniform(&mut dice, (300.0, 100_000.0)),
            spread: dice.random_range(0.3..1.5),
            resources: log_uniform(&mut dice, (0.001, 0.3)),
            seen: 1,
            expired: 0,
            dice,
        }
    }

    /// Calls an hour at this time of the day.
    pub(super) fn rate_at(&self, hour: u32) -> f64 {
        let away = ((f64::from(hour % 24) - self.noon + 12.0).rem_euclid(24.0) - 12.0).abs();
        self.rate * if away < 5.0 { 1.0 } else { NIGHT }
    }

    /// The calls of an hour, and what has become of the agent before.
    pub(super) fn hour(&mut self, hour: u32) -> Vec<Event> {
        self.change(hour);
        let rate = self.rate_at(hour);
        let n = poisson(&mut self.dice, rate);
        (0..n).map(|_| self.event(hour)).collect()
    }

    fn change(&mut self, hour: u32) {
        let happens = |dice: &mut Dice, days: f64| dice.random::<f64>() < 1.0 / (days * 24.0);
        let dice = &mut self.dice;
        if happens(dice, if self.roams { ROAMS_DAYS } else { MOVES_DAYS }) {
            self.network = dice.random_range(1_000..60_000);
            if dice.random::<f64>() < MIGRATES {
                self.product = dice.random_range(0..9);
            }
        }
        if happens(dice, REWRITES_DAYS) {
            self.product = dice.random_range(0..9);
        }
        // A deploy updates all that run the same product.
        let deploys =
            stream(self.seed, "deploys", self.product as usize * 100_000 + hour as usize, Purpose::Change)
                .random::<f64>();
        self.version += u32::from(deploys < 1.0 / (UPDATES_DAYS * 24.0));
        self.model += u32::from(happens(dice, MODELS_DAYS));
        self.delegators += u32::from(happens(dice, DELEGATORS_DAYS));
        self.scopes += u32::from(happens(dice, SCOPES_DAYS));
        if happens(dice, EXPIRIES_DAYS) {
            self.expired = dice.random_range(1..12);
        }
    }

    /// Whether the server fails in this hour, for all.
    fn is_down(&self, hour: u32) -> bool {
        let down = stream(self.seed, "outages", hour as usize, Purpose::Change).random::<f64>();
        down < 1.0 / (OUTAGES_DAYS * 24.0)
    }

    /// One call at some time of an hour.
    pub(super) fn event(&mut self, hour: u32) -> Event {
        let failed = if self.is_down(hour) { 0.5 } else { self.failed };
        let (client, dice) = (self.client(), &mut self.dice);
        let status = if self.expired > 0 {
            self.expired -= 1;
            401
        } else {
            match dice.random::<f64>() {
                u if u < self.denied => 403,
                u if u < self.denied + failed => 503,
                _ => 200,
            }
        };
        self.seen += u32::from(dice.random::<f64>() < self.resources);
        Event {
            at: instant(hour, dice.random()),
            agent: self.agent,
            is_theft: false,
            endpoint: usual_endpoint(self.agent, dice.random()),
            ip: address(self.network, dice.random_range(0..self.hosts)),
            client,
            model: format!("model-{}-2026-{:02}", ["a", "b", "c"][self.model as usize % 3], self.model),
            delegator: (self.agent * 100) as u32 + dice.random_range(0..self.delegators),
            scopes: self.scopes,
            status,
            bytes_out: (self.bytes * (self.spread * normal(dice)).exp()) as u64,
            resource: dice.random_range(0..self.seen),
            token: hour / 12,
            parent: None,
        }
    }

    /// One of the endpoints it calls.
    pub(super) fn endpoint(&self, dice: &mut Dice) -> &'static str {
        usual_endpoint(self.agent, dice.random())
    }

    /// Its client.
    pub(super) fn client(&self) -> String {
        format!("{}/2.{}", PRODUCTS[self.product as usize % PRODUCTS.len()], self.version)
    }

    /// The network it calls from.
    pub(super) fn network(&self) -> u32 {
        self.network
    }
}

const PRODUCTS: [&str; 9] =
    ["worker", "crawler", "sdk-python", "sdk-node", "sdk-go", "batch", "assistant", "planner", "connector"];

/// Host `host` of a network of 256; neighbours in number are of one provider.
pub(super) fn address(network: u32, host: u32) -> IpAddr {
    IpAddr::V4(Ipv4Addr::from_bits(0x0b00_0000 | (network << 8) | (host & 0xff)))
}
