//! The cost of authenticating a token: with a database query each time, and from the key cache under a lease.
//!
//! `cargo bench --bench authenticate`; the last figures are in `docs/performance.md`.

use std::time::Duration;

use keyhouse::app::infra::clock::Clock;
use keyhouse_domain::scope::Scope;
use keyhouse_token::Mode;
use keyhouse_token::RawToken;
use test_support::{Engine, TestApp};

const CALLS: u32 = 20_000;
const ROUNDS: u32 = 5;

fn main() {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(async {
        println!(
            "| engine | the verdict, asked | remembered | asked : remembered | a whole call, asked | remembered |"
        );
        println!("|---|---|---|---|---|---|");
        measure("SQLite", TestApp::on(Engine::Sqlite).await).await;
        measure("PostgreSQL", TestApp::on(Engine::Postgres).await).await;
    });
}

async fn measure(engine: &str, app: TestApp) {
    let team = app.team("Acme").await;
    let key = app.key(&team, Mode::Live, Scope::ReadOnly).await;
    let token = key.token.expose();
    let verdict = async || {
        let token = RawToken::parse(token.as_bytes(), app.inner.brand()).expect("a token");
        assert!(app.inner.authenticate(token, std::net::Ipv4Addr::LOCALHOST.into()).await.is_ok());
    };
    let call = async || assert_eq!(app.get("/api/v1/key").bearer(token).await.status, 200);
    // The change feed has not been polled, so there is no lease.
    let (verdict_asked, call_asked) = (best(&verdict, CALLS / 10).await, best(&call, CALLS / 10).await);
    app.inner.apply_changes(&mut app.inner.change_feed()).await.expect("the database answers");
    let (verdict_known, call_known) = (best(&verdict, CALLS).await, best(&call, CALLS).await);
    println!(
        "| {engine} | {:.1} µs | {:.2} µs | {:.0} | {:.1} µs | {:.1} µs |",
        micros(verdict_asked),
        micros(verdict_known),
        verdict_asked.as_secs_f64() / verdict_known.as_secs_f64(),
        micros(call_asked),
        micros(call_known)
    );
}

fn micros(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}

/// The mean of the best of a few rounds, to exclude other load on the machine.
async fn best(operation: &impl AsyncFn(), calls: u32) -> Duration {
    let mut best = Duration::MAX;
    for _ in 0..ROUNDS {
        let began = Clock::System.monotonic();
        for _ in 0..calls {
            operation().await;
        }
        best = best.min((Clock::System.monotonic() - began) / calls);
    }
    best
}
