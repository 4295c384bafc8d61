//! Who works with a record while its keys may change: everybody, or one who changes them.

use std::fs::{File, OpenOptions, TryLockError};
use std::path::Path;

use super::KeyError;

/// Held for as long as keys are; released with the process, whatever ends it.
#[derive(Debug)]
pub struct Lock(#[expect(dead_code, reason = "held for what its end does")] File);

impl Lock {
    /// For whoever uses the keys as they are.
    pub fn shared(data_dir: &Path) -> Result<Self, KeyError> {
        Self::take(data_dir, File::try_lock_shared)
    }

    /// For whoever changes them.
    pub fn exclusive(data_dir: &Path) -> Result<Self, KeyError> {
        Self::take(data_dir, File::try_lock)
    }

    fn take(data_dir: &Path, how: fn(&File) -> Result<(), TryLockError>) -> Result<Self, KeyError> {
        let path = data_dir.join("revoker.lock");
        let io = |source| KeyError::Io { path: path.clone(), source };
        let mut options = OpenOptions::new();
        options.append(true).create(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let file = options.open(&path).map_err(io)?;
        match how(&file) {
            Ok(()) => Ok(Self(file)),
            Err(TryLockError::WouldBlock) => Err(KeyError::InUse(data_dir.to_owned())),
            Err(TryLockError::Error(e)) => Err(io(e)),
        }
    }
}
