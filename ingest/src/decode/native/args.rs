//! `args`: the few argument values whose range matters.

use std::fmt;

use detector::Call;
use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, Visitor};

use crate::decode::json::Place;
use crate::decode::value::{Number, Slot, Word};

/// The longest name of an argument, in bytes.
pub const ARG_NAME_BYTES_MAX: usize = 256;

/// Reads an object of numbers into `call`; a member that is `null` is absent.
pub(super) struct Args<'r, 'de> {
    pub(super) call: &'r mut Call<'de>,
    pub(super) place: &'r mut Place<'de>,
}

impl<'de> DeserializeSeed<'de> for Args<'_, 'de> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_option(self)
    }
}

impl<'de> Visitor<'de> for Args<'_, 'de> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object of numbers")
    }

    fn visit_none<E: Error>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }

    // The default would repeat the text.
    fn visit_str<E: Error>(self, _text: &str) -> Result<(), E> {
        Err(E::invalid_type(serde::de::Unexpected::Other("string"), &self))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(name) = map.next_key_seed(Slot::<Word>::NEW)? {
            let name = name.unwrap_or_default();
            if name.is_empty() || name.len() > ARG_NAME_BYTES_MAX {
                return Err(A::Error::custom("a name that is empty or longer than 256 bytes"));
            }
            if self.call.args.iter().any(|(known, _)| *known == name) {
                self.place.member = Some(name);
                return Err(A::Error::custom("comes twice"));
            }
            self.place.member = Some(name);
            let value = map.next_value_seed(Slot::<Number>::NEW)?;
            if let (Some(name), Some(value)) = (self.place.member.take(), value) {
                self.call
                    .args
                    .try_push((name, value))
                    .map_err(|_| A::Error::custom("more than 16 values"))?;
            }
        }
        Ok(())
    }
}
