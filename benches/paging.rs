//! Reads a list of a million products to its end: the cost of the first and the last pages, and the query plan.
//!
//! `cargo bench --bench paging`; the last figures are in `docs/performance.md`.

use std::time::Duration;

use keyhouse_domain::pagination::{Cursor, Limit};
use keyhouse_domain::product::StatusFilter;
use keyhouse_domain::scope::Scope;
use keyhouse_token::Mode;
use sqlx::{AssertSqlSafe, Connection, Row};
use test_support::{Engine, TestApp, TestDatabase};

const ROWS: u32 = 1_000_000;
/// The page query of `crates/store/src/products.rs`.
const PAGE: &str = "SELECT id, name FROM products WHERE (team_id, mode, status) >= ('T', 'live', 'active') \
                    AND (team_id, mode, status, id) <= ('T', 'live', 'active', 'C') \
                    ORDER BY team_id DESC, mode DESC, status DESC, id DESC LIMIT 102";

fn main() {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(async {
        measure("SQLite", TestApp::on(Engine::Sqlite).await).await;
        measure("PostgreSQL", TestApp::on(Engine::Postgres).await).await;
    });
}

/// Monotonic time, to measure durations.
fn ticks() -> Duration {
    keyhouse::app::infra::clock::Clock::System.monotonic()
}

async fn measure(engine: &str, app: TestApp) {
    let team = app.team("Acme").await;
    let key = app.key(&team, Mode::Live, Scope::ReadWrite).await;
    let grant =
        key.key.grant(keyhouse_domain::scope::Access::Read, std::net::Ipv4Addr::LOCALHOST.into()).expect("a reader");
    let columns =
        "id, team_id, mode, status, name, unit_price, currency, kind, unit_of_measure, created_at, updated_at";
    let rest = format!("'{}', 'live', 'active', 'A product', 10000, 'EUR', 'GOODS', 'piece', 0, 0", team.id);
    let sql = match &app.place {
        TestDatabase::Folder(_) => format!(
            "INSERT INTO products ({columns}) WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {ROWS}) \
             SELECT printf('%08x-0000-7000-8000-000000000000', i), {rest} FROM n"
        ),
        TestDatabase::Postgres { .. } => format!(
            "INSERT INTO products ({columns}) \
             SELECT lpad(to_hex(i), 8, '0') || '-0000-7000-8000-000000000000', {rest} FROM generate_series(1, {ROWS}) AS i"
        ),
    };
    let plan = match &app.place {
        TestDatabase::Folder(folder) => {
            let url = format!("sqlite://{}/keyhouse.db", folder.path().display());
            let mut db = sqlx::SqliteConnection::connect(&url).await.expect("the database");
            sqlx::query(AssertSqlSafe(sql)).execute(&mut db).await.expect("a million rows");
            let rows = sqlx::query(AssertSqlSafe(format!("EXPLAIN QUERY PLAN {PAGE}")))
                .fetch_all(&mut db)
                .await
                .expect("a plan");
            rows.iter().map(|row| row.get::<String, _>("detail")).collect::<Vec<_>>()
        }
        TestDatabase::Postgres { url } => {
            let mut db = sqlx::PgConnection::connect(url).await.expect("the database");
            sqlx::query(AssertSqlSafe(sql)).execute(&mut db).await.expect("a million rows");
            sqlx::query("VACUUM ANALYZE products").execute(&mut db).await.expect("statistics");
            let real =
                PAGE.replace("'T'", &format!("'{}'", team.id)).replace("'C'", "'00080000-0000-7000-8000-000000000000'");
            let rows = sqlx::query(AssertSqlSafe(format!("EXPLAIN (COSTS OFF) {real}")))
                .fetch_all(&mut db)
                .await
                .expect("a plan");
            rows.iter().map(|row| row.get::<String, _>(0)).collect()
        }
    };
    println!("\n{engine}\n  {}", plan.join("\n  "));

    let limit = Limit::parse("100").expect("a limit");
    let (mut after, mut seen, mut tenths) = (None, 0, Vec::new());
    let mut began = ticks();
    loop {
        let page =
            app.inner.queries().products(grant.tenant(), StatusFilter::Active, after, limit).await.expect("a page");
        seen += page.items.len();
        after = page.items.last().and_then(|product| Cursor::parse(&product.id.to_string()));
        if seen % (ROWS as usize / 10) == 0 {
            tenths.push((ticks() - began).as_micros() as u64 / 1000);
            began = ticks();
        }
        if !page.has_more {
            break;
        }
    }
    assert_eq!(seen, ROWS as usize, "each once");
    let shown: Vec<_> = tenths.iter().map(u64::to_string).collect();
    println!("  µs a page of 100, by tenths of the list: {}", shown.join(" "));
    println!("  last tenth : first tenth = {:.2}", *tenths.last().unwrap_or(&0) as f64 / tenths[0] as f64);
}
