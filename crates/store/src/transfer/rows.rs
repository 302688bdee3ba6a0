//! Rows of any table: read in pages by primary key, inserted in batches, and hashed

use sha2::{Digest, Sha256};
use sqlx::postgres::PgRow;
use sqlx::sqlite::SqliteRow;
use sqlx::{Column, Decode, FromRow, Row, Type, TypeInfo};

use crate::statement::{Arg, Placeholder, Statement, sql_text};
use crate::transfer::Database;
use crate::transfer::tables::Table;

/// Rows of a page, and of an `INSERT`.
const ROWS: usize = 500;
/// Arguments of an `INSERT`: SQLite takes 32,766, PostgreSQL 65,535.
const ARGUMENTS: usize = 16_000;

/// One row's values in the order of the columns.
pub(super) struct Values(pub(super) Vec<Arg>);

fn values<'r, R: Row>(row: &'r R) -> sqlx::Result<Values>
where
    usize: sqlx::ColumnIndex<R>,
    Option<String>: Decode<'r, R::Database> + Type<R::Database>,
    Option<i64>: Decode<'r, R::Database> + Type<R::Database>,
    Option<Vec<u8>>: Decode<'r, R::Database> + Type<R::Database>,
{
    let value = |(at, column): (usize, &<R::Database as sqlx::Database>::Column)| {
        Ok(match column.type_info().name() {
            "TEXT" => Arg::Text(row.try_get(at)?),
            "INTEGER" | "INT8" => Arg::Int(row.try_get(at)?),
            "BLOB" | "BYTEA" => Arg::Bytes(row.try_get(at)?),
            other => return Err(sqlx::Error::Configuration(format!("a column of type {other}").into())),
        })
    };
    Ok(Values(row.columns().iter().enumerate().map(value).collect::<sqlx::Result<_>>()?))
}

impl<'r> FromRow<'r, SqliteRow> for Values {
    fn from_row(row: &'r SqliteRow) -> sqlx::Result<Self> {
        values(row)
    }
}

impl<'r> FromRow<'r, PgRow> for Values {
    fn from_row(row: &'r PgRow) -> sqlx::Result<Self> {
        values(row)
    }
}

impl Table {
    /// The next rows after a key, in the order of the key.
    pub(super) async fn page(&self, database: &mut Database, after: Option<&[Arg]>) -> sqlx::Result<Vec<Values>> {
        let terms = self.key_terms(database);
        let mut select = format!("SELECT {} FROM \"{}\" WHERE {}", self.column_list(), self.name, self.own_rows());
        if after.is_some() {
            let marks = Placeholder::Numbered.list(0, terms.len());
            select += &format!(" AND ({}) > ({marks})", terms.join(", "));
        }
        select += &format!(" ORDER BY {} LIMIT {ROWS}", terms.join(", "));
        let after = after.unwrap_or_default().iter().cloned();
        database.all(after.fold(sql_text(select), Statement::bind)).await
    }

    /// The key of the last row.
    pub(super) async fn last_key(&self, database: &mut Database) -> sqlx::Result<Option<Vec<Arg>>> {
        let last: Vec<_> = self.key_terms(database).iter().map(|term| format!("{term} DESC")).collect();
        let columns = self.column_list();
        let select = format!(
            "SELECT {columns} FROM \"{}\" WHERE {} ORDER BY {} LIMIT 1",
            self.name,
            self.own_rows(),
            last.join(", ")
        );
        Ok(database.first::<Values>(sql_text(select)).await?.map(|row| self.key_of(&row)))
    }

    pub(super) fn key_of(&self, row: &Values) -> Vec<Arg> {
        self.key.iter().map(|at| row.0[*at].clone()).collect()
    }

    /// Inserts rows without their references to rows of the same table, which may come later; see [`Table::link`]. Each statement is a transaction of its own.
    pub(super) async fn insert(&self, database: &mut Database, mut rows: Vec<Values>) -> sqlx::Result<()> {
        let width = self.columns.len();
        for row in &mut rows {
            for at in &self.own_references {
                row.0[*at] = Arg::Text(None);
            }
        }
        while !rows.is_empty() {
            let rest = rows.split_off(rows.len().min(ARGUMENTS / width));
            let placeholder = database.placeholder();
            let tuple = |row: usize| format!("({})", placeholder.list(row * width, width));
            let tuples: Vec<_> = (0..rows.len()).map(tuple).collect();
            let insert = format!("INSERT INTO \"{}\" ({}) VALUES {}", self.name, self.column_list(), tuples.join(", "));
            let values = rows.into_iter().flat_map(|row| row.0);
            database.run(values.fold(sql_text(insert), Statement::bind)).await?;
            rows = rest;
        }
        Ok(())
    }
}

impl Table {
    /// Sets the references of rows to rows of the same table, once all rows are there.
    pub(super) async fn link(&self, from: &mut Database, to: &mut Database) -> sqlx::Result<()> {
        for at in &self.own_references {
            let column = &self.columns[*at].name;
            let key: Vec<_> = self.key.iter().map(|at| format!("\"{}\"", self.columns[*at].name)).collect();
            let select = format!(
                "SELECT {}, \"{column}\" FROM \"{}\" WHERE \"{column}\" IS NOT NULL",
                key.join(", "),
                self.name
            );
            let conditions: Vec<_> = key.iter().zip(2..).map(|(name, n)| format!("{name} = ${n}")).collect();
            let update = format!("UPDATE \"{}\" SET \"{column}\" = $1 WHERE {}", self.name, conditions.join(" AND "));
            for mut row in from.all::<Values>(sql_text(select)).await? {
                let Some(reference) = row.0.pop() else { continue };
                let statement = sql_text(update.clone()).bind(reference);
                to.run(row.0.into_iter().fold(statement, Statement::bind)).await?;
            }
        }
        Ok(())
    }
}

/// SHA-256 over all values of a table in the order of its key: each with its type and length.
#[derive(Default)]
pub(super) struct Checksum(Sha256);

impl Checksum {
    pub(super) fn add(&mut self, row: &Values) {
        for value in &row.0 {
            let number;
            let bytes: Option<&[u8]> = match value {
                Arg::Text(text) => text.as_deref().map(str::as_bytes),
                Arg::Bytes(bytes) => bytes.as_deref(),
                Arg::Int(Some(value)) => {
                    number = value.to_be_bytes();
                    Some(&number)
                }
                Arg::Int(None) => None,
            };
            match bytes {
                None => self.0.update([0]),
                Some(bytes) => {
                    self.0.update([1]);
                    self.0.update((bytes.len() as u64).to_be_bytes());
                    self.0.update(bytes);
                }
            }
        }
    }

    pub(super) fn hex(self) -> String {
        self.0.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
    }
}
