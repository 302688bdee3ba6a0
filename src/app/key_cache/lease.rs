//! The lease: how long cached key records may be used without another successful change poll.

use std::time::Duration;

use crate::app::infra::clock::ClockReading;
use keyhouse_store::{POLL_TIMEOUT, STATEMENT_TIMEOUT};

/// How long cached records may be used, counted from the moment the last successful poll was sent. This is the contract's
/// upper bound for a revoked key on another node: 3 seconds.
pub const LEASE: Duration = Duration::from_secs(3);
/// Time between two change polls. The contract promises revocation on other nodes within 0.5 s at p99; a poll costs one
/// round trip to the database.
pub const POLL_INTERVAL: Duration = Duration::from_millis(250);
/// Most that wall clock and monotonic clock may drift apart under one lease, in either direction. A larger jump means that
/// the virtual machine may have been suspended or restored, so the monotonic clock can't be trusted to have counted it.
const DRIFT_MAX: Duration = Duration::from_secs(1);

// The bounds that make LEASE true and keep a healthy node's lease alive:
// - one poll that times out must leave time for a second one before the lease ends;
const _: () = assert!(2 * (POLL_INTERVAL.as_millis() + POLL_TIMEOUT.as_millis()) < LEASE.as_millis());
// - a look-up is given up before its result is too old to use;
const _: () = assert!(STATEMENT_TIMEOUT.as_millis() < LEASE.as_millis());
// - a clock jump that the drift check does not notice is shorter than the lease.
const _: () = assert!(DRIFT_MAX.as_millis() < LEASE.as_millis());

/// How long after a change no node can use a record from before it, also one that can't reach the database: the lease of a poll
/// that was sent just before the change, and the time by which a virtual machine may have been suspended unnoticed.
pub const LEASES_END_WITHIN: Duration = LEASE.saturating_add(DRIFT_MAX);

/// Permission to use cached records, renewed by each successful change poll.
#[derive(Debug, Clone, Copy)]
pub(super) struct Lease {
    /// When the poll that renewed it was sent: the answer can't be older than this.
    pub(super) poll_sent: ClockReading,
}

impl Lease {
    /// Time until the lease ends; zero if it has ended.
    pub(super) fn remaining(&self, now: ClockReading) -> Duration {
        if now.drift_from(&self.poll_sent) > DRIFT_MAX {
            return Duration::ZERO;
        }
        (self.poll_sent.monotonic + LEASE).saturating_sub(now.monotonic)
    }
}
