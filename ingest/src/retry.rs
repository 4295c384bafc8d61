//! Doing it again until it works or the program stops; nothing a pipeline has in hand is dropped.

use std::fmt::Display;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;

/// How long to wait before the first attempt is repeated.
const FIRST: Duration = Duration::from_millis(100);
/// The longest wait between two attempts.
const LONGEST: Duration = Duration::from_secs(10);

/// The program is stopping.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stopped;

/// How a pipeline thread waits. The thread is none of the runtime's, so it may block.
#[derive(Clone, Debug)]
pub(crate) struct Patience {
    pub(crate) runtime: Handle,
    pub(crate) stop: CancellationToken,
}

impl Patience {
    /// Fails once the program is stopping.
    pub(crate) fn check(&self) -> Result<(), Stopped> {
        if self.stop.is_cancelled() { Err(Stopped) } else { Ok(()) }
    }

    /// Waits for something, at most so long, and not once the program is stopping.
    pub(crate) fn wait_for<T>(&self, longest: Duration, something: impl Future<Output = T>) {
        self.runtime.block_on(async {
            let either = async {
                tokio::select! {
                    _ = something => {}
                    () = self.stop.cancelled() => {}
                }
            };
            // Whether it came or the time passed, the caller looks for itself.
            drop(tokio::time::timeout(longest, either).await);
        });
    }

    /// Attempts it until it succeeds, with waits that double from a tenth of a second to ten.
    pub(crate) fn until_done<T, E: Display>(
        &self,
        what: &'static str,
        mut attempt: impl FnMut() -> Result<T, E>,
    ) -> Result<T, Stopped> {
        let mut wait = FIRST;
        loop {
            match attempt() {
                Ok(done) => return Ok(done),
                Err(error) => tracing::warn!(%error, retry_ms = wait.as_millis(), "{what} failed"),
            }
            self.check()?;
            self.wait_for(wait, std::future::pending::<()>());
            wait = (wait * 2).min(LONGEST);
        }
    }

    /// As [`Self::until_done`], for work that is a future.
    pub(crate) fn until_done_async<T, E: Display, F: Future<Output = Result<T, E>>>(
        &self,
        what: &'static str,
        mut attempt: impl FnMut() -> F,
    ) -> Result<T, Stopped> {
        self.until_done(what, || self.runtime.block_on(attempt()))
    }
}
