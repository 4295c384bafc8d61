//! Hashing that is the same on every machine, in every run and after every upgrade, so that snapshots, replays and
//! verdict ids agree.

use std::hash::Hasher;

use siphasher::sip128::{Hasher128, SipHasher13};

/// `SipHash`-1-3 with fixed keys, 128 bits. Names come from logs, so a weaker hash would let an attacker choose
/// collisions at will. Each text is followed by a byte that no UTF-8 text holds, so no two lists hash alike.
pub(crate) fn hash128<const N: usize>(texts: &[&str; N]) -> u128 {
    hash_of_bytes(&texts.map(str::as_bytes))
}

const END: u8 = 0xff;

/// 64 bits of the same.
pub(crate) fn hash64<const N: usize>(texts: &[&str; N]) -> u64 {
    hash128(texts) as u64
}

/// The same of bytes that need not be text; lists of one shape do not collide.
pub(crate) fn hash64_of_bytes<const N: usize>(parts: &[&[u8]; N]) -> u64 {
    hash_of_bytes(parts) as u64
}

/// Bytes that are hashed in one piece: names are short.
const SHORT: usize = 128;

fn hash_of_bytes<const N: usize>(parts: &[&[u8]; N]) -> u128 {
    let (mut joined, mut len) = ([0; SHORT], 0);
    for part in parts {
        let end = len + part.len();
        let Some(place) = joined.get_mut(len..=end) else { return hash_of_long(parts) };
        if !part.is_empty() {
            place[..part.len()].copy_from_slice(part);
        }
        place[part.len()] = END;
        len = end + 1;
    }
    hash_of_short(&joined, len)
}

fn hash_of_long(parts: &[&[u8]]) -> u128 {
    let mut hasher = SipHasher13::new();
    for part in parts {
        hasher.write(part);
        hasher.write(&[END]);
    }
    hasher.finish128().as_u128()
}

/// The library's hash of the first `len` bytes, of which those behind are zero, in two thirds of the time: several names are hashed
/// with every call (Aumasson and Bernstein, *`SipHash`: a fast short-input PRF*, 2012, with the constants of its 128 bits).
fn hash_of_short(bytes: &[u8; SHORT], len: usize) -> u128 {
    let mut v: [u64; 4] =
        [0x736f_6d65_7073_6575, 0x646f_7261_6e64_6f6d ^ 0xee, 0x6c79_6765_6e65_7261, 0x7465_6462_7974_6573];
    let mut take = |word: u64| {
        v[3] ^= word;
        round(&mut v);
        v[0] ^= word;
    };
    let (words, _) = bytes.as_chunks::<8>();
    words[..len / 8].iter().for_each(|word| take(u64::from_le_bytes(*word)));
    // Of a whole number of words the last one holds the length alone.
    let rest = words.get(len / 8).map_or(0, |word| u64::from_le_bytes(*word));
    take(rest | (len as u64) << 56);
    let mut half = |at: usize, mark: u64| {
        v[at] ^= mark;
        (0..3).for_each(|_| round(&mut v));
        v[0] ^ v[1] ^ v[2] ^ v[3]
    };
    let (low, high) = (half(2, 0xee), half(1, 0xdd));
    u128::from(high) << 64 | u128::from(low)
}

fn round([a, b, c, d]: &mut [u64; 4]) {
    *a = a.wrapping_add(*b);
    *c = c.wrapping_add(*d);
    *b = b.rotate_left(13) ^ *a;
    *d = d.rotate_left(16) ^ *c;
    *c = c.wrapping_add(*b);
    *a = a.rotate_left(32).wrapping_add(*d);
    *b = b.rotate_left(17) ^ *c;
    *d = d.rotate_left(21) ^ *a;
    *c = c.rotate_left(32);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_never_changes() {
        assert_eq!(hash128(&["s-1", "1"]), HASH_OF_S1);
        assert_ne!(hash64(&["a", "b"]), hash64(&["ab", ""]));
    }

    proptest::proptest! {
        #[test]
        fn it_is_the_librarys(texts in proptest::array::uniform2(".{0,80}"), more in 0..140_usize) {
            let long = "x".repeat(more);
            for parts in [[texts[0].as_str(), &texts[1]], ["", &long], [&long, ""]] {
                proptest::prop_assert_eq!(hash128(&parts), hash_of_long(&parts.map(str::as_bytes)));
            }
        }
    }

    const HASH_OF_S1: u128 = 169_602_126_065_738_086_662_248_947_857_657_335_060;
}
