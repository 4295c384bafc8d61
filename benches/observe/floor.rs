//! The floor: what any detector has to do with a call once it is decoded.

use std::hash::Hasher;
use std::hint::black_box;

use detector::{Call, Detector};
use hashbrown::HashTable;
use siphasher::sip128::{Hasher128, SipHasher13};

/// Bytes of the agent's state that a call reads and writes, in words.
const TOUCHED: usize = 256 / 8;
/// An agent takes as much room as one of the detector's, so that its state is as cold, in the caches and to the TLB.
const WORDS: usize = (Detector::bytes_per_agent() - 2 * size_of::<Option<Box<str>>>()) / 8;

struct Agent {
    issuer: Option<Box<str>>,
    name: Box<str>,
    state: [u64; WORDS],
}

/// A hash look-up with the detector's hash and key, and 256 bytes read and written.
#[derive(Default)]
pub(crate) struct Floor {
    index: HashTable<u32>,
    agents: Vec<Agent>,
}

impl Floor {
    pub(crate) fn observe(&mut self, call: &Call<'_>) {
        let Self { index, agents } = self;
        let (issuer, agent_id) = (call.identity.issuer.as_deref(), &*call.identity.agent_id);
        let hash = key_hash(issuer, agent_id);
        let is = |a: &Agent| a.issuer.as_deref() == issuer && *a.name == *agent_id;
        let found = index.find(hash, |&i| is(&agents[i as usize])).copied();
        let i = found.unwrap_or_else(|| {
            agents.push(Agent { issuer: issuer.map(Into::into), name: agent_id.into(), state: [0; WORDS] });
            let i = agents.len() as u32 - 1;
            index.insert_unique(hash, i, |&i| {
                let a = &agents[i as usize];
                key_hash(a.issuer.as_deref(), &a.name)
            });
            i
        });
        let touched = &mut agents[i as usize].state[..TOUCHED];
        let news = call.ts.as_micros().cast_unsigned();
        for word in &mut *touched {
            *word = word.wrapping_add(news);
        }
        black_box(touched);
    }
}

fn key_hash(issuer: Option<&str>, agent_id: &str) -> u64 {
    let mut hasher = SipHasher13::new();
    for text in [issuer.unwrap_or("\u{0}"), agent_id] {
        hasher.write(text.as_bytes());
        hasher.write(&[0xff]);
    }
    hasher.finish128().as_u128() as u64
}
