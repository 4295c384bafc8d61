//! What is in a folder.

use std::fs;
use std::path::{Path, PathBuf};

/// Folders within folders; `CloudTrail` lays its files out six deep.
const DEPTH_MAX: usize = 12;
/// Files read from one folder; of more, the first by name.
const FILES_MAX: usize = 100_000;

/// The file itself, or all files in the folder and those within it, in the order of their names.
pub(super) fn files(path: &Path) -> Vec<PathBuf> {
    if path.is_file() {
        return vec![path.to_owned()];
    }
    let mut files = Vec::new();
    walk(path, DEPTH_MAX, &mut files);
    if files.len() >= FILES_MAX {
        tracing::error!(path = %path.display(), FILES_MAX, "too many files in a folder; the rest is not read");
    }
    files
}

fn walk(folder: &Path, depth: usize, files: &mut Vec<PathBuf>) {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) => {
            tracing::warn!(path = %folder.display(), %error, "a folder cannot be read");
            return;
        }
    };
    let mut entries: Vec<_> = entries.filter_map(Result::ok).collect();
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        if entry.file_name().to_string_lossy().starts_with('.') || files.len() >= FILES_MAX {
            continue;
        }
        // Links to folders are not followed: they can lead in a circle.
        match entry.file_type() {
            Ok(kind) if kind.is_dir() && depth > 0 => walk(&entry.path(), depth - 1, files),
            Ok(kind) if !kind.is_dir() && entry.path().is_file() => files.push(entry.path()),
            _ => {}
        }
    }
}
