//! Limits and unique names under concurrency.

use keyhouse::app::keys::CreateKeyError;
use keyhouse_domain::api_key::{KeyName, NewKey};
use keyhouse_domain::scope::Scope;
use keyhouse_store::StoreError;
use keyhouse_token::Mode;
use rstest::rstest;

use test_support::{Engine, TestApp, open};

fn new_key(n: usize) -> NewKey {
    NewKey::new(KeyName::parse(&format!("K{n}")).unwrap(), Mode::Live, Scope::ReadOnly)
}

/// Sixty concurrent creations over three nodes; returns how many succeeded and how many were refused.
async fn concurrent_creates(app: &TestApp, team: &keyhouse_domain::team::Team, seeds: [u64; 2]) -> (usize, usize) {
    let mut nodes = vec![app.inner.clone()];
    for seed in seeds {
        nodes.push(open(&app.place, app.clock.clone(), seed).await);
    }
    let admin = app.shell(team);
    let calls: Vec<_> = (0..60)
        .map(|n| {
            let (node, admin) = (nodes[n % 3].clone(), admin.clone());
            tokio::spawn(async move {
                loop {
                    match node.create_key(&admin, new_key(n)).await {
                        // A busy machine: no connection was free within 0.9 s, and nothing was done.
                        Err(CreateKeyError::Store(StoreError::Unavailable(sqlx::Error::PoolTimedOut))) => {}
                        outcome => break outcome.map(|created| created.key),
                    }
                }
            })
        })
        .collect();
    let mut outcome = (0, 0);
    for call in calls {
        match call.await.unwrap() {
            Ok(_) => outcome.0 += 1,
            Err(CreateKeyError::LimitReached) => outcome.1 += 1,
            Err(other) => panic!("{other}"),
        }
    }
    outcome
}

#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sixty_concurrent_creations_make_exactly_ten_keys(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let app = TestApp::on(engine).await;
    let team = app.team("Acme").await;
    assert_eq!(concurrent_creates(&app, &team, [2, 3]).await, (10, 50));
    assert_eq!(app.inner.keys_of(&team).await.unwrap().len(), 10);

    // A revoked key frees one slot.
    let one = app.inner.keys_of(&team).await.unwrap()[4].key.id;
    app.inner.revoke_key(&app.shell(&team), one, None).await.unwrap();
    assert_eq!(concurrent_creates(&app, &team, [4, 5]).await, (1, 59));
    let audit = app.inner.queries().audit_events(team.id, &Default::default(), None, 1000).await.unwrap();
    assert_eq!(audit.iter().filter(|event| event.action.as_str() == "key.created").count(), 11, "one event per change");
}

#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn concurrent_revocations_of_one_key_are_audited_once(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
) {
    let app = TestApp::on(engine).await;
    let team = app.team("Acme").await;
    let key = app.key(&team, Mode::Live, Scope::ReadOnly).await.key;
    let calls: Vec<_> = (0..20)
        .map(|_| {
            let (app, admin) = (app.inner.clone(), app.shell(&team));
            tokio::spawn(async move { app.revoke_key(&admin, key.id, None).await.unwrap() })
        })
        .collect();
    let mut now = 0;
    for call in calls {
        now += usize::from(call.await.unwrap() == keyhouse::app::keys::Revoked::Now);
    }
    assert_eq!(now, 1);
}

#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn teams_with_the_same_name_get_different_slugs(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let app = TestApp::on(engine).await;
    let calls: Vec<_> = (0..6)
        .map(|_| {
            let app = app.inner.clone();
            tokio::spawn(async move {
                let name = keyhouse_domain::team::TeamName::parse("Acme").unwrap();
                let owner = keyhouse_domain::person::Email::parse("ada@example.com").unwrap();
                app.create_team("tester", &name, &owner).await.unwrap().slug.as_str().to_owned()
            })
        })
        .collect();
    let mut slugs = Vec::new();
    for call in calls {
        slugs.push(call.await.unwrap());
    }
    slugs.sort();
    assert_eq!(slugs, ["acme", "acme-2", "acme-3", "acme-4", "acme-5", "acme-6"]);
}

#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn concurrent_products_with_one_sku_succeed_once(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let app = TestApp::on(engine).await;
    let token = app.live_token().await;
    let mut statuses = Vec::new();
    let calls = (0..20).map(|_| {
        app.post("/api/v1/products", r#"{"name":"x","unitPrice":1,"currency":"EUR","sku":"ONE"}"#).bearer(&token)
    });
    for answer in futures_util::future::join_all(calls.map(std::future::IntoFuture::into_future)).await {
        statuses.push(answer.status.as_u16());
    }
    statuses.sort_unstable();
    assert_eq!((statuses[0], &statuses[1..]), (201, &[409; 19][..]));
}
