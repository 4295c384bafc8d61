//! The keys that sign tokens: RS256 by RSA keys of 2,048 bits at least (CAEP Interoperability Profile 1.0; what OIDC has signed
//! where nothing else was agreed on), and the set of their public halves.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::rand::SystemRandom;
use ring::rsa::PublicKeyComponents;
use ring::signature::{RSA_PKCS1_SHA256, RsaKeyPair};
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject as _;
use serde::Serialize;
use serde_json::json;
use sha2::{Digest, Sha256};

/// Why a file holds no key to sign with.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// No file is named.
    #[error("`key_file` is missing: an RSA key to sign with. {make}", make = how("ssf.pem"))]
    Unset,
    /// It cannot be read.
    #[error("{path}: {source}. {make}", path = path.display(), make = how(path))]
    Read {
        /// Which file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// It holds something else.
    #[error(
        "{path} holds {found}, not an unencrypted PKCS#8 key in PEM. {make}; `openssl pkcs8 -topk8 -nocrypt` turns another key into one",
        path = path.display(), make = how(path)
    )]
    NotPkcs8 {
        /// Which file.
        path: PathBuf,
        /// What is there.
        found: &'static str,
    },
    /// It is no RSA key of 2,048 bits or more.
    #[error("{path}: {why}; RS256 takes an RSA key of 2048 to 4096 bits. {make}", path = path.display(), make = how(path))]
    Weak {
        /// Which file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// The same key twice.
    #[error("{path} holds the key of another file", path = path.display())]
    Twice {
        /// Which file.
        path: PathBuf,
    },
}

fn how(path: impl AsRef<Path>) -> String {
    let path = path.as_ref().display();
    format!("Make one: openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:3072 -out {path}")
}

/// A public key as JWKS name it (RFC 7517).
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
struct Jwk {
    kty: &'static str,
    r#use: &'static str,
    alg: &'static str,
    kid: String,
    n: String,
    e: String,
}

/// Who signs, and with what: what a connector needs whose receivers verify tokens by the published keys.
#[derive(Clone, Debug)]
pub struct Signing {
    /// `iss` of every token.
    pub(super) issuer: String,
    pub(super) signer: Arc<Signer>,
}

/// Signs; and knows the public keys that signed before.
pub(super) struct Signer {
    pair: RsaKeyPair,
    random: SystemRandom,
    /// The current key first.
    keys: Vec<Jwk>,
}

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Signer").field("keys", &self.keys).finish_non_exhaustive()
    }
}

impl Signer {
    /// Signs with the key in `current`, and publishes those in `previous` too.
    pub(super) fn open(current: Option<&Path>, previous: &[PathBuf]) -> Result<Self, KeyError> {
        let current = current.ok_or(KeyError::Unset)?;
        let pair = read(current)?;
        let mut keys = vec![jwk(&pair)];
        for path in previous {
            let key = jwk(&read(path)?);
            if keys.contains(&key) {
                return Err(KeyError::Twice { path: path.clone() });
            }
            keys.push(key);
        }
        Ok(Self { pair, random: SystemRandom::new(), keys })
    }

    /// The public keys as `application/jwk-set+json`.
    pub(super) fn jwks(&self) -> serde_json::Value {
        json!({ "keys": self.keys })
    }

    /// The claims as a signed token of this type (its header `typ`) in compact form (RFC 7515). The same claims give the same
    /// bytes.
    pub(super) fn sign(&self, typ: &str, claims: &serde_json::Value) -> Result<String, &'static str> {
        let header = json!({ "alg": "RS256", "kid": self.keys[0].kid, "typ": typ });
        let mut token =
            [header.to_string(), claims.to_string()].map(|part| URL_SAFE_NO_PAD.encode(part)).join(".");
        let mut signature = vec![0; self.pair.public().modulus_len()];
        self.pair
            .sign(&RSA_PKCS1_SHA256, &self.random, token.as_bytes(), &mut signature)
            .map_err(|_| "the key does not sign")?;
        token.push('.');
        URL_SAFE_NO_PAD.encode_string(signature, &mut token);
        Ok(token)
    }
}

fn read(path: &Path) -> Result<RsaKeyPair, KeyError> {
    let pem = std::fs::read(path).map_err(|source| KeyError::Read { path: path.to_owned(), source })?;
    let not = |found| KeyError::NotPkcs8 { path: path.to_owned(), found };
    let der = match PrivateKeyDer::from_pem_slice(&pem) {
        Ok(PrivateKeyDer::Pkcs8(der)) => der,
        Ok(PrivateKeyDer::Pkcs1(_)) => return Err(not("a PKCS#1 key")),
        Ok(_) => return Err(not("a key of another kind")),
        Err(_) => return Err(not("nothing that can be read")),
    };
    RsaKeyPair::from_pkcs8(der.secret_pkcs8_der())
        .map_err(|e| KeyError::Weak { path: path.to_owned(), why: e.to_string() })
}

fn jwk(pair: &RsaKeyPair) -> Jwk {
    let public = PublicKeyComponents::<Vec<u8>>::from(pair.public());
    let [n, e] = [public.n, public.e].map(|number| URL_SAFE_NO_PAD.encode(number));
    // The thumbprint of RFC 7638: nobody has to agree on names.
    let canonical = format!(r#"{{"e":"{e}","kty":"RSA","n":"{n}"}}"#);
    let kid = URL_SAFE_NO_PAD.encode(Sha256::digest(canonical));
    Jwk { kty: "RSA", r#use: "sig", alg: "RS256", kid, n, e }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::process::Command;
    use std::sync::LazyLock;

    use ring::signature::{RSA_PKCS1_2048_8192_SHA256, RsaPublicKeyComponents};
    use serde_json::Value;

    use super::*;

    /// Keys that OpenSSL made, once for all tests.
    static FOLDER: LazyLock<tempfile::TempDir> = LazyLock::new(|| {
        let folder = tempfile::tempdir().unwrap();
        let make = |name: &str, arguments: &[&str]| {
            let out = folder.path().join(name);
            let made = Command::new("openssl").args(arguments).arg("-out").arg(out).output().unwrap();
            assert!(made.status.success(), "{made:?}");
        };
        let rsa = ["genpkey", "-algorithm", "RSA", "-pkeyopt"];
        make("a.pem", &[&rsa[..], &["rsa_keygen_bits:2048"]].concat());
        make("b.pem", &[&rsa[..], &["rsa_keygen_bits:3072"]].concat());
        make("weak.pem", &[&rsa[..], &["rsa_keygen_bits:1024"]].concat());
        make("ec.pem", &["genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"]);
        make("pkcs1.pem", &["genrsa", "-traditional"]);
        folder
    });

    pub(crate) fn file(name: &str) -> PathBuf {
        FOLDER.path().join(name)
    }

    pub(crate) fn decode(part: &str) -> Value {
        serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap()
    }

    #[test]
    fn signs_with_the_current_key_and_publishes_the_one_before() {
        let before = Signer::open(Some(&file("a.pem")), &[]).unwrap();
        let after = Signer::open(Some(&file("b.pem")), &[file("a.pem")]).unwrap();
        let claims = json!({ "iss": "https://tocsin.example" });
        for (signer, place) in [(&before, 1), (&after, 0)] {
            let token = signer.sign("secevent+jwt", &claims).unwrap();
            assert_eq!(signer.sign("secevent+jwt", &claims).unwrap(), token);
            let (signed, signature) = token.rsplit_once('.').unwrap();
            let header = decode(token.split('.').next().unwrap());
            assert_eq!((&header["alg"], &header["typ"]), (&json!("RS256"), &json!("secevent+jwt")));
            // Whoever fetches the set after the rotation finds the key of either.
            let keys = after.jwks();
            let key = &keys["keys"][place];
            assert_eq!(key["kid"], header["kid"]);
            let [n, e] = ["n", "e"].map(|c| URL_SAFE_NO_PAD.decode(key[c].as_str().unwrap()).unwrap());
            let signature = URL_SAFE_NO_PAD.decode(signature).unwrap();
            RsaPublicKeyComponents { n, e }
                .verify(&RSA_PKCS1_2048_8192_SHA256, signed.as_bytes(), &signature)
                .unwrap();
        }
    }

    #[test]
    fn says_which_file_is_no_key_and_how_to_make_one() {
        let said = |current: Option<&str>, previous: &[&str]| {
            let previous: Vec<PathBuf> = previous.iter().map(|name| file(name)).collect();
            let error = Signer::open(current.map(file).as_deref(), &previous).unwrap_err().to_string();
            error.replace(&FOLDER.path().display().to_string(), "…")
        };
        std::fs::write(file("text.pem"), "a key").unwrap();
        let all = [
            said(None, &[]),
            said(Some("none.pem"), &[]),
            said(Some("text.pem"), &[]),
            said(Some("pkcs1.pem"), &[]),
            said(Some("weak.pem"), &[]),
            said(Some("ec.pem"), &[]),
            said(Some("a.pem"), &["none.pem"]),
            said(Some("a.pem"), &["b.pem", "a.pem"]),
        ];
        insta::assert_debug_snapshot!(all, @r#"
        [
            "`key_file` is missing: an RSA key to sign with. Make one: openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:3072 -out ssf.pem",
            "…/none.pem: No such file or directory (os error 2). Make one: openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:3072 -out …/none.pem",
            "…/text.pem holds nothing that can be read, not an unencrypted PKCS#8 key in PEM. Make one: openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:3072 -out …/text.pem; `openssl pkcs8 -topk8 -nocrypt` turns another key into one",
            "…/pkcs1.pem holds a PKCS#1 key, not an unencrypted PKCS#8 key in PEM. Make one: openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:3072 -out …/pkcs1.pem; `openssl pkcs8 -topk8 -nocrypt` turns another key into one",
            "…/weak.pem: TooSmall; RS256 takes an RSA key of 2048 to 4096 bits. Make one: openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:3072 -out …/weak.pem",
            "…/ec.pem: WrongAlgorithm; RS256 takes an RSA key of 2048 to 4096 bits. Make one: openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:3072 -out …/ec.pem",
            "…/none.pem: No such file or directory (os error 2). Make one: openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:3072 -out …/none.pem",
            "…/a.pem holds the key of another file",
        ]
        "#);
    }
}
