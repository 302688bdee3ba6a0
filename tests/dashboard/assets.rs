//! Stylesheets, scripts and pictures.

use std::io::Read;

use flate2::read::GzDecoder;
use test_support::{Engine, TestApp};

/// The paths of the assets that a page names.
async fn assets(app: &TestApp, page: &str) -> Vec<String> {
    let page = app.get(page).await;
    page.text().split('"').filter(|text| text.starts_with("/assets/")).map(str::to_owned).collect()
}

#[tokio::test]
async fn an_asset_is_the_same_with_and_without_gzip_and_may_be_cached_for_good() {
    let app = TestApp::on(Engine::Sqlite).await;
    let paths = assets(&app, "/sign-in").await;
    assert!(paths.len() >= 2, "a stylesheet and a script: {paths:?}");
    for path in paths {
        let plain = app.get(&path).await;
        let gzipped = app.get(&path).header("accept-encoding", "br, gzip").await;
        assert_eq!((plain.status.as_u16(), plain.header("content-encoding")), (200, None), "{path}");
        assert_eq!((gzipped.status.as_u16(), gzipped.header("content-encoding")), (200, Some("gzip")), "{path}");
        let mut unpacked = Vec::new();
        GzDecoder::new(&gzipped.body[..]).read_to_end(&mut unpacked).unwrap();
        assert_eq!(unpacked, plain.body, "{path}");
        for answer in [&plain, &gzipped] {
            assert_eq!(answer.header("vary"), Some("Accept-Encoding"), "{path}");
            assert_eq!(answer.header("cache-control"), Some("public, max-age=31536000, immutable"), "{path}");
        }
    }
}

#[tokio::test]
async fn pages_are_not_compressed() {
    let app = TestApp::on(Engine::Sqlite).await;
    let page = app.get("/sign-in").header("accept-encoding", "gzip").await;
    assert_eq!((page.status.as_u16(), page.header("content-encoding")), (200, None), "BREACH");
}

#[tokio::test]
async fn an_asset_of_another_version_does_not_exist() {
    let app = TestApp::on(Engine::Sqlite).await;
    let path = assets(&app, "/sign-in").await.remove(0);
    let name = path.rsplit('/').next().unwrap();
    assert_eq!(app.get(&format!("/assets/0123456789abcdef/{name}")).await.status, 404);
}

/// A page with everything that it loads, as it is transferred: at most 40 kB with the fresh team's few rows.
#[tokio::test]
async fn a_page_with_its_assets_weighs_at_most_40_kilobytes() {
    let app = TestApp::on(Engine::Sqlite).await;
    let ada = app.set_up().await;
    let settings = "/t/acme/settings";
    for path in [
        "/t/acme/products",
        settings,
        &format!("{settings}/members"),
        &format!("{settings}/integrations/api-keys"),
        &format!("{settings}/integrations/api-keys/new"),
        &format!("{settings}/audit"),
        "/account",
        "/docs",
    ] {
        let page = app.page(&ada, path).await;
        assert_eq!(page.status, 200, "{path}");
        // Icons are fragments of one file.
        let named = page.text().split('"').filter(|text| text.starts_with("/assets/") && !text.ends_with(".png"));
        let named: std::collections::BTreeSet<_> = named.filter_map(|text| text.split('#').next()).collect();
        let mut weight = page.body.len();
        for asset in named {
            weight += app.get(asset).header("accept-encoding", "gzip").await.body.len();
        }
        assert!(weight <= 40 * 1024, "{path} weighs {weight} bytes");
    }
    let reference = app.get("/docs/reference").await;
    assert_eq!(reference.text().matches("Responses</h3>").count(), 7, "one for each operation");
    assert!(reference.text().contains("201</span><span>The product<"), "{reference}");
    assert!(reference.body.len() <= 60 * 1024, "the reference has {} bytes", reference.body.len());
}
