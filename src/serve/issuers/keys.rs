//! An issuer's published keys, held for a while.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use jsonwebtoken::jwk::{Jwk, JwkSet};
use reqwest::{Client, Url};
use revoker::connector::http::{client, detail, read_json};
use revoker::connector::target::Target;
use serde::Deserialize;

/// A key that is no longer published counts no longer than this.
const AGE_MAX: Duration = Duration::from_mins(10);

/// While the issuer does not answer, the keys known last count this long.
const STALE_MAX: Duration = Duration::from_hours(24);

/// Keys are not fetched more often: whoever sends tokens of unknown keys must not have us flood the issuer.
const EVERY: Duration = Duration::from_secs(10);

const TIMEOUT: Duration = Duration::from_secs(5);

/// No published set of keys is longer.
const SET_BYTES_MAX: usize = 256 * 1024;

pub(in crate::serve) struct Keys {
    client: Client,
    discovery: Url,
    jwks: Option<Url>,
    issuer: String,
    insecure: bool,
    held: Mutex<Held>,
    /// One fetch at a time.
    fetching: tokio::sync::Mutex<()>,
}

#[derive(Default)]
struct Held {
    set: Vec<Jwk>,
    fetched: Option<Instant>,
    tried: Option<Instant>,
}

#[derive(Deserialize)]
struct Discovery {
    issuer: String,
    jwks_uri: String,
}

impl Keys {
    pub(in crate::serve) fn new(
        discovery: &Target,
        jwks: Option<&Target>,
        issuer: &str,
    ) -> Result<Self, String> {
        Ok(Self {
            client: client(discovery)?,
            discovery: discovery.url().clone(),
            insecure: discovery.is_insecure(),
            jwks: jwks.map(|target| target.url().clone()),
            issuer: issuer.to_owned(),
            held: Mutex::default(),
            fetching: tokio::sync::Mutex::default(),
        })
    }

    /// The key of this name; of a token that names none the only key there is.
    ///
    /// Who names a key that is known waits for no fetch while another's is under way: an issuer that hangs, or tokens of keys
    /// that nobody has, must not hold up everybody else.
    pub(in crate::serve) async fn find(&self, kid: Option<&str>) -> Result<Option<Jwk>, String> {
        let (known, age) = self.known(kid);
        let _fetching = match (&known, age) {
            (Some(_), Some(age)) if age < AGE_MAX => return Ok(known),
            (Some(_), Some(age)) if age < STALE_MAX => match self.fetching.try_lock() {
                Ok(guard) => guard,
                Err(_) => return Ok(known),
            },
            _ => self.fetching.lock().await,
        };
        let tried = if self.may_try() { self.fetch().await } else { Ok(()) };
        let (known, age) = self.known(kid);
        if age.is_none_or(|age| age >= STALE_MAX) {
            tried?;
            return Ok(None);
        }
        Ok(known)
    }

    /// Fetches them now.
    pub(super) async fn refresh(&self) -> Result<(), String> {
        let _fetching = self.fetching.lock().await;
        self.fetch().await
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The key, and how old what is known is.
    fn known(&self, kid: Option<&str>) -> (Option<Jwk>, Option<Duration>) {
        let held = self.held();
        (named(&held.set, kid).cloned(), held.fetched.map(|at| at.elapsed()))
    }

    fn may_try(&self) -> bool {
        self.held().tried.is_none_or(|at| at.elapsed() >= EVERY)
    }

    async fn fetch(&self) -> Result<(), String> {
        self.held().tried = Some(Instant::now());
        let url = match &self.jwks {
            Some(url) => url.clone(),
            None => self.discover().await?,
        };
        let set: JwkSet = self.get(url).await?;
        let mut held = self.held();
        (held.set, held.fetched) = (set.keys, Some(Instant::now()));
        Ok(())
    }

    async fn discover(&self) -> Result<Url, String> {
        let found: Discovery = self.get(self.discovery.clone()).await?;
        // OIDC Discovery 1.0, section 4.3: else one issuer could speak for another.
        if found.issuer != self.issuer {
            return Err(format!("discovery says that it is `{}`", found.issuer));
        }
        let target = Target::new(&found.jwks_uri, self.insecure).map_err(|e| format!("jwks_uri: {e}"))?;
        Ok(target.url().clone())
    }

    /// A document of the issuer's, by its bounded length.
    pub(in crate::serve) async fn get<T: serde::de::DeserializeOwned>(&self, url: Url) -> Result<T, String> {
        let answer = self.client.get(url).timeout(TIMEOUT).send().await.map_err(detail)?;
        if !answer.status().is_success() {
            return Err(format!("answered {}", answer.status().as_u16()));
        }
        read_json(answer, SET_BYTES_MAX).await
    }
}

fn named<'a>(set: &'a [Jwk], kid: Option<&str>) -> Option<&'a Jwk> {
    match (kid, set) {
        (Some(kid), _) => set.iter().find(|key| key.common.key_id.as_deref() == Some(kid)),
        (None, [only]) => Some(only),
        (None, _) => None,
    }
}
