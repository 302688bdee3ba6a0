//! All SQL of Keyhouse: one text for SQLite and PostgreSQL
//!
//! A transaction begins and ends inside one method, and takes its locks in one order: people by id, teams by id, the
//! change counter, then other rows. Every operation has one error enum, beside its SQL; the application re-exports it.

#![warn(missing_docs)]

mod accounts;
mod audit;
mod backup;
mod change_feed;
mod change_watch;
mod connect;
mod db;
mod diagnosis;
mod digests;
mod error;
mod expiry;
mod idempotency;
mod identity_keys;
mod invitations;
mod jobs;
mod key_changes;
mod key_lists;
mod key_rows;
mod keys;
mod leaks;
mod links;
mod location;
mod locks;
mod members;
mod nodes;
mod people;
mod product_rows;
mod products;
mod restore;
mod rotation;
mod schema;
mod search;
mod served_url;
mod sessions;
mod sqlite_pool;
mod statement;
mod teams;
mod transfer;
mod tx;
mod usage;
mod usage_rows;

pub use accounts::{EmailLinkError, RemovePersonError};
pub use backup::{BackupError, BackupSummary};
pub use change_feed::{ChangeFeed, ChangeSet, Changed, POLL_TIMEOUT};
pub use db::STATEMENT_TIMEOUT;
pub use diagnosis::{ExpiringKey, Measurements, PendingAddress, UnusedKey};
pub use digests::{ChangedToken, Position};
pub use error::{OpenError, StoreError, Warning};
pub use expiry::ExpiryRefused;
pub use identity_keys::IdentityKeyRow;
pub use invitations::{InviteError, Joining, WithdrawInvitationError};
pub use key_changes::{ChangeConditionsError, PauseKeyError};
pub use key_rows::{KeyBatch, KeyLookup};
pub use keys::{CreateKeyError, NewKeyRow, RenameKeyError, RevokeKeyError, Revoked};
pub use leaks::LeakedKey;
pub use links::{LinkError, NewLink, NewPerson, SetUpLinkError};
pub use location::Location;
pub use members::{AddMemberError, ChangeMemberError, NewMember};
pub use nodes::Leases;
pub use people::{ChangeProfileError, Credentials};
pub use product_rows::ListProductsError;
pub use products::{EditProductError, Idempotency, Precondition, Write, WriteProductError};
pub use restore::{CarryOver, Comparison, Restore, RestoreError, Returning, ReturningKind};
pub use rotation::{EndFormerTokenError, FirstUse, NewToken, RotateKeyError, TokenUse};
pub use sessions::{NewSession, PasswordCheckError};
pub use teams::{ChangeTeamError, NewTeam, SetKeyLifetimeError};
pub use transfer::{MoveError, MoveStep, MovedTable};

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use prometheus_client::metrics::counter::Counter;
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::db::Pool;
use crate::statement::sql;
use crate::tx::{Transaction, Tx};
use error::Result;
use keyhouse_domain::audit::AuditContext;
use location::FileId;

/// An open database. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Store {
    /// On SQLite one connection: it has one writer.
    writes: Pool,
    /// Look-ups of keys, apart from everything else, so that slow pages never delay authentication.
    auth: Pool,
    queries: Queries,
    location: Location,
    /// The SQLite file as it was when it was opened.
    file: Option<FileId>,
    /// When the last successful check that it still is began.
    file_checked: Arc<Mutex<Option<Instant>>>,
    local_changes: LocalChanges,
    waits: PoolWaits,
}

/// What can be read: lists and single rows. It can change nothing.
#[derive(Debug, Clone)]
pub struct Queries {
    reads: Pool,
    /// Searches of lists, apart from everything else, because one of them reads many rows.
    searches: Pool,
}

/// How often no connection was free, by pool.
#[derive(Debug, Clone, Default)]
pub struct PoolWaits {
    /// To begin a transaction that writes.
    pub writes: Counter,
    /// To look up a key.
    pub auth: Counter,
}

/// The connections of a pool that are open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PoolSize {
    /// The pool's name.
    pub pool: &'static str,
    /// Connections that are free.
    pub idle: u32,
    /// Connections that are in use.
    pub busy: u32,
}

/// How many transactions of this process have advanced the change counter. One whose outcome is unknown counts too.
#[derive(Debug, Clone, Default)]
struct LocalChanges(Arc<LocalChangesInner>);

#[derive(Debug, Default)]
struct LocalChangesInner {
    count: AtomicU64,
    /// Wakes the change poll.
    added: Notify,
}

impl LocalChanges {
    fn add(&self) {
        self.0.count.fetch_add(1, Ordering::SeqCst);
        self.wake();
    }

    /// Makes a change poll due at once.
    fn wake(&self) {
        self.0.added.notify_one();
    }
}

impl Queries {
    /// Six characters that identify this database among others: the beginning of its epoch, which is random.
    ///
    /// # Errors
    ///
    /// Any [`StoreError`] of a read.
    pub async fn instance_tag(&self) -> Result<String> {
        let epoch: String = self.reads.fetch_scalar(sql("SELECT epoch FROM changes")).await?;
        Ok(epoch.chars().filter(char::is_ascii_alphanumeric).take(6).collect())
    }
}

impl Store {
    /// Begins a transaction whose writes are audited with this context.
    async fn begin(&self, context: &AuditContext) -> Result<Tx> {
        Ok(Tx::new(self.begin_unaudited().await?, context.clone()))
    }

    /// Begins a transaction that leaves no audit event.
    async fn begin_unaudited(&self) -> Result<Transaction> {
        self.check_file().await?;
        self.writes.count_wait(&self.waits.writes);
        Ok(Transaction::new(self.writes.begin().await?, self.local_changes.clone()))
    }

    /// What can be read.
    pub fn queries(&self) -> &Queries {
        &self.queries
    }

    /// Grows with each transaction of this process that changed, or may have changed, a key's record: before the caller of
    /// that transaction is answered.
    pub fn local_changes(&self) -> u64 {
        self.local_changes.0.count.load(Ordering::SeqCst)
    }

    /// Waits for the next change of this process, or of another one while [`Store::watch_changes`] runs; returns at once if
    /// there was one since the last wait.
    pub async fn changed(&self) {
        self.local_changes.0.added.notified().await;
    }

    /// Checks that the database answers and holds the Keyhouse schema.
    ///
    /// # Errors
    ///
    /// Any [`StoreError`] of a read.
    pub async fn ping(&self) -> Result<()> {
        self.auth.fetch_scalar::<i64>(sql("SELECT seq FROM changes")).await.map(drop)
    }

    /// How often a pool had no free connection.
    pub fn waits(&self) -> &PoolWaits {
        &self.waits
    }

    /// The pools as they are now.
    pub fn pools(&self) -> [PoolSize; 4] {
        let pools = [
            ("writes", &self.writes),
            ("reads", &self.queries.reads),
            ("auth", &self.auth),
            ("searches", &self.queries.searches),
        ];
        pools.map(|(name, pool)| {
            let (_, open, idle) = pool.size();
            let idle = u32::try_from(idle).unwrap_or(u32::MAX).min(open);
            PoolSize { pool: name, idle, busy: open - idle }
        })
    }

    /// Closes every connection. SQLite then copies its write-ahead log into the database file.
    pub async fn close(&self) {
        for pool in [&self.auth, &self.queries.searches, &self.queries.reads, &self.writes] {
            pool.close().await;
        }
    }
}

/// The text as PostgreSQL takes it: no stored text has a NUL.
fn without_nul(text: &str) -> String {
    text.replace('\0', "")
}
