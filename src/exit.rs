//! How a command ends: an error with its chain of causes, and an exit code of sysexits.h.

use std::process::ExitCode;

use crate::terminal;

/// Exit codes as in BSD `sysexits.h`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Code {
    /// Input data was wrong.
    DataErr = 65,
    /// An input is missing or unreadable.
    NoInput = 66,
    /// A service that is needed does not answer.
    Unavailable = 69,
    /// Something here went wrong that should not.
    Software = 70,
    /// An output cannot be created.
    CantCreate = 73,
    /// Reading or writing failed.
    IoErr = 74,
    /// The caller may not do this.
    NoPerm = 77,
    /// The configuration is wrong.
    Config = 78,
}

/// An error on its way to the user.
#[derive(Debug)]
pub(crate) struct Failure {
    code: Code,
    error: anyhow::Error,
}

pub(crate) type Result<T, E = Failure> = std::result::Result<T, E>;

/// Gives an error the code it ends the program with.
pub(crate) trait OrExit<T> {
    fn or_exit(self, code: Code) -> Result<T>;
}

impl<T, E: Into<anyhow::Error>> OrExit<T> for std::result::Result<T, E> {
    fn or_exit(self, code: Code) -> Result<T> {
        self.map_err(|e| Failure { code, error: e.into() })
    }
}

impl<E: Into<anyhow::Error>> From<E> for Failure {
    /// What nobody gave a code is a fault of input or output where it is one, and ours otherwise.
    fn from(error: E) -> Self {
        let error = error.into();
        let code = if error.chain().any(<dyn std::error::Error>::is::<std::io::Error>) {
            Code::IoErr
        } else {
            Code::Software
        };
        Self { code, error }
    }
}

impl Failure {
    /// An error with the code it ends the program with.
    pub(crate) fn new(code: Code, error: impl Into<anyhow::Error>) -> Self {
        Self { code, error: error.into() }
    }

    /// Says what went wrong on standard error, one line with all causes, and gives the exit code.
    pub(crate) fn report(&self) -> ExitCode {
        terminal::complain(&format!("tocsin: {}", told(&self.error)));
        ExitCode::from(self.code as u8)
    }
}

/// All causes, each once: many errors name theirs themselves.
fn told(error: &anyhow::Error) -> String {
    error.chain().map(ToString::to_string).fold(String::new(), |told, cause| match told {
        told if told.ends_with(&cause) => told,
        told if told.is_empty() => cause,
        told => format!("{told}: {cause}"),
    })
}

#[cfg(test)]
mod tests {
    use anyhow::Context as _;

    use super::*;

    #[test]
    fn a_cause_is_told_once_whether_or_not_what_it_led_to_names_it() {
        let full = || std::io::Error::other("the disk is full");
        let [silent, naming] = ["cannot write", "cannot write: the disk is full"]
            .map(|what| Err::<(), _>(full()).context(what).unwrap_err().context("the record"));
        for error in [silent, naming] {
            assert_eq!(told(&error), "the record: cannot write: the disk is full");
        }
    }
}
