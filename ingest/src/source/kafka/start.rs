//! Where to read a partition from, and what is lost if that is not where we stopped.

/// The first and the next offset of a partition, as the broker has it now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Held {
    pub(super) first: i64,
    pub(super) next: i64,
}

/// Where to start, and whether that skips or repeats records that nobody can help.
///
/// `wanted` is where we stopped; none for a partition never read.
pub(super) fn start(wanted: Option<i64>, held: Held) -> (i64, bool) {
    match wanted {
        None => (held.first, false),
        Some(at) if at < held.first => (held.first, true),
        // The partition ends before the place where we were: it is not the one that we read.
        Some(at) if at > held.next => (held.first, true),
        Some(at) => (at, false),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn goes_on_where_it_stopped_unless_that_is_gone() {
        let held = Held { first: 10, next: 20 };
        assert_eq!(start(None, held), (10, false));
        assert_eq!(start(Some(10), held), (10, false));
        assert_eq!(start(Some(15), held), (15, false));
        assert_eq!(start(Some(20), held), (20, false));
        assert_eq!(start(Some(9), held), (10, true));
        assert_eq!(start(Some(21), held), (10, true));
        assert_eq!(start(Some(5), Held { first: 0, next: 0 }), (0, true));
    }
}
