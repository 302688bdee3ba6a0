//! Statements: one SQL text with its arguments
//!
//! Both engines take the same text (`$1`, `$2`, …), so the rest of the crate never names an engine.

use sqlx::{Arguments, AssertSqlSafe, Database, SqlSafeStr, SqlStr};

use keyhouse_domain::ids::{AuditId, KeyId, LinkId, NodeId, PersonId, ProductId, RequestId, SessionId, TeamId};
use keyhouse_domain::timestamp::Timestamp;

/// A value bound to a statement. `None` is NULL of that type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Arg {
    Text(Option<String>),
    Int(Option<i64>),
    Bytes(Option<Vec<u8>>),
}

/// One SQL text and its arguments.
#[derive(Debug)]
pub(crate) struct Statement {
    pub(crate) sql: SqlStr,
    pub(crate) args: Vec<Arg>,
}

/// A statement without arguments yet.
pub(crate) fn sql(text: &'static str) -> Statement {
    Statement { sql: text.into_sql_str(), args: Vec::new() }
}

/// As [`sql`], of several literals: a common `SELECT` list and its condition, say.
pub(crate) fn sql_of(parts: &[&'static str]) -> Statement {
    sql_text(parts.concat())
}

/// As [`sql`], of a text that is put together from literals and numbers at run time. Values are bound, never in the text.
pub(crate) fn sql_text(text: String) -> Statement {
    Statement { sql: AssertSqlSafe(text).into_sql_str(), args: Vec::new() }
}

impl Statement {
    /// Binds the next argument: the first call binds `$1`.
    pub(crate) fn bind(mut self, value: impl Into<Arg>) -> Self {
        self.args.push(value.into());
        self
    }

    /// Its arguments as an engine takes them.
    pub(crate) fn arguments<DB: Database>(args: Vec<Arg>) -> sqlx::Result<DB::Arguments>
    where
        for<'q> Option<String>: sqlx::Encode<'q, DB> + sqlx::Type<DB>,
        for<'q> Option<i64>: sqlx::Encode<'q, DB> + sqlx::Type<DB>,
        for<'q> Option<Vec<u8>>: sqlx::Encode<'q, DB> + sqlx::Type<DB>,
    {
        let mut arguments = DB::Arguments::default();
        for arg in args {
            match arg {
                Arg::Text(text) => arguments.add(text),
                Arg::Int(number) => arguments.add(number),
                Arg::Bytes(bytes) => arguments.add(bytes),
            }
            .map_err(sqlx::Error::Encode)?;
        }
        Ok(arguments)
    }
}

/// How a text refers to its arguments.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Placeholder {
    /// `$1`, in both engines. SQLite takes it as a name, and sqlx asks for the name of each argument, for which SQLite walks
    /// the names before it: too slow for hundreds.
    Numbered,
    /// `?`, in SQLite alone: each takes the next argument.
    Next,
}

impl Placeholder {
    /// `$3, $4, …` or `?, ?, …`: `number` arguments after `before` others.
    pub(crate) fn list(self, before: usize, number: usize) -> String {
        let mut text = String::with_capacity(number * 5);
        for n in before + 1..=before + number {
            text.push_str(if text.is_empty() { "" } else { ", " });
            match self {
                Self::Numbered => {
                    text.push('$');
                    text.push_str(&n.to_string());
                }
                Self::Next => text.push('?'),
            }
        }
        text
    }
}

/// Values for `IN (…)`: filled up to a power of two with the last one, so that for any number up to 64 there are seven
/// statements to prepare and not 64.
pub(crate) struct ListArgs<'v, T> {
    values: &'v [T],
    before: usize,
}

impl<'v, T> ListArgs<'v, T> {
    /// At least one value, after `before` other arguments.
    pub(crate) fn after(before: usize, values: &'v [T]) -> Self {
        Self { values, before }
    }

    fn number(&self) -> usize {
        self.values.len().next_power_of_two()
    }

    pub(crate) fn placeholders(&self) -> String {
        Placeholder::Numbered.list(self.before, self.number())
    }

    pub(crate) fn bind_to<A: Into<Arg>>(&self, statement: Statement, arg: impl Fn(&'v T) -> A) -> Statement {
        let last = self.values.len() - 1;
        (0..self.number()).fold(statement, |statement, n| statement.bind(arg(&self.values[n.min(last)])))
    }
}

macro_rules! text_args {
    ($($id:ty),*) => {
        $(
            impl From<$id> for Arg {
                fn from(id: $id) -> Self {
                    Self::Text(Some(id.to_string()))
                }
            }

            impl From<Option<$id>> for Arg {
                fn from(id: Option<$id>) -> Self {
                    Self::Text(id.map(|id| id.to_string()))
                }
            }
        )*
    };
}

text_args!(KeyId, LinkId, NodeId, PersonId, ProductId, RequestId, SessionId, TeamId, AuditId, &str);

impl From<String> for Arg {
    fn from(text: String) -> Self {
        Self::Text(Some(text))
    }
}

impl From<&String> for Arg {
    fn from(text: &String) -> Self {
        Self::Text(Some(text.clone()))
    }
}

impl From<Option<String>> for Arg {
    fn from(text: Option<String>) -> Self {
        Self::Text(text)
    }
}

impl From<i64> for Arg {
    fn from(number: i64) -> Self {
        Self::Int(Some(number))
    }
}

impl From<u32> for Arg {
    fn from(number: u32) -> Self {
        Self::Int(Some(number.into()))
    }
}

impl From<Option<i64>> for Arg {
    fn from(number: Option<i64>) -> Self {
        Self::Int(number)
    }
}

impl From<Timestamp> for Arg {
    fn from(at: Timestamp) -> Self {
        Self::Int(Some(at.ms()))
    }
}

impl From<&[u8]> for Arg {
    fn from(bytes: &[u8]) -> Self {
        Self::Bytes(Some(bytes.to_vec()))
    }
}

impl From<&[u8; 32]> for Arg {
    fn from(bytes: &[u8; 32]) -> Self {
        Self::Bytes(Some(bytes.to_vec()))
    }
}
