//! Static files for the browser, embedded in the binary.
//!
//! A file's address holds the hash of its content, so browsers may cache it forever. Each file is compressed once. Pages
//! are not compressed: a response that holds both a secret and text of an attacker's choice leaks the secret by its
//! length (BREACH).

use std::fmt;
use std::io::Write;
use std::sync::LazyLock;

use askama::filters::HtmlSafe;
use axum::body::Bytes;
use axum::extract::Path;
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use flate2::Compression;
use flate2::write::GzEncoder;
use sha2::{Digest, Sha256};

use super::error::{ApiError, ErrorCode};

struct Asset {
    name: &'static str,
    media_type: &'static str,
    hash: String,
    bytes: Bytes,
    gzipped: Bytes,
}

static ASSETS: LazyLock<Vec<Asset>> = LazyLock::new(|| {
    let css = "text/css; charset=utf-8";
    let js = "text/javascript; charset=utf-8";
    let touch = asset("touch.png", "image/png", Bytes::from_static(include_bytes!("../../assets/touch.png")));
    let mark = asset("mark.svg", "image/svg+xml", Bytes::from_static(include_bytes!("../../assets/mark.svg")));
    vec![
        asset("manifest.webmanifest", "application/manifest+json", manifest(&[&touch, &mark])),
        touch,
        mark,
        asset("icons.svg", "image/svg+xml", Bytes::from_static(include_bytes!("../../assets/icons.svg"))),
        asset("keyhouse.css", css, Bytes::from_static(include_bytes!("../../assets/keyhouse.css"))),
        asset("docs.js", js, Bytes::from_static(include_bytes!("../../assets/docs.js"))),
        asset("keyhouse.js", js, Bytes::from_static(include_bytes!("../../assets/keyhouse.js"))),
        asset("keys.png", "image/png", Bytes::from_static(include_bytes!("../../docs/pictures/keys.png"))),
        asset("created.png", "image/png", Bytes::from_static(include_bytes!("../../docs/pictures/created.png"))),
        asset("revoke.png", "image/png", Bytes::from_static(include_bytes!("../../docs/pictures/revoke.png"))),
    ]
});

impl Asset {
    fn url(&self) -> String {
        format!("/assets/{}/{}", self.hash, self.name)
    }
}

fn asset(name: &'static str, media_type: &'static str, bytes: Bytes) -> Asset {
    let digest = Sha256::digest(&bytes);
    let hash = digest[..8].iter().map(|byte| format!("{byte:02x}")).collect();
    let mut gzip = GzEncoder::new(Vec::new(), Compression::best());
    let gzipped = gzip.write_all(&bytes).and_then(|()| gzip.finish()).expect("a vector takes everything");
    Asset { name, media_type, hash, bytes, gzipped: gzipped.into() }
}

/// The web app manifest: the name, the colors and the icons by their addresses.
fn manifest(icons: &[&Asset]) -> Bytes {
    let icons: Vec<_> = icons
        .iter()
        .map(|asset| {
            let sizes = if asset.media_type == "image/png" { "180x180" } else { "any" };
            serde_json::json!({ "src": asset.url(), "sizes": sizes, "type": asset.media_type })
        })
        .collect();
    let manifest = serde_json::json!({
        "name": "Keyhouse",
        "short_name": "Keyhouse",
        "start_url": "/",
        "display": "browser",
        "background_color": "#fbfaf7",
        "theme_color": "#0b6b66",
        "icons": icons,
    });
    manifest.to_string().into()
}

/// An icon of the sprite, or with `mark` the product's mark.
#[derive(Debug, Clone, Copy)]
pub(super) struct Icon {
    name: &'static str,
    class: &'static str,
}

/// The icon of this name in `assets/icons.svg`.
pub(super) const fn icon(name: &'static str) -> Icon {
    Icon { name, class: "icon" }
}

/// The product's mark.
pub(super) const fn mark() -> Icon {
    Icon { name: "mark", class: "mark" }
}

impl fmt::Display for Icon {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, class } = self;
        write!(f, r##"<svg class="{class}" aria-hidden="true"><use href="{}#{name}"/></svg>"##, url("icons.svg"))
    }
}

/// Its text is fixed HTML, so templates need not escape it.
impl HtmlSafe for Icon {}

/// Where a page finds a file.
///
/// # Panics
///
/// If there is no such file. The name is fixed in a template, so the first test that opens the page finds the mistake.
pub(super) fn url(name: &str) -> String {
    let asset = ASSETS.iter().find(|asset| asset.name == name).expect("templates name files that there are");
    asset.url()
}

pub(super) async fn get(Path((hash, name)): Path<(String, String)>, headers: HeaderMap) -> Response {
    let Some(asset) = ASSETS.iter().find(|asset| asset.name == name && asset.hash == hash) else {
        return ApiError::new(ErrorCode::RouteNotFound).into_response();
    };
    let lasting = [
        (header::CONTENT_TYPE, HeaderValue::from_static(asset.media_type)),
        (header::CACHE_CONTROL, HeaderValue::from_static("public, max-age=31536000, immutable")),
        (header::VARY, HeaderValue::from_static("Accept-Encoding")),
    ];
    let accepted = headers.get(header::ACCEPT_ENCODING).and_then(|value| value.to_str().ok()).unwrap_or_default();
    match accepted.split(',').any(|coding| coding.trim() == "gzip") {
        true => (lasting, [(header::CONTENT_ENCODING, "gzip")], asset.gzipped.clone()).into_response(),
        false => (lasting, asset.bytes.clone()).into_response(),
    }
}
