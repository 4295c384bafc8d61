//! Hashing that is the same on every machine, in every run and after every upgrade, so that snapshots, replays and
//! verdict ids agree.

use std::hash::Hasher;

use arrayvec::ArrayVec;
use siphasher::sip128::{Hasher128, SipHasher13};

/// `SipHash`-1-3 with fixed keys, 128 bits. Names come from logs, so a weaker hash would let an attacker choose
/// collisions at will. Each text is followed by a byte that no UTF-8 text holds, so no two lists hash alike.
pub(crate) fn hash128(texts: &[&str]) -> u128 {
    let mut hasher = SipHasher13::new();
    // In one piece it is a third of the work, and names are short.
    let mut joined = ArrayVec::<u8, 128>::new();
    let bytes = texts.iter().map(|t| t.len() + 1).sum::<usize>();
    if bytes <= joined.capacity() {
        for text in texts {
            joined.extend(text.bytes());
            joined.push(END);
        }
        return hasher.hash(&joined).as_u128();
    }
    for text in texts {
        hasher.write(text.as_bytes());
        hasher.write(&[END]);
    }
    hasher.finish128().as_u128()
}

const END: u8 = 0xff;

/// 64 bits of the same.
pub(crate) fn hash64(texts: &[&str]) -> u64 {
    hash128(texts) as u64
}

/// The same of bytes that need not be text; lists of one shape do not collide.
pub(crate) fn hash64_of_bytes(parts: &[&[u8]]) -> u64 {
    let mut hasher = SipHasher13::new();
    for part in parts {
        hasher.write(part);
        hasher.write(&[END]);
    }
    hasher.finish128().as_u128() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_never_changes() {
        assert_eq!(hash128(&["s-1", "1"]), HASH_OF_S1);
        assert_ne!(hash64(&["a", "b"]), hash64(&["ab", ""]));
        let long = "x".repeat(126);
        let in_pieces = |texts: &[&str]| {
            let mut hasher = SipHasher13::new();
            for text in texts {
                hasher.write(&[text.as_bytes(), &[END]].concat());
            }
            hasher.finish128().as_u128()
        };
        for texts in [&["a", ""][..], &[&long], &[&long, ""], &[&long, "a"], &[]] {
            assert_eq!(hash128(texts), in_pieces(texts), "{texts:?}");
        }
    }

    const HASH_OF_S1: u128 = 169_602_126_065_738_086_662_248_947_857_657_335_060;
}
