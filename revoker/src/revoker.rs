//! The revoker: decides on verdicts and on what persons say, and writes down what is to be done before anything is.
//!
//! A standing, its effects and its audit entry are one transaction. Standings are also held in memory, so that a verdict
//! that changes nothing costs a look-up: the memory follows a commit and never runs ahead of one, but for what a
//! standing only remembers (see [`memory`](self)). One process owns a file, and a command beside it may write approvers,
//! never standings; of a database several processes may each have a memory (see [`shared`](self)).

mod apply;
mod ask;
mod cascade;
mod channel;
mod company;
mod decision;
mod epoch;
mod exposure;
mod feedback;
mod first;
mod fleetwide;
mod forecast;
mod handle;
mod heads;
mod journal;
mod limits;
mod lists;
mod lives;
mod manifests;
mod memory;
mod notice;
mod operate;
mod parts;
mod pause;
mod push;
mod register;
mod settled;
mod shared;
mod tick;
mod void;
mod write;

use std::collections::{HashSet, VecDeque};
use std::path::Path;
use std::sync::atomic::AtomicI64;
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::Duration;

use detector::{Manifest, Timestamp, VerdictRecord};
use tokio::sync::{broadcast, watch};

pub use self::apply::{Applied, ApplyError};
pub use self::ask::{AskError, Put};
pub use self::cascade::Planned;
pub use self::channel::ChannelError;
use self::company::Company;
pub use self::decision::{Admission, Decision};
use self::epoch::Mark;
use self::exposure::Exposures;
pub use self::feedback::Evidence;
pub use self::fleetwide::{Confirmed, Person};
pub use self::handle::Heard;
use self::journal::Journal;
pub use self::lists::Story;
use self::memory::{Limits, Memory};
pub use self::operate::{RedeliverError, Redelivered};
pub use self::push::{PushError, PushedBy};
pub(crate) use self::settled::Settled;
pub use self::write::Write;
use crate::approval::Grants;
use crate::approval::webauthn::RelyingParty;
use crate::connector::Route;
use crate::connector::tokens::Tokens;
use crate::groups::Crowd;
use crate::keys::{KeySource, Keys, Lock};
use crate::policy::Policy;
use crate::purpose::Purposes;
use crate::standing::Standing;
use crate::store::db::Connection;
use crate::store::open::OpenError;
use crate::store::settings::Pause;
use crate::store::{
    Place, Store, StoreError, agents, changes, handled, manifests as recorded, reach, revocations, sealed,
    settings,
};

/// What a revoker is made of.
#[derive(Clone, Debug)]
pub struct Setup {
    /// The operator's choices.
    pub policy: Policy,
    /// Where people reach this installation, without a `/` at the end: the start of the address of an approval's page.
    pub public_url: String,
    /// Who is told what; those of the escalation list in its order.
    pub routes: Vec<Route>,
    /// What the configuration declares of agents.
    pub manifests: Vec<Manifest>,
    /// Who relies on passkeys, where they can be used.
    pub relying_party: Option<RelyingParty>,
    /// Whether an identity provider asks people in its own app.
    pub pushes: bool,
    /// How long any token of an agent lives at most, unless its manifest says longer: so long its last `not_before` is listed on after it
    /// was given its access back.
    pub token_lifetime_max: Duration,
}

/// The handle. Cloning it is cheap and shares everything.
#[derive(Clone)]
pub struct Revoker {
    inner: Arc<Inner>,
}

struct Inner {
    store: Store,
    memory: RwLock<Memory>,
    keys: Arc<Keys>,
    grants: Grants,
    relying_party: Option<RelyingParty>,
    pushes: bool,
    token_lifetime_max: Duration,
    mark: Mark,
    journal: Journal,
    /// Nobody changes the keys meanwhile.
    _lock: Lock,
    routes: Vec<Route>,
    purposes: RwLock<Arc<Purposes>>,
    kin_known: Mutex<HashSet<u64>>,
    crowd: Crowd,
    company: Company,
    exposures: Exposures,
    public_url: String,
    changes: watch::Sender<u64>,
    settled: broadcast::Sender<Settled>,
    /// Whose turn it is to read: the others wait without a thread, which each would have for itself at the lock.
    turn: tokio::sync::Mutex<()>,
    limits: Limits,
    tokens: Tokens,
    /// The last change of the record that the memory follows. Moved by who holds the writer.
    seen: AtomicI64,
}

impl Inner {
    // A panic between two writes to the memory leaves it behind the store for one agent at most, and the next change of
    // that agent puts it right; refusing all answers from then on would be worse.
    fn memory(&self) -> RwLockReadGuard<'_, Memory> {
        self.memory.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn memory_mut(&self) -> RwLockWriteGuard<'_, Memory> {
        self.memory.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Revoker {
    /// Opens or makes the record `revoker.db` and the key file `revoker.key` in `data_dir`.
    pub fn open(data_dir: &Path, setup: Setup) -> Result<Self, OpenError> {
        let keys = KeySource::Own(data_dir.join("revoker.key"));
        Self::open_by(&Place::in_dir(data_dir), data_dir, setup, &keys)
    }

    /// Opens or makes the record at `place` with these keys; what else is kept lies in `data_dir`.
    pub fn open_by(
        place: &Place,
        data_dir: &Path,
        setup: Setup,
        keys: &KeySource,
    ) -> Result<Self, OpenError> {
        Self::open_whole((place, data_dir), setup, Limits::default(), keys)
    }

    #[cfg(test)]
    pub(crate) fn open_with(data_dir: &Path, setup: Setup, limits: Limits) -> Result<Self, OpenError> {
        let keys = KeySource::Own(data_dir.join("revoker.key"));
        Self::open_whole((&crate::testing::place(data_dir), data_dir), setup, limits, &keys)
    }

    fn open_whole(
        (place, data_dir): (&Place, &Path),
        setup: Setup,
        limits: Limits,
        source: &KeySource,
    ) -> Result<Self, OpenError> {
        for (i, route) in setup.routes.iter().enumerate() {
            if setup.routes[..i].iter().any(|other| other.name == route.name) {
                return Err(OpenError::TwoTargets(route.name.clone()));
            }
        }
        let store = Store::open(place)?;
        std::fs::create_dir_all(data_dir)
            .map_err(|source| OpenError::Create { path: data_dir.to_owned(), source })?;
        let lock = Lock::shared(data_dir)?;
        let keys = {
            let mut writer = store.writer();
            let tx = writer.transaction()?;
            let keys = sealed::rooted(&tx, Keys::new(&source.read()?)?)?;
            tx.commit()?;
            Arc::new(keys)
        };
        let (memory, seen) = remember(&store, setup.policy)?;
        let set = recorded::all(&store.reader())?.into_iter().map(|set| set.manifest);
        let purposes = Purposes::new(setup.manifests.into(), set);
        let inner = Inner {
            store,
            memory: RwLock::new(memory),
            grants: Grants::new(&keys, &setup.public_url)?,
            keys,
            relying_party: setup.relying_party,
            pushes: setup.pushes,
            token_lifetime_max: setup.token_lifetime_max,
            mark: Mark::beside(data_dir),
            journal: Journal::beside(data_dir),
            _lock: lock,
            routes: setup.routes,
            purposes: RwLock::new(Arc::new(purposes)),
            kin_known: Mutex::default(),
            crowd: Crowd::default(),
            company: Company::default(),
            exposures: Exposures::default(),
            public_url: setup.public_url,
            changes: watch::Sender::new(0),
            settled: broadcast::Sender::new(settled::KEPT),
            turn: tokio::sync::Mutex::default(),
            limits,
            tokens: Tokens::default(),
            seen: AtomicI64::new(seen),
        };
        inner.look_for_restore(now())?;
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Where the agent stands, from memory.
    pub fn standing(&self, issuer: Option<&str>, agent_id: &str) -> Standing {
        self.inner.memory().get(issuer, agent_id).map_or(Standing::Trusted, |held| held.live)
    }

    /// What the agent may do by its standing alone, from memory: the answer where a verdict did not arrive in time.
    pub fn admission(&self, issuer: Option<&str>, agent_id: &str) -> Admission {
        Admission::of(&self.standing(issuer, agent_id))
    }

    /// The policy in force.
    pub fn policy(&self) -> Policy {
        self.inner.memory().policy().clone()
    }

    /// Who paused automatic action, for whom and until when.
    pub fn pauses(&self) -> Vec<Pause> {
        self.inner.memory().pauses().to_vec()
    }

    /// The installation's keys.
    pub fn keys(&self) -> &Arc<Keys> {
        &self.inner.keys
    }

    /// Who relies on passkeys, where they can be used.
    pub fn relying_party(&self) -> Option<&RelyingParty> {
        self.inner.relying_party.as_ref()
    }

    /// Tokens of agents that gateways handed on.
    pub fn tokens(&self) -> &Tokens {
        &self.inner.tokens
    }

    /// Moves after every commit that changed something.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.inner.changes.subscribe()
    }

    /// Runs `f` in one transaction on a thread that may block. An error rolls everything back.
    pub async fn write<T, E>(
        &self,
        f: impl FnOnce(&mut Write<'_>) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
    {
        let inner = Arc::clone(&self.inner);
        let done = tokio::task::spawn_blocking(move || inner.write(f)).await;
        done.unwrap_or_else(|_| Err(StoreError::Stopped.into()))
    }

    /// Runs `f` on the reading connection, on a thread that may block. It sees what was committed before it began.
    pub async fn read<T, E>(
        &self,
        f: impl FnOnce(&Connection) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
    {
        let _turn = self.inner.turn.lock().await;
        let inner = Arc::clone(&self.inner);
        let done = tokio::task::spawn_blocking(move || f(&inner.store.reader())).await;
        done.unwrap_or_else(|_| Err(StoreError::Stopped.into()))
    }

    /// The same for the executor, which waits for nobody's lists.
    pub(crate) async fn read_outbox<T: Send + 'static>(
        &self,
        f: impl FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let inner = Arc::clone(&self.inner);
        let done = tokio::task::spawn_blocking(move || f(&inner.store.outbox())).await;
        done.unwrap_or(Err(StoreError::Stopped))
    }

    /// Takes what is heard, in order: decides, writes down what is to be done, and tells how each verdict was decided. What is told
    /// is taken out, and durable. Blocks, mostly for no longer than look-ups.
    ///
    /// The same verdict again gets the same answer and does nothing more. After an error nothing has changed by what is left: give
    /// it again.
    pub fn hear(
        &self,
        heard: &mut VecDeque<Heard>,
        now: Timestamp,
        mut told: impl FnMut(&VerdictRecord, Decision),
    ) -> Result<(), StoreError> {
        for next in heard.iter() {
            if let Heard::Verdict(record) = next {
                self.inner.learn_kin(record, now)?;
            }
        }
        while !heard.is_empty() {
            let decided = self.inner.hear(heard.make_contiguous(), now)?;
            for (next, decision) in heard.drain(..decided.len()).zip(decided) {
                if let (Heard::Verdict(record), Some(decision)) = (next, decision) {
                    told(&record, decision);
                }
            }
        }
        Ok(())
    }

    /// Takes one verdict, and answers it.
    #[cfg(test)]
    pub(crate) fn handle(&self, record: &VerdictRecord, now: Timestamp) -> Result<Decision, StoreError> {
        let mut answer = None;
        let mut heard = VecDeque::from([Heard::Verdict(Arc::new(record.clone()))]);
        self.hear(&mut heard, now, |_, decision| answer = Some(decision))?;
        Ok(answer.unwrap())
    }
}

/// What the record holds, and the last change that it holds.
fn remember(store: &Store, policy: Policy) -> Result<(Memory, i64), StoreError> {
    let db = store.reader();
    let db = db.snapshot()?;
    let seen = if db.is_shared() { changes::newest(&db)? } else { 0 };
    let recent = handled::newest(&db, memory::RECENT_MAX)?;
    let (agents, pauses, spent) = (agents::all(&db)?, settings::pauses(&db)?, settings::spent(&db)?);
    let mut memory = Memory::new(agents, recent, policy, pauses, spent);
    memory.replace_reach(reach::newest(&db, memory::REACH_MAX)?);
    memory.replace_ended(revocations::ended_parts(&db)?);
    memory.replace_lifted(revocations::lifted(&db)?);
    Ok((memory, seen))
}

/// The wall clock, for what opening the record may have to write down.
fn now() -> Timestamp {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_micros(i64::try_from(since.as_micros()).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests;
