//! Which positions of a host's paths vary, learned from the paths themselves (endpoint study §5).
//!
//! A position with many names, most of them seen a few times, holds a variable: the few that are seen often stay names. What
//! varied under a name that is no more is merged. Whoever is new teaches little: its names have a quarter of the room, and
//! where an established agent has been they count for nothing, so a flood of paths from one newcomer hides nothing.

use serde::{Deserialize, Serialize};

use super::path::{METHODS, Path};
use super::segment::{PLACE, Segment};
use super::{Renamed, key};

/// A position with more names than this of which more than this share is thin, seen so often at most, is a variable.
const NAMES_MAX: usize = 24;
const THIN_PERCENT: usize = 70;
const THIN_HITS: u8 = 4;
/// Nodes of one host (study §5), and of these the ones that only newcomers have called.
pub(super) const NODES_MAX: u32 = 2_000;
const YOUNG_MAX: u32 = NODES_MAX / 4;

/// The paths of one host.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Trie {
    root: Node,
    nodes: u32,
    young: u32,
}

/// A position, and what was called after it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Node {
    /// In order of their names.
    names: Vec<Child>,
    var: Option<Box<Node>>,
    /// A set of [`METHODS`] with which a path that ends here was called.
    methods: u16,
    /// Calls, up to one more than thin.
    hits: u8,
    /// An established agent has called it.
    is_known: bool,
    /// New names after it are a variable's values.
    varies: bool,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Child {
    name: Box<str>,
    /// A number follows the name.
    is_prefix: bool,
    node: Node,
}

impl Child {
    fn write(&self, out: &mut String) {
        out.push('/');
        out.push_str(&self.name);
        if self.is_prefix {
            out.push_str(PLACE);
        }
    }
}

/// How a path is written: for its key, or with the types of what varies.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Style {
    Key,
    Shown,
}

/// Appends `path` as `trie` has it, or, without one, by the looks of its segments alone. True if a call by such an agent
/// has nothing to teach.
pub(super) fn write(
    path: &Path,
    trie: Option<&Trie>,
    (method, is_established): (u16, bool),
    style: Style,
    out: &mut String,
) -> bool {
    let is_full = trie.is_some_and(|t| t.nodes >= NODES_MAX);
    let mut at = trie.map(|t| &t.root);
    let mut is_settled = at.is_none_or(|root| root.is_known || !is_established);
    if path.segments().len() == 0 {
        out.push('/');
    }
    for segment in path.segments() {
        out.push('/');
        let (name, is_prefix, id) = parts(segment);
        let id = id.unwrap_or("{var}");
        let child = at.filter(|_| !name.is_empty()).and_then(|node| node.child(name, is_prefix));
        let varies = name.is_empty() || child.is_none() && (is_full || at.is_some_and(|node| node.varies));
        if varies {
            out.push_str(if style == Style::Key { PLACE } else { id });
        } else {
            out.push_str(name);
            if is_prefix {
                out.push_str(if style == Style::Key { PLACE } else { "{int}" });
            }
        }
        let next = if varies { at.and_then(|node| node.var.as_deref()) } else { child };
        is_settled &= match (at, next) {
            (None, _) => true,
            (Some(_), None) => false,
            (Some(from), Some(to)) => {
                (to.is_known || !is_established)
                    && (varies || to.hits > THIN_HITS || !is_established && from.is_known)
            }
        };
        at = next;
    }
    is_settled && at.is_none_or(|end| end.methods & method == method)
}

/// The name in a segment (empty where it varies by its looks), whether a number follows it, and its type if it varies.
fn parts(segment: &str) -> (&str, bool, Option<&'static str>) {
    match Segment::of(segment) {
        Segment::Name(name) => (name, false, None),
        Segment::Prefixed(prefix) => (prefix, true, None),
        Segment::Id(id) => ("", false, Some(id)),
    }
}

impl Trie {
    #[cfg(test)]
    pub(super) fn nodes(&self) -> u32 {
        self.nodes
    }

    #[cfg(test)]
    pub(super) fn is_counted(&self) -> bool {
        self.root.count() == (self.nodes, self.young)
    }

    /// Whether an established agent has called this host.
    pub(super) fn is_known(&self) -> bool {
        self.root.is_known
    }

    /// Learns one call, and which keys are others from now on.
    pub(super) fn learn(
        &mut self,
        path: &Path,
        (method, is_established): (u16, bool),
        renamed: &mut Vec<Renamed>,
    ) {
        let free = NODES_MAX.saturating_sub(self.nodes);
        let room = if is_established { free } else { free.min(YOUNG_MAX.saturating_sub(self.young)) };
        let prefix = path.host.clone();
        let mut lesson = Lesson {
            path,
            method,
            is_established,
            room,
            is_full: free == 0,
            prefix,
            renamed,
            is_news: false,
        };
        lesson.is_news = is_established && !self.root.is_known;
        self.root.is_known |= is_established;
        self.root.learn(0, &mut lesson);
        if lesson.is_news {
            (self.nodes, self.young) = self.root.count();
        }
    }
}

/// One call on its way down the trie.
struct Lesson<'a> {
    path: &'a Path,
    method: u16,
    is_established: bool,
    /// Nodes that it may make.
    room: u32,
    is_full: bool,
    /// The key of the position it has come to.
    prefix: String,
    renamed: &'a mut Vec<Renamed>,
    /// It made a node, or made one known.
    is_news: bool,
}

impl Node {
    fn search(&self, name: &str, is_prefix: bool) -> Result<usize, usize> {
        self.names.binary_search_by(|c| (&*c.name, c.is_prefix).cmp(&(name, is_prefix)))
    }

    fn child(&self, name: &str, is_prefix: bool) -> Option<&Self> {
        self.search(name, is_prefix).ok().map(|i| &self.names[i].node)
    }

    fn learn(&mut self, depth: usize, lesson: &mut Lesson<'_>) {
        let Some(segment) = lesson.path.segments().nth(depth) else {
            self.methods |= lesson.method;
            return;
        };
        let counts = lesson.is_established || !self.is_known;
        let here = lesson.prefix.len();
        let Some(next) = self.enter(segment, lesson) else { return };
        next.hits = next.hits.saturating_add(u8::from(counts)).min(THIN_HITS + 1);
        let is_news = lesson.is_news || lesson.is_established && !next.is_known;
        lesson.is_news = is_news;
        next.is_known |= lesson.is_established;
        next.learn(depth + 1, lesson);
        lesson.prefix.truncate(here);
        if is_news {
            self.settle(&mut lesson.prefix, lesson.renamed);
        }
    }

    /// What follows by `segment`, made where there is room.
    fn enter(&mut self, segment: &str, lesson: &mut Lesson<'_>) -> Option<&mut Self> {
        let (name, is_prefix, _) = parts(segment);
        let found = self.search(name, is_prefix);
        let is_name = !name.is_empty() && (found.is_ok() || !self.varies && !lesson.is_full);
        let is_new = if is_name { found.is_err() } else { self.var.is_none() };
        if is_new {
            lesson.room = lesson.room.checked_sub(1)?;
            lesson.is_news = true;
        }
        if !is_name {
            lesson.prefix.push('/');
            lesson.prefix.push_str(PLACE);
            return Some(&mut **self.var.get_or_insert_default());
        }
        let (Ok(at) | Err(at)) = found;
        if is_new {
            self.names.insert(at, Child { name: name.into(), is_prefix, node: Self::default() });
        }
        let child = &mut self.names[at];
        child.write(&mut lesson.prefix);
        Some(&mut child.node)
    }

    /// Whether a name after it is nothing but one value: only what established agents called counts once one was here.
    fn is_thin(&self, child: &Child) -> bool {
        child.node.hits <= THIN_HITS || self.is_known && !child.node.is_known
    }

    fn holds_variable(&self) -> bool {
        let counted = self.names.iter().filter(|c| c.node.is_known || !self.is_known);
        let (all, thin) =
            counted.fold((0, 0), |(all, thin), c| (all + 1, thin + usize::from(c.node.hits <= THIN_HITS)));
        self.varies && self.names.iter().any(|c| self.is_thin(c))
            || all > NAMES_MAX && thin * 100 > all * THIN_PERCENT
    }

    /// Makes a variable of the thin names after `prefix`, if they are one, and of what that brings together below.
    fn settle(&mut self, prefix: &mut String, renamed: &mut Vec<Renamed>) {
        if !self.holds_variable() {
            return;
        }
        let (thin, names) = std::mem::take(&mut self.names).into_iter().partition(|c| self.is_thin(c));
        self.names = names;
        self.varies = true;
        let thin: Vec<Child> = thin;
        let var = self.var.get_or_insert_default();
        let here = prefix.len();
        for child in thin {
            child.write(prefix);
            let mut new = format!("{}/{PLACE}", &prefix[..here]);
            child.node.rename(prefix, &mut new, renamed);
            prefix.truncate(here);
            var.merge(child.node);
        }
        prefix.push('/');
        prefix.push_str(PLACE);
        var.settle_all(prefix, renamed);
        prefix.truncate(here);
    }

    fn settle_all(&mut self, prefix: &mut String, renamed: &mut Vec<Renamed>) {
        self.settle(prefix, renamed);
        let here = prefix.len();
        for child in &mut self.names {
            child.write(prefix);
            child.node.settle_all(prefix, renamed);
            prefix.truncate(here);
        }
        if let Some(var) = &mut self.var {
            prefix.push('/');
            prefix.push_str(PLACE);
            var.settle_all(prefix, renamed);
            prefix.truncate(here);
        }
    }

    /// What ended here and below, by its old key and by its new one.
    fn rename(&self, old: &mut String, new: &mut String, renamed: &mut Vec<Renamed>) {
        for (i, method) in METHODS.iter().enumerate() {
            if self.methods & 1 << i != 0 {
                renamed.push(Renamed { old: key(method, old, None), new: key(method, new, None) });
            }
        }
        let ends = (old.len(), new.len());
        for child in &self.names {
            child.write(old);
            child.write(new);
            child.node.rename(old, new, renamed);
            old.truncate(ends.0);
            new.truncate(ends.1);
        }
        if let Some(var) = &self.var {
            for text in [&mut *old, &mut *new] {
                text.push('/');
                text.push_str(PLACE);
            }
            var.rename(old, new, renamed);
            old.truncate(ends.0);
            new.truncate(ends.1);
        }
    }

    fn merge(&mut self, other: Self) {
        self.methods |= other.methods;
        self.hits = self.hits.saturating_add(other.hits).min(THIN_HITS + 1);
        self.is_known |= other.is_known;
        self.varies |= other.varies;
        for child in other.names {
            match self.search(&child.name, child.is_prefix) {
                Ok(at) => self.names[at].node.merge(child.node),
                Err(at) => self.names.insert(at, child),
            }
        }
        if let Some(var) = other.var {
            self.var.get_or_insert_default().merge(*var);
        }
    }

    /// Nodes below it, and those of them that only newcomers have called.
    fn count(&self) -> (u32, u32) {
        let below = self.names.iter().map(|c| &c.node).chain(self.var.as_deref());
        below.fold((0, 0), |(all, young), node| {
            let (nodes, its_young) = node.count();
            (all + 1 + nodes, young + u32::from(!node.is_known) + its_young)
        })
    }
}
