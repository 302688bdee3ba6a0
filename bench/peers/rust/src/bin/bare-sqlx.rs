//! One axum route that answers with the newest product of a team, found by an index: what `GET /api/v1/products?limit=1` asks
//! the database, and nothing else. The arguments are a port and a SQLite file of Keyhouse.

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, HeaderValue};
use axum::routing::get;
use bench_peers::{HEADERS, address};
use sqlx::sqlite::{SqliteConnectOptions, SqlitePoolOptions};
use sqlx::{Row, SqlitePool};

type Team = (SqlitePool, String);

async fn show(State((pool, team)): State<Team>) -> (HeaderMap, String) {
    let select = "SELECT * FROM products WHERE team_id = ? AND mode = 'live' AND status = 'active' ORDER BY id DESC LIMIT 1";
    let row = sqlx::query(select).bind(team).fetch_one(&pool).await.expect("the team has a product");
    let text = |column| row.get::<String, _>(column);
    let number = |column| row.get::<i64, _>(column);
    let pairs = HEADERS.map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)));
    let body = format!(
        r#"{{"data":[{{"id":"{}","name":"{}","unitPrice":{},"currency":"{}","kind":"{}","createdAt":{}}}],"nextCursor":null}}"#,
        text("id"),
        text("name"),
        number("unit_price"),
        text("currency"),
        text("kind"),
        number("created_at"),
    );
    (pairs.into_iter().collect(), body)
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> std::io::Result<()> {
    let file = std::env::args().nth(2).expect("a file of SQLite as the second argument");
    let options = SqliteConnectOptions::new().filename(file).read_only(true);
    let pool = SqlitePoolOptions::new().max_connections(4).connect_with(options).await.expect("the file opens");
    let team = sqlx::query_scalar("SELECT team_id FROM products LIMIT 1").fetch_one(&pool).await.expect("a product");
    let listener = tokio::net::TcpListener::bind(address()).await?;
    axum::serve(listener, Router::new().route("/api/v1/products", get(show)).with_state((pool, team))).await
}
