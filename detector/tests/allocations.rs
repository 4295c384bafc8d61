//! How often a call asks the allocator for memory.

use std::net::IpAddr;
use std::time::Duration;

use detector::{Call, Detector, DetectorConfig, Timestamp};

#[path = "support/counting.rs"]
mod counting;

use self::counting::allocations;

const AGENTS: u64 = 50;
/// Calls of an agent that make all it will call known, and those that are counted, of all agents together.
const KNOWN: u64 = 400;
const COUNTED: u64 = 10_000;
/// From one call of an agent to its next.
const GAP: Duration = Duration::from_secs(20);
const START: Timestamp = Timestamp::from_millis(1_740_355_200_000);

/// Agents that call by turns, each in one session or in what the log calls none, which ends after 16 calls.
struct Fleet {
    detector: Detector,
    names: Vec<String>,
    has_sessions: bool,
}

impl Fleet {
    fn new(has_sessions: bool) -> Self {
        let names = (0..AGENTS).map(|a| format!("agent-{a}")).collect();
        Self { detector: Detector::new(DetectorConfig::default(), &[]), names, has_sessions }
    }

    /// The `i`-th call of all, as a log with everything in it tells it; how often it asked for memory.
    fn call(&mut self, i: u64) -> u64 {
        const ENDPOINTS: [&str; 5] =
            ["read_file", "GET /orders/17", "GET /orders/18", "list", "POST /orders"];
        let (turn, agent) = (i / AGENTS, &self.names[(i % AGENTS) as usize]);
        let ts = START + GAP * turn as u32 + GAP * (i % AGENTS) as u32 / AGENTS as u32;
        if i.is_multiple_of(AGENTS / 10) {
            self.detector.tick(ts - Duration::from_secs(30));
        }
        let event_id = format!("{i}");
        let mut call = Call::new(&*event_id, ts, &**agent, ENDPOINTS[(turn % 5) as usize]);
        call.identity.session_id = self.has_sessions.then(|| "session".into());
        call.identity.delegator = Some("somebody".into());
        call.source_ip = Some(IpAddr::from([203, 0, 113, (turn % 3) as u8]));
        call.user_agent = Some("client/2.1".into());
        call.model = Some("model-4".into());
        call.resource = Some("bucket/folder/object".into());
        call.scope = Some("orders:read orders:write".into());
        (call.status, call.bytes_out, call.latency_ms) = (Some(200), Some(2_048), Some(120.0));
        let before = allocations();
        let verdict = self.detector.observe(&call);
        let asked = allocations() - before;
        assert!(verdict.is_some());
        asked
    }

    /// How often the last calls asked for memory together.
    fn asked(&mut self) -> u64 {
        let known = KNOWN * AGENTS;
        self.calls(0..known);
        self.calls(known..known + COUNTED)
    }

    fn calls(&mut self, numbers: std::ops::Range<u64>) -> u64 {
        numbers.map(|i| self.call(i)).sum()
    }
}

/// Windows, hours and versions of the fleet's model end within them, and no session.
#[test]
fn a_call_of_what_is_known_takes_no_memory() {
    assert_eq!(Fleet::new(true).asked(), 0);
}

/// What it called, in which order, and what of that tells its agent's peer group.
#[test]
fn a_session_that_is_over_takes_three_pieces() {
    let sessions = AGENTS * (COUNTED / AGENTS).div_ceil(16);
    assert_eq!(Fleet::new(false).asked(), 3 * sessions);
}
