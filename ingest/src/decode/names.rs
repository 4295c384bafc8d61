//! Names put together from parts of a record, kept so that a name seen before costs no allocation.

use std::hash::Hasher;
use std::sync::{LazyLock, OnceLock};

use detector::Text;
use rustc_hash::FxHasher;

/// How many names are kept for the life of the process. An AWS account uses a few hundred operations.
const NAMES_MAX: usize = 4096;

/// The longest name kept, in bytes; so the table never holds more than half a megabyte.
const NAME_BYTES_MAX: usize = 128;

/// How many places a name may stand in. A name that finds them taken is put together anew each time.
const PROBES_MAX: usize = 8;

static NAMES: LazyLock<Names> = LazyLock::new(Names::new);

/// `left`, `separator` and `right` as one text.
pub(super) fn joined(left: &str, separator: char, right: &str) -> Text<'static> {
    NAMES.joined(left, separator, right)
}

/// A cache and nothing else: what it holds changes no result, only whether the result had to be allocated.
struct Names(Box<[OnceLock<Box<str>>]>);

impl Names {
    fn new() -> Self {
        Self((0..NAMES_MAX).map(|_| OnceLock::new()).collect())
    }

    fn joined(&self, left: &str, separator: char, right: &str) -> Text<'_> {
        if left.len() + separator.len_utf8() + right.len() <= NAME_BYTES_MAX {
            let first = hash(left, separator, right);
            for probe in 0..PROBES_MAX {
                let slot = &self.0[first.wrapping_add(probe) % NAMES_MAX];
                let name = slot.get_or_init(|| join(left, separator, right).into_boxed_str());
                if is_joined(name, left, separator, right) {
                    return Text::Borrowed(name);
                }
            }
        }
        Text::Owned(join(left, separator, right))
    }
}

fn join(left: &str, separator: char, right: &str) -> String {
    let mut name = String::with_capacity(left.len() + separator.len_utf8() + right.len());
    name.push_str(left);
    name.push(separator);
    name.push_str(right);
    name
}

fn is_joined(name: &str, left: &str, separator: char, right: &str) -> bool {
    name.strip_prefix(left).and_then(|rest| rest.strip_prefix(separator)) == Some(right)
}

fn hash(left: &str, separator: char, right: &str) -> usize {
    let mut hasher = FxHasher::default();
    hasher.write(left.as_bytes());
    hasher.write_u32(separator.into());
    hasher.write(right.as_bytes());
    hasher.finish() as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn joins_alike_with_room_and_without() {
        let names = Names::new();
        for i in 0..3 * NAMES_MAX {
            let right = format!("Operation{i}");
            assert_eq!(names.joined("service", ':', &right), format!("service:{right}"));
        }
        assert_eq!(names.joined("a", '@', &"b".repeat(500)), format!("a@{}", "b".repeat(500)));
        assert!(names.0.iter().filter(|slot| slot.get().is_some()).count() > NAMES_MAX / 2);
    }

    #[test]
    fn a_name_seen_before_is_borrowed() {
        let names = Names::new();
        drop(names.joined("seen", ':', "Before"));
        assert!(matches!(names.joined("seen", ':', "Before"), Text::Borrowed("seen:Before")));
        assert_eq!(names.joined("see", ':', "n:Before"), "see:n:Before");
    }
}
