//! The tables of the schema as SQLite describes them, so that tables of later migrations are moved too

use crate::statement::{sql, sql_text};
use crate::transfer::{Database, MARKS, MoveError};

/// A table, with its columns in the order of its definition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Table {
    pub(super) name: String,
    pub(super) columns: Vec<Column>,
    /// Positions of the primary key's columns, in the key's order.
    pub(super) key: Vec<usize>,
    /// Positions of the columns that refer to rows of the same table.
    pub(super) own_references: Vec<usize>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Column {
    pub(super) name: String,
    pub(super) is_text: bool,
}

#[derive(sqlx::FromRow)]
struct ColumnRow {
    name: String,
    kind: String,
    pk: i64,
}

/// All tables of Keyhouse in a SQLite database, each after the tables that it refers to.
pub(super) async fn tables(sqlite: &mut Database) -> Result<Vec<Table>, MoveError> {
    let select = "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite!_%' ESCAPE '!' \
                  AND name <> '_sqlx_migrations' ORDER BY name";
    let names: Vec<(String,)> = sqlite.all(sql(select)).await?;
    let mut waiting = Vec::new();
    for (name,) in names {
        let select = sql("SELECT DISTINCT \"table\" FROM pragma_foreign_key_list($1)").bind(&name);
        let mut refers_to: Vec<String> = sqlite.all::<(String,)>(select).await?.into_iter().map(|(to,)| to).collect();
        refers_to.retain(|to| *to != name);
        waiting.push((table(sqlite, name).await?, refers_to));
    }
    let mut ordered: Vec<Table> = Vec::new();
    while !waiting.is_empty() {
        let is_there = |to: &String| ordered.iter().any(|table| table.name == *to);
        let next = waiting.iter().position(|(_, refers_to)| refers_to.iter().all(is_there));
        let next = next.ok_or_else(|| MoveError::Schema("two tables refer to each other".to_owned()))?;
        ordered.push(waiting.remove(next).0);
    }
    Ok(ordered)
}

async fn table(sqlite: &mut Database, name: String) -> Result<Table, MoveError> {
    let select = sql("SELECT name, type AS kind, pk FROM pragma_table_info($1) ORDER BY cid").bind(&name);
    let rows: Vec<ColumnRow> = sqlite.all(select).await?;
    let mut key: Vec<(i64, usize)> =
        rows.iter().enumerate().filter(|(_, row)| row.pk > 0).map(|(at, row)| (row.pk, at)).collect();
    key.sort_unstable();
    if key.is_empty() {
        return Err(MoveError::Schema(format!("the table {name} has no primary key")));
    }
    let column = |row: ColumnRow| Column { is_text: row.kind == "TEXT", name: row.name };
    let columns: Vec<Column> = rows.into_iter().map(column).collect();
    let select = sql("SELECT \"from\" FROM pragma_foreign_key_list($1) WHERE \"table\" = $1").bind(&name);
    let references: Vec<(String,)> = sqlite.all(select).await?;
    let is_own = |column: &Column| references.iter().any(|(from,)| *from == column.name);
    let own_references = (0..columns.len()).filter(|at| is_own(&columns[*at])).collect();
    Ok(Table { name, columns, key: key.into_iter().map(|(_, at)| at).collect(), own_references })
}

impl Table {
    /// The column names, quoted and separated by commas.
    pub(super) fn column_list(&self) -> String {
        let names: Vec<_> = self.columns.iter().map(|column| format!("\"{}\"", column.name)).collect();
        names.join(", ")
    }

    /// The primary key's columns as terms of an order by bytes, which is the same on both engines.
    pub(super) fn key_terms(&self, database: &Database) -> Vec<String> {
        let collation = match database {
            Database::Sqlite(_) => "",
            Database::Postgres(_) => " COLLATE \"C\"",
        };
        let term = |at: &usize| {
            let Column { name, is_text } = &self.columns[*at];
            format!("\"{name}\"{}", if *is_text { collation } else { "" })
        };
        self.key.iter().map(term).collect()
    }

    /// The condition that leaves out the marks of the move itself.
    pub(super) fn own_rows(&self) -> String {
        if self.name == "settings" {
            let marks: Vec<_> = MARKS.iter().map(|mark| format!("'{mark}'")).collect();
            format!("name NOT IN ({})", marks.join(", "))
        } else {
            "1 = 1".to_owned()
        }
    }

    /// The number of rows.
    pub(super) async fn count(&self, database: &mut Database) -> sqlx::Result<u64> {
        let select = format!("SELECT count(*) FROM \"{}\" WHERE {}", self.name, self.own_rows());
        let count = database.first::<(i64,)>(sql_text(select)).await?;
        Ok(count.map_or(0, |(count,)| count.unsigned_abs()))
    }

    /// Deletes what the migrations have put into a new table.
    pub(super) async fn clear(&self, database: &mut Database) -> sqlx::Result<()> {
        if self.count(database).await? > 0 {
            database.run(sql_text(format!("DELETE FROM \"{}\" WHERE {}", self.name, self.own_rows()))).await?;
        }
        Ok(())
    }
}
