//! Files for the browser, embedded: our own, and Swagger UI out of the crate that carries it. Served under the hash of
//! what they hold, so that a browser may keep them for good, and compressed once. Pages are not: what is secret and what
//! a stranger chose must not be squeezed together.

use std::io::{Cursor, Read, Write};
use std::sync::LazyLock;

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
    // Without the charset some browsers read Swagger UI's bundle as Latin-1, and fail.
    let js = "text/javascript; charset=utf-8";
    let [bundle, style] = swagger_ui(["swagger-ui-bundle.js", "swagger-ui.css"]);
    vec![
        asset("site.css", css, Bytes::from_static(include_bytes!("../../assets/site.css"))),
        asset("keyhouse.js", js, Bytes::from_static(include_bytes!("../../assets/keyhouse.js"))),
        asset("reference.js", js, Bytes::from_static(include_bytes!("../../assets/reference.js"))),
        asset("icon.svg", "image/svg+xml", Bytes::from_static(include_bytes!("../../assets/icon.svg"))),
        asset("keys.png", "image/png", Bytes::from_static(include_bytes!("../../docs/pictures/keys.png"))),
        asset("created.png", "image/png", Bytes::from_static(include_bytes!("../../docs/pictures/created.png"))),
        asset("revoke.png", "image/png", Bytes::from_static(include_bytes!("../../docs/pictures/revoke.png"))),
        asset("swagger-ui-bundle.js", js, bundle),
        asset("swagger-ui.css", css, style),
    ]
});

fn asset(name: &'static str, media_type: &'static str, bytes: Bytes) -> Asset {
    let digest = Sha256::digest(&bytes);
    let hash = digest[..8].iter().map(|byte| format!("{byte:02x}")).collect();
    let mut gzip = GzEncoder::new(Vec::new(), Compression::best());
    let gzipped = gzip.write_all(&bytes).and_then(|()| gzip.finish()).expect("a vector takes everything");
    Asset { name, media_type, hash, bytes, gzipped: gzipped.into() }
}

/// # Panics
///
/// If the crate's archive does not hold what it is there for; a test sees that it does.
fn swagger_ui<const N: usize>(names: [&str; N]) -> [Bytes; N] {
    let archive = Cursor::new(utoipa_swagger_ui_vendored::SWAGGER_UI_VENDORED);
    let mut archive = zip::ZipArchive::new(archive).expect("the crate carries an archive");
    names.map(|name| {
        let ending = format!("/dist/{name}");
        let ours = |path: &String| path.ends_with(&ending) && path.matches('/').count() == 2;
        let path = archive.file_names().filter_map(|path| Some(path.ok()?.into_owned())).find(ours);
        let path = path.expect("the archive holds the file");
        let mut bytes = Vec::new();
        archive.by_name(&path).expect("a file").read_to_end(&mut bytes).expect("an intact archive");
        bytes.into()
    })
}

/// Where a page finds a file.
///
/// # Panics
///
/// If there is no such file: a fault in a template, found by whoever first opens the page in a test.
pub(super) fn url(name: &str) -> String {
    let asset = ASSETS.iter().find(|asset| asset.name == name).expect("templates name files that there are");
    format!("/assets/{}/{name}", asset.hash)
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
