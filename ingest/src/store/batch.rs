//! Batches by rows, bytes and time.

use std::time::{Duration, Instant};

/// When a batch is full.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchLimits {
    /// The most rows, ≥ 1.
    pub rows_max: usize,
    /// The most bytes; one row larger than this is a batch of its own.
    pub bytes_max: usize,
    /// How long the first row waits for others.
    pub age_max: Duration,
}

/// Rows that wait to be stored together. Pure: time is told, never asked for.
#[derive(Debug)]
pub struct Batcher<T> {
    limits: BatchLimits,
    rows: Vec<T>,
    bytes: usize,
    due: Option<Instant>,
}

impl<T> Batcher<T> {
    /// An empty batch.
    pub fn new(limits: BatchLimits) -> Self {
        Self { limits, rows: Vec::new(), bytes: 0, due: None }
    }

    /// Adds a row of `bytes` that came at `now`. Gives back the batch it completes, if it does.
    ///
    /// The row itself is in that batch unless it is the one that no longer fits; then it begins the next.
    pub fn push(&mut self, row: T, bytes: usize, now: Instant) -> Option<Vec<T>> {
        let overflows = !self.rows.is_empty() && self.bytes.saturating_add(bytes) > self.limits.bytes_max;
        let full = if overflows { Some(self.take()) } else { None };
        self.rows.push(row);
        self.bytes = self.bytes.saturating_add(bytes);
        self.due.get_or_insert(now + self.limits.age_max);
        // Where the row before it made one batch and it alone makes the next, the next waits until it is due.
        let complete = self.rows.len() >= self.limits.rows_max || self.bytes >= self.limits.bytes_max;
        full.or_else(|| complete.then(|| self.take()))
    }

    /// When the batch must go even if it is not full; none while it is empty.
    pub fn due(&self) -> Option<Instant> {
        self.due
    }

    /// Whether the batch must go by now.
    pub fn is_due(&self, now: Instant) -> bool {
        self.due.is_some_and(|due| due <= now)
    }

    /// Takes what there is, in the order it came.
    pub fn take(&mut self) -> Vec<T> {
        self.bytes = 0;
        self.due = None;
        std::mem::take(&mut self.rows)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: BatchLimits = BatchLimits { rows_max: 4, bytes_max: 100, age_max: Duration::from_secs(1) };

    proptest::proptest! {
        #[test]
        fn every_row_leaves_once_in_order_and_no_batch_is_over_its_limits(
            sizes in proptest::collection::vec(0_usize..200, 0..60),
        ) {
            let (mut batcher, now) = (Batcher::new(LIMITS), Instant::now());
            let mut batches: Vec<Vec<(usize, usize)>> = Vec::new();
            for (n, size) in sizes.iter().enumerate() {
                batches.extend(batcher.push((n, *size), *size, now));
            }
            batches.push(batcher.take());
            proptest::prop_assert_eq!(batcher.due(), None);
            let rows: Vec<usize> = batches.iter().flatten().map(|(n, _)| *n).collect();
            proptest::prop_assert_eq!(rows, (0..sizes.len()).collect::<Vec<_>>());
            for batch in &batches {
                let bytes: usize = batch.iter().map(|(_, size)| size).sum();
                proptest::prop_assert!(batch.len() <= LIMITS.rows_max);
                proptest::prop_assert!(bytes <= LIMITS.bytes_max || batch.len() == 1, "{:?}", batch);
            }
        }
    }

    #[test]
    fn the_first_row_sets_when_it_goes() {
        let (mut batcher, start) = (Batcher::new(LIMITS), Instant::now());
        let at = |ms| start + Duration::from_millis(ms);
        assert_eq!(batcher.push('a', 1, at(0)), None);
        assert_eq!(batcher.push('b', 1, at(900)), None);
        assert_eq!(batcher.due(), Some(at(1_000)));
        assert!(!batcher.is_due(at(999)) && batcher.is_due(at(1_000)));
        assert_eq!(batcher.take(), ['a', 'b']);
        assert!(!batcher.is_due(at(5_000)));
    }
}
