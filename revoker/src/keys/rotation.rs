//! Rotation: a new key before the old one, everything in the record sealed anew, the old one forgotten.
//!
//! Between any two of these steps a crash leaves keys that open all there is, and what is begun again goes on where it was:
//! the record changes in one transaction, and a key goes only once nothing is sealed with it.

use super::source::replace;
use super::{KeyError, KeySource, Keys, Ring};
use crate::store::open::OpenError;
use crate::store::{Place, Store, sealed};

/// The keys with a new one before them; those that there are where an earlier rotation was not finished, and where they are
/// the environment's, which only its owner can change.
pub fn begin(source: &KeySource) -> Result<Ring, KeyError> {
    let ring = source.read()?;
    let Some(path) = source.file().filter(|_| ring.keys().len() == 1) else { return Ok(ring) };
    let ring = ring.with_new();
    replace(path, &ring)?;
    Ok(ring)
}

/// Seals everything in the record with the newest key, in one transaction; how many secrets that are.
pub fn reseal(place: &Place, ring: &Ring) -> Result<usize, OpenError> {
    let store = Store::open(place)?;
    let mut writer = store.writer();
    let tx = writer.transaction()?;
    let keys = sealed::rooted(&tx, Keys::new(ring)?)?;
    let all = sealed::all(&tx)?;
    for secret in &all {
        let plain = keys.open_sealed(&secret.purpose, &secret.bytes)?;
        sealed::put(&tx, secret, keys.seal(&secret.purpose, plain.expose())?)?;
    }
    tx.commit()?;
    Ok(all.len())
}

/// Forgets all keys but the newest, where they lie in a file.
pub fn finish(source: &KeySource) -> Result<(), KeyError> {
    let ring = source.read()?;
    match source.file().filter(|_| ring.keys().len() > 1) {
        Some(path) => replace(path, &Ring::of(*ring.newest())),
        None => Ok(()),
    }
}

/// How many secrets of the record each key opens, the newest first, and how many none does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Census {
    /// By key.
    pub by_key: Vec<(String, usize)>,
    /// Whose key is gone.
    pub lost: Vec<String>,
}

/// Counts them; none where there is no record yet.
pub fn census(place: &Place, keys: &Keys) -> Result<Census, OpenError> {
    let ids = keys.ids().into_iter().map(|id| (id.to_owned(), 0));
    let mut census = Census { by_key: ids.collect(), lost: Vec::new() };
    if matches!(place, Place::File(path) if !path.exists()) {
        return Ok(census);
    }
    for secret in sealed::all(&Store::open(place)?.reader())? {
        match keys.opened(&secret.purpose, &secret.bytes) {
            Ok((_, place)) => census.by_key[place].1 += 1,
            Err(_) => census.lost.push(secret.purpose),
        }
    }
    Ok(census)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::approval::{ApproverName, enrol};
    use crate::keys::{KeysConfig, Lock};
    use crate::testing::place;
    use crate::testing::{at, setup};
    use crate::{Revoker, audit};

    async fn installation(folder: &Path) -> (KeySource, audit::PublicKey) {
        let revoker = crate::testing::open_as(folder, setup(&["idp"]));
        for name in ["alice", "Bob"] {
            let name = ApproverName::new(name).unwrap();
            enrol(&revoker, name, Vec::new(), "a test".to_owned(), at(0)).await.unwrap();
        }
        let key = audit::public_key(revoker.keys()).unwrap();
        (KeysConfig::default().source(folder, |_| None).unwrap(), key)
    }

    fn counts(folder: &Path, source: &KeySource) -> Vec<usize> {
        let census = census(&place(folder), &Keys::new(&source.read().unwrap()).unwrap()).unwrap();
        assert_eq!(census.lost, Vec::<String>::new());
        census.by_key.into_iter().map(|(_, count)| count).collect()
    }

    #[tokio::test]
    async fn whenever_it_is_interrupted_everything_opens_and_begun_again_it_ends() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        let (source, public) = installation(folder).await;
        let old = source.read().unwrap();
        assert_eq!(counts(folder, &source), [3], "the root and two approvers");

        let ring = begin(&source).unwrap();
        assert_eq!(counts(folder, &source), [0, 3]);
        assert!(begin(&source).unwrap() == ring, "begun again, there is no third key");
        assert_eq!(reseal(&place(folder), &ring).unwrap(), 3);
        assert_eq!(counts(folder, &source), [3, 0]);
        assert!(begin(&source).unwrap() == ring);
        assert_eq!(reseal(&place(folder), &ring).unwrap(), 3);
        finish(&source).unwrap();
        finish(&source).unwrap();
        assert_eq!(counts(folder, &source), [3]);

        // The old key opens nothing any more; what the root makes is what it was.
        let census = census(&place(folder), &Keys::new(&old).unwrap()).unwrap();
        assert_eq!(census.lost.len(), 3);
        let revoker = crate::testing::open_as(folder, setup(&["idp"]));
        assert_eq!(audit::public_key(revoker.keys()).unwrap(), public);
        revoker.verify_audit(Vec::new()).await.unwrap();
        drop(revoker);
        let opened = Keys::new(&old).unwrap();
        assert!(
            matches!(reseal(&place(folder), &old), Err(OpenError::Key(KeyError::Sealed { .. }))),
            "{opened:?}"
        );
    }

    #[tokio::test]
    async fn who_uses_the_keys_and_who_changes_them_keep_out_of_each_others_way() {
        let folder = tempfile::tempdir().unwrap();
        let revoker = crate::testing::open_as(folder.path(), setup(&["idp"]));
        assert!(matches!(Lock::exclusive(folder.path()), Err(KeyError::InUse(_))));
        let beside = crate::testing::open_as(folder.path(), setup(&["idp"]));
        drop((revoker, beside));
        let changes = Lock::exclusive(folder.path()).unwrap();
        assert!(matches!(
            Revoker::open(folder.path(), setup(&["idp"])),
            Err(OpenError::Key(KeyError::InUse(_)))
        ));
        drop(changes);
        crate::testing::open_as(folder.path(), setup(&["idp"]));
    }
}
