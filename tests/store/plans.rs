//! How SQLite runs the statements of these tests: none reads all rows of a table that grows with the customers.
//!
//! A statement that does is quick in every other test, and takes a second with a million keys.

use std::collections::BTreeSet;
use std::fmt;
use std::path::PathBuf;
use std::sync::{Mutex, Once};

use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, Row};
use tracing::field::{Field, Visit};
use tracing_subscriber::Layer;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::{Context, SubscriberExt};

/// Tables that stay small: with a fixed number of rows, or one for each node or signed report of a leak. `expired` is the name
/// of a subquery that reads an index.
const SMALL: [&str; 7] = ["changes", "expired", "job_runs", "nodes", "settings", "sqlite_schema", "_sqlx_migrations"];
/// Indexes of few rows: the keys whose revocation some node has not confirmed yet.
const SMALL_INDEXES: [&str; 1] = ["keys_to_complete"];
/// Statements with a condition that are meant to read all rows, by their beginning.
const MEANT: [&str; 14] = [
    // Commands list all teams, people and members.
    "SELECT id, slug, name, created_at, key_lifetime_days FROM teams WHERE deleted_at IS NULL ORDER BY slug",
    "SELECT team_id, count(*) FROM keys WHERE ended_at IS NULL",
    "SELECT id, email, name, CAST(CASE WHEN password IS NULL THEN 0 ELSE 1 END AS BIGINT) AS has_password",
    "SELECT person_id, role, teams.id, slug, teams.name",
    // `keyhouse doctor` looks for keys that are not used, and for addresses that were never confirmed.
    "SELECT keys.id, keys.name, slug FROM keys JOIN teams ON teams.id = team_id LEFT JOIN key_usage",
    "SELECT email, pending_email FROM people WHERE pending_email IS NOT NULL",
    // Once an hour, on one node: there is a team for ten keys, and its products are found by an index.
    "DELETE FROM products WHERE id IN (SELECT id FROM products WHERE team_id IN (SELECT id FROM teams",
    // A backup counts what it has.
    "SELECT count(*) FROM keys WHERE revoked_at IS NULL",
    "SELECT count(*) FROM teams WHERE deleted_at IS NULL",
    // `keyhouse move` links keys to their successors when it has copied all keys.
    "SELECT \"id\", \"successor_id\" FROM \"keys\"",
    // A restore compares all keys with those of the database that it replaces, and all people sign in again.
    "SELECT hash, key_id, number, prefix, created_at, first_used_at, ends_at, overlap_ms FROM key_tokens WHERE key_id IN",
    "SELECT id, (SELECT prefix FROM key_tokens WHERE key_id = keys.id",
    "SELECT key_id, hash FROM key_tokens WHERE ends_at IS NULL",
    "UPDATE sessions SET ended_at = $1 WHERE ended_at IS NULL",
];

static STATEMENTS: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());

/// Notes each statement that sqlx runs.
struct Statements;

impl<S: tracing::Subscriber> Layer<S> for Statements {
    fn on_event(&self, event: &tracing::Event<'_>, _: Context<'_, S>) {
        let mut text = Text::default();
        event.record(&mut text);
        // sqlx leaves the statement out where its summary, the first words, is all of it.
        let text = if text.statement.trim().is_empty() { text.summary } else { text.statement };
        STATEMENTS.lock().unwrap().insert(text.trim().to_owned());
    }
}

#[derive(Default)]
struct Text {
    summary: String,
    statement: String,
}

impl Visit for Text {
    fn record_str(&mut self, field: &Field, value: &str) {
        match field.name() {
            "summary" => value.clone_into(&mut self.summary),
            "db.statement" => value.clone_into(&mut self.statement),
            _ => {}
        }
    }

    fn record_debug(&mut self, _: &Field, _: &dyn fmt::Debug) {}
}

/// Fails the test when it is dropped if a statement since the first of them reads all rows of a large table.
pub(super) struct Plans {
    /// `None` with PostgreSQL.
    file: Option<PathBuf>,
}

impl Plans {
    pub(super) fn of(file: Option<PathBuf>) -> Self {
        static RECORDING: Once = Once::new();
        RECORDING.call_once(|| {
            let statements = Targets::new().with_target("sqlx::query", LevelFilter::DEBUG);
            tracing::subscriber::set_global_default(
                tracing_subscriber::registry().with(Statements.with_filter(statements)),
            )
            .expect("the only subscriber of these tests");
        });
        Self { file }
    }
}

impl Drop for Plans {
    fn drop(&mut self) {
        let Some(file) = self.file.take().filter(|_| !std::thread::panicking()) else { return };
        let statements = std::mem::take(&mut *STATEMENTS.lock().unwrap());
        let check = async {
            let options = SqliteConnectOptions::new().filename(file).read_only(true);
            let mut db = options.connect().await.unwrap();
            for statement in statements {
                check(&mut db, &statement).await;
            }
            db.close().await.unwrap();
        };
        tokio::task::block_in_place(|| tokio::runtime::Handle::current().block_on(check));
    }
}

/// Panics if the statement reads all rows of a large table, or of a large index.
async fn check(db: &mut SqliteConnection, statement: &str) {
    // Migrations, say, run once.
    let is_query = ["SELECT", "INSERT", "UPDATE", "DELETE"].iter().any(|verb| statement.starts_with(verb));
    // `keyhouse move` reads each table with the condition `1 = 1`.
    let has_condition = statement.contains(" WHERE ") && !statement.contains(" WHERE 1 = 1");
    // The plan of an insert looks for rows that refer to the new one, which SQLite does only if it has seen one of those.
    let inserts_values = statement.starts_with("INSERT") && statement.contains(" VALUES (");
    if !is_query || !has_condition || inserts_values || MEANT.iter().any(|meant| statement.starts_with(meant)) {
        return;
    }
    let explain = sqlx::query(AssertSqlSafe(format!("EXPLAIN QUERY PLAN {statement}"))).fetch_all(db).await;
    // What SQLite does not understand was run on PostgreSQL, by a test that moves a database.
    for row in explain.unwrap_or_default() {
        let step: String = row.get("detail");
        let Some(table) = step.strip_prefix("SCAN ").and_then(|rest| rest.split(' ').next()) else { continue };
        let is_large = step != "SCAN CONSTANT ROW"
            && !table.starts_with("pragma_")
            && !SMALL.contains(&table)
            && !SMALL_INDEXES.iter().any(|index| step.ends_with(&format!(" {index}")));
        assert!(!is_large, "reads all rows: {statement}\n{step}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[should_panic(expected = "reads all rows: SELECT id FROM keys WHERE name = $1")]
async fn a_statement_that_reads_all_keys_is_found() {
    let mut db = SqliteConnection::connect("sqlite::memory:").await.unwrap();
    let create = "CREATE TABLE keys (id TEXT PRIMARY KEY, name TEXT)";
    sqlx::query(create).execute(&mut db).await.unwrap();
    check(&mut db, "SELECT id FROM keys WHERE id = $1").await;
    check(&mut db, "SELECT id FROM keys WHERE name = $1").await;
}
