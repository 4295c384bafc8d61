//! A disk of a few megabytes that fills up, and is given space again.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use super::process::Process;

/// Room for a program on a folder that can run out.
pub(crate) struct SmallDisk {
    folder: PathBuf,
    kind: Kind,
}

enum Kind {
    /// A small file system in a mount namespace of its own, which no other process sees and no crash leaves behind: the
    /// holder keeps the namespace alive and ends with its standard input, so with us.
    Mount { holder: Child, user_namespace: bool },
    /// Where neither root nor a user namespace may mount: a limit on the size of each file, set on the running program.
    Limit,
}

impl SmallDisk {
    /// Makes a disk of `bytes` on `folder` for whatever [`Self::command`] starts.
    pub(crate) fn new(folder: &Path, bytes: u64) -> Self {
        std::fs::create_dir_all(folder).expect("a folder for the disk");
        let mounted = [false, true].into_iter().find_map(|user_namespace| {
            let holder = mount(folder, bytes, user_namespace)?;
            Some(Kind::Mount { holder, user_namespace })
        });
        let kind = mounted.unwrap_or(Kind::Limit);
        println!("small disk: {}", if matches!(kind, Kind::Limit) { "file size limit" } else { "tmpfs" });
        Self { folder: folder.to_owned(), kind }
    }

    /// A command that runs `program` with this disk. It replaces itself, so the child's id is the program's.
    pub(crate) fn command(&self, program: &str) -> Command {
        let mut command;
        match &self.kind {
            Kind::Mount { holder, user_namespace } => {
                command = Command::new("nsenter");
                command.args(["--target", &holder.id().to_string(), "--mount"]);
                if *user_namespace {
                    command.args(["--user", "--preserve-credentials"]);
                }
                command.arg("--");
            }
            Kind::Limit => {
                // A full disk is an error to the program, not a signal that ends it.
                command = Command::new("sh");
                command.args(["-c", "trap '' XFSZ; exec \"$@\"", "sh"]);
            }
        }
        command.arg(program);
        command
    }

    /// Leaves `program`, which runs on this disk, about `free_bytes`.
    pub(crate) fn fill(&self, program: &Process, free_bytes: u64) {
        match self.kind {
            Kind::Mount { .. } => {
                let mut ballast = std::fs::File::create(self.ballast()).expect("a file on the small disk");
                let mut taken = 0_u64;
                while ballast.write_all(&[0; 4096]).is_ok() {
                    taken += 4096;
                }
                ballast.set_len(taken.saturating_sub(free_bytes)).expect("to shrink the ballast");
            }
            Kind::Limit => limit(program, &(largest_file(&self.folder) + free_bytes).to_string()),
        }
    }

    /// Gives the space back; `program` where it still runs.
    pub(crate) fn relieve(&self, program: Option<&Process>) {
        match (&self.kind, program) {
            (Kind::Mount { .. }, _) => std::fs::remove_file(self.ballast()).expect("to remove the ballast"),
            (Kind::Limit, Some(program)) => limit(program, "unlimited"),
            // The limit ended with the program it was set on.
            (Kind::Limit, None) => {}
        }
    }

    /// A path on the disk as this process sees it.
    pub(crate) fn seen_from_here(&self) -> PathBuf {
        let Kind::Mount { holder, .. } = &self.kind else { return self.folder.clone() };
        let inside = self.folder.strip_prefix("/").expect("an absolute path");
        Path::new("/proc").join(holder.id().to_string()).join("root").join(inside)
    }

    fn ballast(&self) -> PathBuf {
        self.seen_from_here().join("ballast")
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        if let Kind::Mount { holder, .. } = &mut self.kind {
            // Its end unmounts the disk.
            holder.kill().ok();
            holder.wait().ok();
        }
    }
}

fn mount(folder: &Path, bytes: u64, user_namespace: bool) -> Option<Child> {
    let mut command = Command::new("unshare");
    command.arg("--mount");
    if user_namespace {
        command.args(["--user", "--map-root-user"]);
    }
    let mut holder = command
        .args(["sh", "-c", "mount -t tmpfs -o size=\"$1\" tmpfs \"$2\" && echo mounted && exec cat", "sh"])
        .arg(bytes.to_string())
        .arg(folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("unshare starts (Debian package util-linux)");
    let mut word = String::new();
    let said = holder.stdout.take().expect("piped");
    BufReader::new(said).read_line(&mut word).expect("to read what a child of ours says");
    if word == "mounted\n" {
        return Some(holder);
    }
    holder.wait().expect("to reap a child of ours");
    None
}

fn limit(program: &Process, bytes: &str) {
    let status = Command::new("prlimit")
        .args(["--pid", &program.id().to_string(), &format!("--fsize={bytes}:")])
        .status()
        .expect("prlimit starts (Debian package util-linux)");
    assert!(status.success(), "prlimit: {status}");
}

fn largest_file(folder: &Path) -> u64 {
    let entries = std::fs::read_dir(folder).expect("the disk's folder");
    entries
        .map(|entry| {
            let entry = entry.expect("an entry of it");
            let kind = entry.metadata().expect("what it is");
            if kind.is_dir() { largest_file(&entry.path()) } else { kind.len() }
        })
        .max()
        .unwrap_or(0)
}
