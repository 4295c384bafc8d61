//! Endpoint names: what an agent calls, told by the template of its path (endpoint study §5).
//!
//! `/users/1` and `/users/2` are one endpoint. The operator's own templates come first, then what segments look like, then
//! what was learned of a host's paths. A path never loses its method: the key is `METHOD` and the template, and the
//! operation where the log names one (GraphQL, JSON-RPC). Tools and operations of services are no paths and stay as they are.
//!
//! Where a position is found to vary, the keys of its values become one. What is kept by the old ones is told ([`Renamed`]), at once
//! what all agents share, and an agent's own when it calls next. All values of a variable are one endpoint from then on: that
//! one of them was never seen is no evidence.

mod listed;
mod path;
mod segment;
mod template;
#[cfg(test)]
mod tests;
mod trie;

use hashbrown::HashMap;
use rustc_hash::FxBuildHasher;
use serde::{Deserialize, Serialize};

pub(crate) use self::listed::Listed;
use self::path::{METHODS, Path};
pub use self::template::TEMPLATES_MAX;
use self::template::Templates;
pub(crate) use self::template::declared;
use self::trie::{Style, Trie};
use crate::Call;
use crate::hash::hash64;
use crate::stored::in_order;

/// Hosts whose paths are learned, and of these the ones that only newcomers have called.
const HOSTS_MAX: usize = 64;
const YOUNG_HOSTS_MAX: usize = HOSTS_MAX / 4;
/// Old keys that are remembered; what an agent keeps by one beyond is not found again and goes as it gets old.
const RENAMED_MAX: usize = 65_536;
/// The JSON-RPC method of MCP by which every tool is called: the tool is the endpoint.
const MCP_CALL: &str = "tools/call";

/// A key is another from now on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Renamed {
    pub(crate) old: u64,
    pub(crate) new: u64,
}

/// What is known of paths.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Routes {
    #[serde(skip)]
    templates: Templates,
    /// In order of their names.
    hosts: Vec<(Box<str>, Trie)>,
    #[serde(serialize_with = "in_order")]
    renamed: HashMap<u64, u64, FxBuildHasher>,
    /// How often keys were renamed.
    version: u32,
    #[serde(skip)]
    room: Room,
}

/// Room that is used again from call to call.
#[derive(Clone, Debug, Default, PartialEq)]
struct Room {
    path: Path,
    text: String,
    news: Vec<Renamed>,
}

/// By which keys an endpoint is known: a name, or a path's template with its method, as verdicts show it. 16 hexadecimal digits each.
pub fn endpoint_keys(shown: &str) -> impl Iterator<Item = String> {
    declared(shown).map(|key| format!("{key:016x}"))
}

impl Routes {
    /// The operator's templates of now, in place of those before.
    pub(crate) fn set_templates<'a>(&mut self, templates: impl Iterator<Item = &'a str>) {
        self.templates = Templates::default();
        templates.for_each(|t| self.templates.add(t));
    }

    /// The key of what `call` calls. An established agent's call may teach what varies, a newcomer's only where no such agent was.
    pub(crate) fn resolve(&mut self, call: &Call<'_>, is_established: bool) -> u64 {
        let operation = call.operation.as_deref();
        let Some((method, url)) = path::split(&call.endpoint) else { return tool(&call.endpoint, operation) };
        let method = method.unwrap_or_else(|| path::method(call.method.as_deref()));
        let Room { path, text, news } = &mut self.room;
        path.read(url);
        text.clear();
        if let Some(template) = self.templates.find(path, method) {
            return key(method, &template.key, operation);
        }
        text.push_str(&path.host);
        let who = (bit(method), is_established);
        let at = self.hosts.binary_search_by(|(h, _)| (**h).cmp(&path.host));
        let at = match at {
            Ok(at) => Some(at),
            Err(at) => has_room(&self.hosts, is_established).then(|| {
                self.hosts.insert(at, (path.host.as_str().into(), Trie::default()));
                at
            }),
        };
        let trie = at.map(|at| &mut self.hosts[at].1);
        let is_settled = trie::write(path, trie.as_deref(), who, Style::Key, text);
        if let Some(trie) = trie.filter(|_| !is_settled) {
            trie.learn(path, who, news);
            text.truncate(path.host.len());
            trie::write(path, Some(trie), who, Style::Key, text);
        }
        key(method, text, operation)
    }

    /// The template of what `call` calls and its operation, for people; None where the endpoint is shown as it is.
    pub(crate) fn shown(&self, call: &Call<'_>) -> Option<String> {
        let operation = call.operation.as_deref();
        let Some((own, url)) = path::split(&call.endpoint) else {
            return operation.map(|op| match &*call.endpoint {
                MCP_CALL => op.to_owned(),
                endpoint => format!("{endpoint} {op}"),
            });
        };
        let method = own.unwrap_or_else(|| path::method(call.method.as_deref()));
        let mut path = Path::default();
        path.read(url);
        let mut text = String::new();
        if let Some(template) = self.templates.find(&path, method) {
            text.push_str(&template.shown);
        } else {
            text.push_str(&path.host);
            let at = self.hosts.binary_search_by(|(h, _)| (**h).cmp(&path.host));
            let trie = at.ok().map(|at| &self.hosts[at].1);
            trie::write(&path, trie, (0, false), Style::Shown, &mut text);
        }
        let words = [method, &text, operation.unwrap_or("")];
        Some(words.into_iter().filter(|w| !w.is_empty()).collect::<Vec<_>>().join(" "))
    }

    /// Whether a call has shown that keys are to be renamed.
    pub(crate) fn has_news(&self) -> bool {
        !self.room.news.is_empty()
    }

    /// Keys that were renamed since this was asked last, in the order in which they were.
    pub(crate) fn take_news(&mut self) -> Vec<Renamed> {
        let news = std::mem::take(&mut self.room.news);
        self.version = self.version.wrapping_add(u32::from(!news.is_empty()));
        for &Renamed { old, new } in &news {
            if self.renamed.len() < RENAMED_MAX || self.renamed.contains_key(&old) {
                self.renamed.insert(old, new);
            }
        }
        news
    }

    /// How often keys were renamed: whoever kept keys at another version asks [`Self::now`] for each of them.
    pub(crate) fn version(&self) -> u32 {
        self.version
    }

    /// What `key` is called now.
    pub(crate) fn now(&self, key: u64) -> u64 {
        let mut now = key;
        // A path has so many positions, and each of them becomes a variable once.
        for _ in 0..=path::SEGMENTS_MAX {
            match self.renamed.get(&now) {
                Some(&new) => now = new,
                None => break,
            }
        }
        now
    }
}

/// Newcomers' hosts take no more than their share.
fn has_room(hosts: &[(Box<str>, Trie)], is_established: bool) -> bool {
    let young = || hosts.iter().filter(|(_, trie)| !trie.is_known()).count();
    hosts.len() < HOSTS_MAX && (is_established || young() < YOUNG_HOSTS_MAX)
}

/// Where a method stands in the sets of them; none for one that is not of the standard.
fn bit(method: &str) -> u16 {
    METHODS.iter().position(|known| *known == method).map_or(0, |at| 1 << at)
}

/// Whether a text is read as a path or URL, maybe after its method; else it is a tool's or an operation's name.
pub fn is_path(endpoint: &str) -> bool {
    path::split(endpoint).is_some()
}

fn key(method: &str, template: &str, operation: Option<&str>) -> u64 {
    match operation {
        Some(operation) => hash64(&[method, template, operation]),
        None => hash64(&[method, template]),
    }
}

/// The key of what is no path.
fn tool(endpoint: &str, operation: Option<&str>) -> u64 {
    match operation {
        None => hash64(&[endpoint]),
        Some(operation) if endpoint == MCP_CALL => hash64(&[operation]),
        Some(operation) => hash64(&[endpoint, operation]),
    }
}
