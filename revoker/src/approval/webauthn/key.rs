//! Public keys of passkeys as browsers hand them over: `SubjectPublicKeyInfo` (RFC 5280 section 4.1) of the three kinds taken. What
//! stands before the key is the same bytes for all keys of a kind, but for RSA's lengths.

use ring::signature::{
    ECDSA_P256_SHA256_ASN1, ED25519, RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey, VerificationAlgorithm,
};

/// RFC 5480: `id-ecPublicKey` on `secp256r1`, and an uncompressed point.
const P256: [u8; 26] = [
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86,
    0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
];
/// RFC 8410: `id-Ed25519`.
const EDWARDS: [u8; 12] = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];
/// RFC 8017: `rsaEncryption` without parameters, behind four bytes of length and before five more.
const RSA: [u8; 15] =
    [0x30, 0x0d, 0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01, 0x05, 0x00];

/// A key that can be verified with.
pub(super) struct PublicKey<'a> {
    algorithm: &'static dyn VerificationAlgorithm,
    bytes: &'a [u8],
}

impl<'a> PublicKey<'a> {
    /// One of the three kinds, or none.
    pub(super) fn read(spki: &'a [u8]) -> Option<Self> {
        if let Some(bytes) = spki.strip_prefix(&P256) {
            return (bytes.len() == 65).then_some(Self { algorithm: &ECDSA_P256_SHA256_ASN1, bytes });
        }
        if let Some(bytes) = spki.strip_prefix(&EDWARDS) {
            return (bytes.len() == 32).then_some(Self { algorithm: &ED25519, bytes });
        }
        let (_, rest) = spki.split_at_checked(4)?;
        let rest = rest.strip_prefix(&RSA)?;
        let [0x03, 0x82, _, _, 0x00, bytes @ ..] = rest else { return None };
        Some(Self { algorithm: &RSA_PKCS1_2048_8192_SHA256, bytes })
    }

    pub(super) fn verifies(&self, signed: &[u8], signature: &[u8]) -> bool {
        UnparsedPublicKey::new(self.algorithm, self.bytes).verify(signed, signature).is_ok()
    }
}
