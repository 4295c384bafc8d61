//! Codes for who lost phone and passkey: ten of them, each good once, in place of a one-time code and for no more than that.

use super::{ApproverName, Digest};
use crate::keys::Keys;

/// Codes that a person gets.
const CODES: usize = 10;

/// Letters and digits that are not taken for one another (Crockford's base 32, in small letters).
const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";

/// Signs of a code: 50 random bits. One-time codes have six, so the two are told apart by their length.
const SIGNS: usize = 10;

/// Fresh codes as they are shown, `xxxxx-xxxxx`, and what is kept of each.
pub(super) fn fresh(keys: &Keys, name: &ApproverName) -> Vec<(String, Digest)> {
    std::iter::repeat_with(|| {
        let random: [u8; SIGNS] = rand::random();
        let code: String = random.iter().map(|b| char::from(ALPHABET[usize::from(b % 32)])).collect();
        (format!("{}-{}", &code[..SIGNS / 2], &code[SIGNS / 2..]), kept(keys, name, &code))
    })
    .take(CODES)
    .collect()
}

/// What is kept of a code as somebody typed it; none where it is too long or short to be one.
pub(super) fn digest(keys: &Keys, name: &ApproverName, typed: &str) -> Option<Digest> {
    let signs = typed.chars().filter(|c| !matches!(c, '-' | ' ')).take(SIGNS + 1);
    let code: String = signs.map(|c| c.to_ascii_lowercase()).collect();
    (code.chars().count() == SIGNS).then(|| kept(keys, name, &code))
}

/// With the key file, so that a copy of the record alone cannot be searched.
fn kept(keys: &Keys, name: &ApproverName, code: &str) -> Digest {
    Digest::from(keys.mac("recovery code", &[name.key().as_bytes(), code.as_bytes()]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_is_known_however_it_is_typed_and_by_its_owner_alone() {
        let keys = Keys::from_secret(&[7; 32]).unwrap();
        let (dana, kim) = (ApproverName::new("Dana").unwrap(), ApproverName::new("Kim").unwrap());
        let codes = fresh(&keys, &dana);
        let differ: std::collections::HashSet<_> = codes.iter().map(|(code, _)| code).collect();
        assert_eq!((codes.len(), differ.len()), (10, 10));
        for (code, kept) in &codes {
            assert_eq!(code.len(), 11);
            for typed in [code.clone(), code.to_uppercase(), code.replace('-', " ")] {
                assert_eq!(digest(&keys, &dana, &typed), Some(*kept), "{typed}");
            }
            assert_ne!(digest(&keys, &kim, code), Some(*kept));
        }
        for none in ["123456", "", "0123456789a", "012345678"] {
            assert_eq!(digest(&keys, &dana, none), None, "{none}");
        }
    }
}
