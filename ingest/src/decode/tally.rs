//! What decoding noticed and let pass: fields that are not in the schema.

/// The most different unknown field names counted by name; the rest is counted together.
pub const UNKNOWN_NAMES_MAX: usize = 64;

/// The longest unknown field name kept, in bytes; longer ones are counted together with the rest.
const NAME_BYTES_MAX: usize = 128;

/// Counts of unknown fields, by name for the first [`UNKNOWN_NAMES_MAX`] names seen.
///
/// Allocates only when it meets a name for the first time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    names: Vec<(Box<str>, u64)>,
    unnamed: u64,
}

impl Tally {
    /// Nothing seen yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Counts one unknown field.
    pub(super) fn unknown(&mut self, name: &str) {
        if let Some((_, count)) = self.names.iter_mut().find(|(known, _)| **known == *name) {
            *count += 1;
        } else if self.names.len() < UNKNOWN_NAMES_MAX && name.len() <= NAME_BYTES_MAX {
            self.names.push((name.into(), 1));
        } else {
            self.unnamed += 1;
        }
    }

    /// How many unknown fields were met, all names together.
    pub fn unknown_fields(&self) -> u64 {
        self.unnamed + self.names.iter().map(|(_, count)| count).sum::<u64>()
    }

    /// The unknown names and how often each was met, in the order first seen.
    pub fn by_name(&self) -> impl Iterator<Item = (&str, u64)> {
        self.names.iter().map(|(name, count)| (&**name, *count))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_every_field_and_names_a_bounded_number() {
        let mut tally = Tally::new();
        for i in 0..1_000 {
            tally.unknown(&format!("field_{}", i % 100));
        }
        tally.unknown(&"x".repeat(10_000));
        assert_eq!(tally.unknown_fields(), 1_001);
        assert_eq!(tally.by_name().count(), UNKNOWN_NAMES_MAX);
        assert_eq!(tally.by_name().next(), Some(("field_0", 10)));
    }
}
