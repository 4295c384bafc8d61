//! Waiting for something to become true, and for never longer than said.

use std::time::{Duration, Instant};

/// Between two looks: short beside what a part takes to answer, long beside what a look costs.
const PAUSE: Duration = Duration::from_millis(20);

/// Looks until `probe` gives something, and gives up after `limit`.
pub(crate) fn until<T>(limit: Duration, mut probe: impl FnMut() -> Option<T>) -> Option<T> {
    let end = Instant::now() + limit;
    loop {
        if let Some(found) = probe() {
            return Some(found);
        }
        if Instant::now() >= end {
            return None;
        }
        std::thread::sleep(PAUSE);
    }
}

/// Looks until `look` gives `wanted`; fails with the last look otherwise.
pub(crate) fn until_eq<T: PartialEq + std::fmt::Debug>(
    what: &str,
    limit: Duration,
    wanted: &T,
    mut look: impl FnMut() -> T,
) {
    let mut last = None;
    let found = until(limit, || {
        let now = look();
        let same = now == *wanted;
        last = Some(now);
        same.then_some(())
    });
    assert!(found.is_some(), "{what}: {wanted:?} was awaited for {limit:?}, the last look gave {last:?}");
}
