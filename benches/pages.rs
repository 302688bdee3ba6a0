//! What the keys page of a big team costs: the server's side of it, and its weight with everything it loads.
//!
//! `cargo bench --bench pages`; the last figures are in `docs/performance.md`.

#[path = "../tests/it/harness/mod.rs"]
#[allow(dead_code, unused_imports, unused_macros, reason = "the bench needs a part of the harness")]
mod harness;

use std::time::Duration;

use harness::House;
use keyhouse::domain::key::{Mode, Scope};
use keyhouse::domain::person::Email;
use keyhouse::domain::role::Role;

const MEMBERS: usize = 1_000;
const KEYS: usize = 10;
const CALLS: usize = 500;

fn main() {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(async {
        measure("SQLite", House::on_sqlite().await).await;
        measure("PostgreSQL", House::on_postgres().await).await;
    });
}

/// The machine's time, for measuring alone.
fn ticks() -> Duration {
    keyhouse::app::clock::Clock::System.ticks()
}

async fn measure(engine: &str, house: House) {
    let team = house.team("Acme").await;
    for n in 1..MEMBERS {
        let email = Email::parse(&format!("m{n}@example.com")).expect("an address");
        house.app.add_member("bench", &team, &email, Role::Member).await.expect("added");
    }
    for _ in 0..KEYS {
        house.key(&team, Mode::Live, Scope::ReadWrite).await;
    }
    if let harness::Place::Postgres { .. } = house.place {
        // As PostgreSQL does by itself within a minute or so.
        house.place.tamper("ANALYZE").await.expect("statistics");
    }
    let browser = house.browser("owner@acme.example").await;
    for page in ["settings/integrations/api-keys", "settings/members", "settings/audit", "products"] {
        let path = format!("/t/acme/{page}");
        let mut took = Vec::new();
        let mut weight = 0;
        for _ in 0..CALLS {
            let began = ticks();
            let answer = house.get(&path).cookie(&browser).await;
            took.push(ticks() - began);
            assert_eq!(answer.status, 200);
            weight = answer.body.len();
            if took.len() == 1 {
                // All that the page makes a browser load.
                let links = answer.text().split('"').filter(|text| text.starts_with("/assets/"));
                let mut all = weight;
                for link in links {
                    all += house.get(link).header("accept-encoding", "gzip").await.body.len();
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
