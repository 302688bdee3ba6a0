//! The cost of the pages of a large team: the time in the server, and the bytes with everything that a page loads.
//!
//! `cargo bench --bench pages`; the last figures are in `docs/performance.md`.

use std::time::Duration;

use keyhouse_domain::person::Email;
use keyhouse_domain::role::Role;
use keyhouse_domain::scope::Scope;
use keyhouse_token::Mode;
use test_support::{Engine, TestApp};

const MEMBERS: usize = 1_000;
const KEYS: usize = 10;
const CALLS: usize = 500;

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
    for n in 1..MEMBERS {
        let email = Email::parse(&format!("m{n}@example.com")).expect("an address");
        app.inner.add_member("bench", &team, &email, Role::Member).await.expect("added");
    }
    for _ in 0..KEYS {
        app.key(&team, Mode::Live, Scope::ReadWrite).await;
    }
    if let test_support::TestDatabase::Postgres { .. } = app.place {
        // Autovacuum gathers the statistics by itself within about a minute.
        app.place.execute_sql("ANALYZE").await.expect("statistics");
    }
    let browser = app.browser("owner@acme.example").await;
    for page in ["settings/integrations/api-keys", "settings/members", "settings/audit", "products"] {
        let path = format!("/t/acme/{page}");
        let mut took = Vec::new();
        let mut weight = 0;
        for _ in 0..CALLS {
            let began = ticks();
            let answer = app.get(&path).cookie(&browser).await;
            took.push(ticks() - began);
            assert_eq!(answer.status, 200);
            weight = answer.body.len();
            if took.len() == 1 {
                // Everything that the page makes a browser load.
                let links = answer.text().split('"').filter(|text| text.starts_with("/assets/"));
                let mut all = weight;
                for link in links {
                    all += app.get(link).header("accept-encoding", "gzip").await.body.len();
                }
                println!(
                    "{engine}: {page} weighs {:.1} kB, {:.1} kB with everything",
                    weight as f64 / 1e3,
                    all as f64 / 1e3
                );
            }
        }
        took.sort();
        let at = |share: usize| took[took.len() * share / 100].as_secs_f64() * 1e3;
        println!("{engine}: {page} p50 {:.2} ms, p99 {:.2} ms ({weight} bytes)", at(50), at(99));
    }
}
