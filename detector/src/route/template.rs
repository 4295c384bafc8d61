//! Templates that the operator names: of an `OpenAPI` file, of a list, or of a manifest. They win over what is learned.

use std::cmp::Ordering;

use super::key;
use super::path::{self, Path};
use super::segment::PLACE;

/// Templates that are told apart, of files and manifests together; those beyond are read as paths.
pub const TEMPLATES_MAX: usize = 65_536;
/// In a template, what stands for all segments that are left; in its key too.
const REST: &str = "{+}";
/// Methods that a manifest's path without one declares.
const USUAL: [&str; 6] = ["", "GET", "POST", "PUT", "PATCH", "DELETE"];

/// All templates, by host.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Templates {
    hosts: Vec<(Box<str>, Node)>,
    count: usize,
}

/// A position: what may stand there, the most particular first.
#[derive(Clone, Debug, Default, PartialEq)]
struct Node {
    next: Vec<(Part, Node)>,
    ends: Vec<End>,
}

/// What a template has in the place of one segment. In order of how particular it is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Part {
    Literal(Box<str>),
    /// A variable with something before or after it, as `{name}.json`.
    Around(Box<str>, Box<str>),
    Any,
    /// All segments that are left, as `{path+}`.
    Rest,
}

impl Part {
    fn of(segment: &str) -> Self {
        match (segment.find('{'), segment.rfind('}')) {
            (Some(0), Some(end)) if end + 1 == segment.len() => {
                let is_rest = segment.ends_with("+}") || segment.ends_with("*}");
                if is_rest { Self::Rest } else { Self::Any }
            }
            (Some(begin), Some(end)) if begin < end => {
                Self::Around(segment[..begin].into(), segment[end + 1..].into())
            }
            _ => Self::Literal(segment.into()),
        }
    }

    /// Where a name stands beside another in the order of parts.
    fn order(&self, segment: &str) -> Ordering {
        match self {
            Self::Literal(name) => (**name).cmp(segment),
            _ => Ordering::Greater,
        }
    }

    fn holds(&self, segment: &str) -> bool {
        match self {
            Self::Literal(name) => **name == *segment,
            Self::Around(before, after) => segment
                .strip_prefix(&**before)
                .and_then(|rest| rest.strip_suffix(&**after))
                .is_some_and(|value| !value.is_empty()),
            Self::Any | Self::Rest => true,
        }
    }

    fn write(&self, out: &mut String) {
        match self {
            Self::Literal(name) => out.push_str(name),
            Self::Around(before, after) => out.extend([before, PLACE, after]),
            Self::Any => out.push_str(PLACE),
            Self::Rest => out.push_str(REST),
        }
    }
}

/// One template, where it ends.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct End {
    /// None for any.
    method: Option<Box<str>>,
    pub(super) key: Box<str>,
    pub(super) shown: Box<str>,
}

/// A template as it is written: `GET /users/{id}`, the method and what follows a space left out where they do not matter.
struct Written<'a> {
    method: Option<&'static str>,
    operation: Option<&'a str>,
    path: Path,
}

impl<'a> Written<'a> {
    /// None for what is no path: a tool or an operation.
    fn read(text: &'a str) -> Option<Self> {
        let (method, url) = path::split(text)?;
        let (url, operation) = url.split_once(' ').map_or((url, None), |(url, op)| (url, Some(op.trim())));
        let mut path = Path::default();
        path.read(url);
        Some(Self { method, operation: operation.filter(|op| !op.is_empty()), path })
    }

    fn key(&self) -> String {
        let mut key = self.path.host.clone();
        for segment in self.path.segments() {
            key.push('/');
            Part::of(segment).write(&mut key);
        }
        if self.path.segments().len() == 0 {
            key.push('/');
        }
        key
    }
}

/// The keys of what a manifest declares. A path without a method stands for the usual methods.
pub(crate) fn declared(entry: &str) -> impl Iterator<Item = u64> {
    let written = Written::read(entry);
    let methods = match &written {
        Some(Written { method: None, .. }) => &USUAL[..],
        _ => &USUAL[..1],
    };
    methods.iter().map(move |usual| match &written {
        Some(w) => key(w.method.unwrap_or(usual), &w.key(), w.operation),
        None => super::tool(entry, None),
    })
}

impl Templates {
    /// Adds one; what is no path changes nothing.
    pub(super) fn add(&mut self, text: &str) {
        let Some(written) = Written::read(text).filter(|_| self.count < TEMPLATES_MAX) else { return };
        self.count += 1;
        let host = &*written.path.host;
        let at = self.hosts.binary_search_by(|(h, _)| (**h).cmp(host)).unwrap_or_else(|at| {
            self.hosts.insert(at, (host.into(), Node::default()));
            at
        });
        let mut node = &mut self.hosts[at].1;
        let mut shown = host.to_owned();
        for segment in written.path.segments() {
            shown.push('/');
            shown.push_str(segment);
            let part = Part::of(segment);
            let is_rest = part == Part::Rest;
            let at = node.next.binary_search_by(|(p, _)| p.cmp(&part)).unwrap_or_else(|at| {
                node.next.insert(at, (part, Node::default()));
                at
            });
            node = &mut node.next[at].1;
            if is_rest {
                break;
            }
        }
        if shown.len() == host.len() {
            shown.push('/');
        }
        if node.ends.iter().all(|end| end.method.as_deref() != written.method) {
            let (method, key) = (written.method.map(Into::into), written.key().into());
            node.ends.push(End { method, key, shown: shown.into() });
        }
    }

    /// The operation that an entry names after its path.
    pub(super) fn operation(text: &str) -> Option<&str> {
        Written::read(text)?.operation
    }

    /// The template of a path that was read, if one is of it.
    pub(super) fn find(&self, path: &Path, method: &str) -> Option<&End> {
        let at = self.hosts.binary_search_by(|(h, _)| (**h).cmp(&*path.host)).ok()?;
        self.hosts[at].1.find(path, 0, method)
    }
}

impl Node {
    /// Every node is looked at once at most, so a path costs no more than there are templates.
    fn find(&self, path: &Path, depth: usize, method: &str) -> Option<&End> {
        let Some(segment) = path.segments().nth(depth) else { return self.end(method) };
        let others = self.next.partition_point(|(part, _)| matches!(part, Part::Literal(_)));
        let (literals, others) = self.next.split_at(others);
        let literal = literals.binary_search_by(|(part, _)| part.order(segment)).ok().map(|at| &literals[at]);
        let others = others.iter().filter(|(part, _)| part.holds(segment));
        literal.into_iter().chain(others).find_map(|(part, next)| match part {
            Part::Rest => next.end(method),
            _ => next.find(path, depth + 1, method),
        })
    }

    fn end(&self, method: &str) -> Option<&End> {
        let of = |wanted: Option<&str>| self.ends.iter().find(|end| end.method.as_deref() == wanted);
        of(Some(method)).or_else(|| of(None))
    }
}
