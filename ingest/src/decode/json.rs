//! Reading JSON objects field by field, with the failing one always named.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

use detector::Text;
use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, Unexpected, Visitor};

use super::fields::Fields;
use super::{Invalid, Tally, secret};

/// The deepest any format's fields lie.
const DEPTH_MAX: usize = 4;

/// The longest name of a nested member that a reject repeats, in bytes.
const MEMBER_BYTES_MAX: usize = 64;

/// Where in the record reading stands: what an error will be said to be about.
#[derive(Default)]
pub(super) struct Place<'de> {
    path: [&'static str; DEPTH_MAX],
    depth: usize,
    /// The member being read of a field whose member names are the record's own.
    pub(super) member: Option<Text<'de>>,
}

impl Place<'_> {
    fn enter(&mut self, field: &'static str) {
        if let Some(step) = self.path.get_mut(self.depth) {
            *step = field;
        }
        self.depth += 1;
    }

    fn leave(&mut self) {
        self.depth -= 1;
    }

    /// Lays what went wrong to the field being read.
    fn blame(self, why: Invalid) -> Invalid {
        let path = self.path[..self.depth.min(DEPTH_MAX)].join(".");
        let field = match self.member {
            _ if path.is_empty() => return why,
            Some(member) if member.len() <= MEMBER_BYTES_MAX && !secret::is_token(&member) => {
                format!("{path}.{member}")
            }
            _ => path,
        };
        Invalid { field: Some(Cow::Owned(field)), ..why }
    }
}

/// What is made of an object, field by field.
pub(super) trait Fill<'de> {
    /// Its fields.
    type Fields: Fields;

    /// Reads the value of `field` from `map`, exactly once.
    fn fill<A: MapAccess<'de>>(
        &mut self,
        field: Self::Fields,
        map: &mut A,
        place: &mut Place<'de>,
    ) -> Result<(), A::Error>;
}

/// Reads `record`, one JSON object and nothing else, into `target`; counts fields it does not know.
///
/// The text is checked to be UTF-8 once and as a whole: that costs less than by string, and covers what is skipped.
/// Nesting cannot exhaust the stack: what is read has a fixed depth, and what is skipped is skipped in a loop.
pub(super) fn read_record<'de, T: Fill<'de>>(
    record: &'de [u8],
    target: &mut T,
    tally: &mut Tally,
) -> Result<(), Invalid> {
    let text = std::str::from_utf8(record)
        .map_err(|e| Invalid::line(format!("not UTF-8 from byte {} on", e.valid_up_to())))?;
    // Any other JSON value would be repeated in serde_json's message.
    match text.trim_ascii_start().as_bytes().first() {
        Some(b'{') => {}
        Some(_) => return Err(Invalid::line("not a JSON object")),
        None => return Err(Invalid::line("blank")),
    }
    let mut json = serde_json::Deserializer::from_str(text);
    let mut place = Place::default();
    let object = Object { target, place: &mut place, tally: Some(tally) };
    match object.deserialize(&mut json).and_then(|()| json.end()) {
        Ok(()) => Ok(()),
        Err(e) => Err(place.blame(in_words(&e))),
    }
}

/// The message with the position in the record; the record's place in its file is told elsewhere.
fn in_words(error: &serde_json::Error) -> Invalid {
    let (line, column) = (error.line(), error.column());
    let words = error.to_string();
    let bare = words.strip_suffix(&format!(" at line {line} column {column}")).unwrap_or(&words);
    Invalid::line(match line {
        0 | 1 => format!("{bare}, at column {column}"),
        _ => format!("{bare}, at line {line} column {column} of the record"),
    })
}

/// Reads an object into its target. `null` leaves the target as it is.
pub(super) struct Object<'r, 'de, T> {
    target: &'r mut T,
    place: &'r mut Place<'de>,
    tally: Option<&'r mut Tally>,
}

impl<'r, 'de, T> Object<'r, 'de, T> {
    /// An object within another, whose unknown fields are not counted.
    pub(super) fn nested(target: &'r mut T, place: &'r mut Place<'de>) -> Self {
        Self { target, place, tally: None }
    }
}

impl<'de, T: Fill<'de>> DeserializeSeed<'de> for Object<'_, 'de, T> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de, T: Fill<'de>> Visitor<'de> for Object<'_, 'de, T> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        Ok(())
    }

    // The default would repeat the text.
    fn visit_str<E: Error>(self, _text: &str) -> Result<(), E> {
        Err(E::invalid_type(Unexpected::Other("string"), &self))
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<(), A::Error> {
        let mut seen = 0_u64;
        while let Some(field) = map.next_key_seed(Key::new(self.tally.as_deref_mut()))? {
            let Some(field): Option<T::Fields> = field else {
                map.next_value::<IgnoredAny>()?;
                continue;
            };
            self.place.enter(field.name());
            if seen & field.bit() != 0 {
                return Err(A::Error::custom("comes twice"));
            }
            seen |= field.bit();
            self.target.fill(field, &mut map, self.place)?;
            self.place.leave();
        }
        Ok(())
    }
}

/// Reads a key: the field of that name, or `None` and a count where there is no such field.
struct Key<'t, F> {
    tally: Option<&'t mut Tally>,
    fields: PhantomData<F>,
}

impl<'t, F> Key<'t, F> {
    fn new(tally: Option<&'t mut Tally>) -> Self {
        Self { tally, fields: PhantomData }
    }
}

impl<'de, F: Fields> DeserializeSeed<'de> for Key<'_, F> {
    type Value = Option<F>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Option<F>, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<F: Fields> Visitor<'_> for Key<'_, F> {
    type Value = Option<F>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a field name")
    }

    fn visit_str<E: Error>(self, name: &str) -> Result<Option<F>, E> {
        let field = F::from_name(name);
        if let (None, Some(tally)) = (&field, self.tally) {
            tally.unknown(name);
        }
        Ok(field)
    }
}
