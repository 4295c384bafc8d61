//! What is in a folder.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// Folders within folders; `CloudTrail` lays its files out six deep.
const DEPTH_MAX: usize = 12;
/// Files read from one folder; of more, the first by name.
const FILES_MAX: usize = 100_000;

/// The file itself, or all files in the folder and those within it, in the order of their names.
pub(super) fn files(path: &Path) -> io::Result<Vec<PathBuf>> {
    if fs::metadata(path)?.is_file() {
        return Ok(vec![path.to_owned()]);
    }
    let mut files = Vec::new();
    walk(path, DEPTH_MAX, &mut files)?;
    if files.len() >= FILES_MAX {
        tracing::error!(path = %path.display(), FILES_MAX, "too many files in a folder; the rest is not read");
    }
    Ok(files)
}

fn walk(folder: &Path, depth: usize, files: &mut Vec<PathBuf>) -> io::Result<()> {
    let mut entries = fs::read_dir(folder)?.collect::<io::Result<Vec<_>>>()?;
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        if entry.file_name().to_string_lossy().starts_with('.') || files.len() >= FILES_MAX {
            continue;
        }
        // Links to folders are not followed: they can lead in a circle.
        match entry.file_type() {
            Ok(kind) if kind.is_dir() && depth > 0 => walk(&entry.path(), depth - 1, files)?,
            Ok(kind) if !kind.is_dir() && entry.path().is_file() => files.push(entry.path()),
            _ => {}
        }
    }
    Ok(())
}
