//! Stopping in order: signal, grace, drain, flush, close.

use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::task::{JoinError, JoinHandle};
use tokio_util::sync::CancellationToken;

use crate::web::Stopping;
use keyhouse_store::StoreError;

/// From SIGTERM until requests that still run are cut off, grace included. With [`WRITES_END_WITHIN`] twice after it the
/// whole stop stays under the contract's 10 seconds.
pub(crate) const REQUESTS_END_WITHIN: Duration = Duration::from_millis(6500);
/// How long background jobs may take to end; and again, the last write.
pub(crate) const WRITES_END_WITHIN: Duration = Duration::from_millis(1500);

/// SIGTERM and SIGINT. Register before anything announces that the server is up: a signal may follow at once.
pub struct ShutdownSignal {
    terminate: Signal,
    interrupt: Signal,
}

impl ShutdownSignal {
    /// # Errors
    ///
    /// The signal handlers can't be installed.
    pub fn listen() -> anyhow::Result<Self> {
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    /// Resolves at SIGTERM or SIGINT, whichever comes first.
    pub(crate) async fn wait(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

/// The two phases of a stop that other tasks see.
#[derive(Debug, Clone, Default)]
pub(crate) struct Phases {
    /// `/readyz` is 503 and responses say `Connection: close`; connections are still accepted.
    pub(crate) stopping: Stopping,
    /// No connection is accepted any more; running requests finish, jobs end.
    pub(crate) draining: CancellationToken,
}

/// Why the change feed ended by itself.
pub(crate) type FeedFailure = Result<StoreError, JoinError>;

impl Phases {
    /// Waits for the signal, or for the end of the change feed, and goes through the phases. Without a change feed the
    /// node can't answer, so the grace is skipped.
    pub(crate) async fn run(
        &self,
        mut signal: ShutdownSignal,
        change_feed: &mut JoinHandle<StoreError>,
        grace: Duration,
    ) -> Option<FeedFailure> {
        let failure = tokio::select! {
            () = signal.wait() => None,
            ended = change_feed => Some(ended),
        };
        tracing::info!(grace_seconds = grace.as_secs(), "stopping");
        self.stopping.begin();
        if failure.is_none() {
            tokio::time::sleep(grace).await;
        }
        self.draining.cancel();
        failure
    }
}
