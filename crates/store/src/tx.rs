//! Writing transactions: they count this process's own changes and carry their audit context.

use std::ops::{Deref, DerefMut};

use crate::db::{AnyRow, Engine, RawTransaction, in_time};
use crate::statement::{Placeholder, Statement, sql};
use crate::{LocalChanges, Result};
use keyhouse_domain::audit::AuditContext;

/// A transaction that writes. Dropped before [`Transaction::commit`], it leaves nothing.
pub(crate) struct Transaction {
    db: RawTransaction,
    pub(crate) changes: ChangeGuard,
}

impl Transaction {
    pub(crate) fn new(db: RawTransaction, local: LocalChanges) -> Self {
        Self { db, changes: ChangeGuard { local, bumped: false } }
    }

    /// The statement for the engine of this transaction, where the two need different texts.
    pub(crate) fn statement(&self, sqlite: &'static str, postgres: &'static str) -> Statement {
        sql(match self.db {
            Engine::Sqlite(_) => sqlite,
            Engine::Postgres(_) => postgres,
        })
    }

    /// See [`Engine::placeholder`].
    pub(crate) fn placeholder(&self) -> Placeholder {
        self.db.placeholder()
    }

    pub(crate) async fn execute(&mut self, statement: Statement) -> Result<u64> {
        Ok(in_time(self.db.run(statement)).await?)
    }

    pub(crate) async fn fetch_optional<T: AnyRow>(&mut self, statement: Statement) -> Result<Option<T>> {
        Ok(in_time(self.db.first(statement)).await?)
    }

    pub(crate) async fn fetch_one<T: AnyRow>(&mut self, statement: Statement) -> Result<T> {
        self.fetch_optional(statement).await?.ok_or_else(|| sqlx::Error::RowNotFound.into())
    }

    pub(crate) async fn fetch_all<T: AnyRow>(&mut self, statement: Statement) -> Result<Vec<T>> {
        Ok(in_time(self.db.all(statement)).await?)
    }

    /// The only column of the row, if there is one.
    pub(crate) async fn fetch_scalar<T>(&mut self, statement: Statement) -> Result<Option<T>>
    where
        (T,): AnyRow,
    {
        Ok(self.fetch_optional::<(T,)>(statement).await?.map(|(value,)| value))
    }

    /// The only column of all rows.
    pub(crate) async fn fetch_scalars<T>(&mut self, statement: Statement) -> Result<Vec<T>>
    where
        (T,): AnyRow,
    {
        Ok(self.fetch_all::<(T,)>(statement).await?.into_iter().map(|(value,)| value).collect())
    }

    pub(crate) async fn commit(self) -> Result<()> {
        // `changes` is dropped when this returns: after the commit, before the caller can answer.
        let Self { db, changes: _changes } = self;
        match db {
            Engine::Sqlite(tx) => in_time(tx.commit()).await?,
            Engine::Postgres(tx) => in_time(tx.commit()).await?,
        }
        Ok(())
    }
}

/// A transaction whose writes are audited: it carries who acts, when and from where, and numbers its events.
pub(crate) struct Tx {
    transaction: Transaction,
    pub(crate) context: AuditContext,
    pub(crate) next_event: u16,
}

impl Tx {
    pub(crate) fn new(transaction: Transaction, context: AuditContext) -> Self {
        Self { transaction, context, next_event: 0 }
    }

    pub(crate) async fn commit(self) -> Result<()> {
        self.transaction.commit().await
    }
}

impl Deref for Tx {
    type Target = Transaction;

    fn deref(&self) -> &Transaction {
        &self.transaction
    }
}

impl DerefMut for Tx {
    fn deref_mut(&mut self) -> &mut Transaction {
        &mut self.transaction
    }
}

/// Counts the transaction among this process's own changes when it is dropped, if it advanced the change counter: after a
/// commit is over, before its caller is answered, and also when the outcome of the commit is unknown.
pub(crate) struct ChangeGuard {
    local: LocalChanges,
    bumped: bool,
}

impl ChangeGuard {
    pub(crate) fn mark(&mut self) {
        self.bumped = true;
    }
}

impl Drop for ChangeGuard {
    fn drop(&mut self) {
        if self.bumped {
            self.local.add();
        }
    }
}
