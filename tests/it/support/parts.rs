//! Where the fetched parts are. Nothing is fetched here: that is one place, `parts/`, run by `make`.

use std::path::{Path, PathBuf};

/// The repository.
pub(crate) fn house() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// A file or folder of a fetched part, as a path under `.parts/`.
pub(crate) fn part(path: &str) -> PathBuf {
    let all = std::env::var_os("TOCSIN_PARTS").map_or_else(|| house().join(".parts"), PathBuf::from);
    let found = all.join(path);
    assert!(found.exists(), "{} is not there: run `make parts`", found.display());
    found
}
