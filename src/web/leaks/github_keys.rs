//! The public keys with which GitHub signs its reports, from a file or a URL.

use std::collections::HashMap;
use std::path::PathBuf;
use std::time::Duration;

use axum::body::Bytes;
use axum::http::{HeaderValue, Request, StatusCode, Uri, header};
use data_encoding::BASE64;
use http_body_util::{BodyExt, Empty, Limited};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use ring::signature::{ECDSA_P256_SHA256_ASN1, UnparsedPublicKey};
use serde::Deserialize;
use tokio::sync::Mutex;

use crate::web::error::{ApiError, ErrorCode};

/// How long keys from a URL or a file are used before they are read again.
const FRESH_FOR: Duration = Duration::from_secs(60 * 60);
/// How often at most they are read for an id that is not among them, over all senders.
const RETRY_AFTER: Duration = Duration::from_secs(60);
/// How long one request to the URL may take.
const FETCH_TIMEOUT: Duration = Duration::from_secs(5);
/// Longest list of keys, in bytes. GitHub's is about 1 KiB.
const LIST_MAX: usize = 256 << 10;
/// What comes before the point of a P-256 key in a SubjectPublicKeyInfo (RFC 5480): lengths, id-ecPublicKey, prime256v1.
const P256_PREFIX: &[u8] = &[
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce,
    0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
];

type Https = hyper_rustls::HttpsConnector<HttpConnector>;

/// GitHub's public keys, read when they are needed.
#[derive(Debug)]
pub struct GithubKeys {
    source: Source,
    cache: Mutex<Cache>,
}

#[derive(Debug)]
enum Source {
    File(PathBuf),
    Url(Uri),
}

#[derive(Debug, Default)]
struct Cache {
    keys: HashMap<String, PublicKey>,
    /// The entity tag of the list, for a conditional request.
    tag: Option<HeaderValue>,
    /// When the list was last asked for, and when with success; on the monotonic clock.
    asked: Option<Duration>,
    read: Option<Duration>,
}

/// A point of the curve P-256.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct PublicKey(Vec<u8>);

/// The list as GitHub publishes it. A key that is no longer current may have signed a report that is under way.
#[derive(Deserialize)]
struct List {
    public_keys: Vec<Entry>,
}

#[derive(Deserialize)]
struct Entry {
    key_identifier: String,
    key: String,
}

/// Why the setting names no source of keys.
#[derive(Debug, thiserror::Error)]
#[error("must be a file, or a URL that begins with https://")]
pub struct KeySourceError;

/// Why the list of keys could not be read.
#[derive(Debug, thiserror::Error)]
enum ListError {
    #[error("can't read the file {0}: {1}")]
    File(String, std::io::Error),
    #[error("the URL of the keys does not answer: {0}")]
    Request(String),
    #[error("the URL of the keys answers {0}")]
    Status(StatusCode),
    #[error("the list of keys is not as GitHub publishes it: {0}")]
    Json(#[from] serde_json::Error),
    #[error("key {0} is not a P-256 key in PEM")]
    Key(String),
}

impl GithubKeys {
    /// Reads the setting: a URL, or the path of a file with the same content.
    ///
    /// # Errors
    ///
    /// [`KeySourceError`] for another kind of URL. Plain HTTP is accepted from this machine alone.
    pub fn parse(setting: &str) -> Result<Self, KeySourceError> {
        let source = if setting.contains("://") {
            let uri: Uri = setting.parse().map_err(|_| KeySourceError)?;
            let is_local = matches!(uri.host(), Some("127.0.0.1" | "localhost" | "[::1]"));
            match uri.scheme_str() {
                Some("https") => {}
                Some("http") if is_local => {}
                _ => return Err(KeySourceError),
            }
            Source::Url(uri)
        } else {
            Source::File(PathBuf::from(setting))
        };
        Ok(Self { source, cache: Mutex::default() })
    }

    /// The key with this id; `None` if GitHub has none.
    ///
    /// # Errors
    ///
    /// 503 if there is no list of keys yet and none can be read.
    pub(super) async fn find(&self, id: &str, now: Duration) -> Result<Option<PublicKey>, ApiError> {
        let mut cache = self.cache.lock().await;
        let is_fresh = cache.read.is_some_and(|read| now.saturating_sub(read) < FRESH_FOR);
        let may_ask = cache.asked.is_none_or(|asked| now.saturating_sub(asked) >= RETRY_AFTER);
        if may_ask && !(is_fresh && cache.keys.contains_key(id)) {
            cache.asked = Some(now);
            match self.read(&mut cache).await {
                Ok(()) => cache.read = Some(now),
                Err(error) => {
                    tracing::warn!(%error, "GitHub's public keys can't be read; the last known keys stay in use");
                }
            }
        }
        match cache.keys.get(id) {
            None if cache.read.is_none() => {
                let error = ApiError::new(ErrorCode::ServiceUnavailable).with_header(header::RETRY_AFTER, "60");
                Err(error.with_source("GitHub's public keys are not known"))
            }
            key => Ok(key.cloned()),
        }
    }

    async fn read(&self, cache: &mut Cache) -> Result<(), ListError> {
        let list = match &self.source {
            Source::File(path) => {
                let text = tokio::task::spawn_blocking({
                    let path = path.clone();
                    move || std::fs::read(path)
                });
                let read = text.await.unwrap_or_else(|error| Err(std::io::Error::other(error)));
                read.map_err(|error| ListError::File(path.display().to_string(), error))?
            }
            Source::Url(uri) => match fetch(uri, cache.tag.as_ref()).await? {
                Some((tag, list)) => {
                    cache.tag = tag;
                    list
                }
                None => return Ok(()),
            },
        };
        let list: List = serde_json::from_slice(&list)?;
        let keys = list.public_keys.into_iter().map(|entry| {
            let key = PublicKey::from_pem(&entry.key).ok_or_else(|| ListError::Key(entry.key_identifier.clone()))?;
            Ok((entry.key_identifier, key))
        });
        cache.keys = keys.collect::<Result<_, ListError>>()?;
        Ok(())
    }
}

/// The list and its entity tag; `None` if it has not changed.
async fn fetch(uri: &Uri, tag: Option<&HeaderValue>) -> Result<Option<(Option<HeaderValue>, Vec<u8>)>, ListError> {
    let failed = |error: &dyn std::fmt::Display| ListError::Request(error.to_string());
    let connector = hyper_rustls::HttpsConnectorBuilder::new().with_native_roots().map_err(|error| failed(&error))?;
    let client: Client<Https, Empty<Bytes>> =
        Client::builder(TokioExecutor::new()).build(connector.https_or_http().enable_http1().build());
    let mut request = Request::get(uri)
        .header(header::ACCEPT, "application/json")
        .header(header::USER_AGENT, concat!("keyhouse/", env!("CARGO_PKG_VERSION")));
    if let Some(tag) = tag {
        request = request.header(header::IF_NONE_MATCH, tag);
    }
    let request = request.body(Empty::new()).map_err(|error| failed(&error))?;
    let asked = async {
        let response = client.request(request).await.map_err(|error| failed(&error))?;
        match response.status() {
            StatusCode::OK => {}
            StatusCode::NOT_MODIFIED => return Ok(None),
            status => return Err(ListError::Status(status)),
        }
        let tag = response.headers().get(header::ETAG).cloned();
        let body = Limited::new(response.into_body(), LIST_MAX).collect().await.map_err(|error| failed(&error))?;
        Ok(Some((tag, body.to_bytes().to_vec())))
    };
    tokio::time::timeout(FETCH_TIMEOUT, asked).await.unwrap_or_else(|_| Err(failed(&"no answer in time")))
}

impl PublicKey {
    /// Reads a SubjectPublicKeyInfo in PEM (RFC 7468).
    fn from_pem(pem: &str) -> Option<Self> {
        let body = pem.trim().strip_prefix("-----BEGIN PUBLIC KEY-----")?.strip_suffix("-----END PUBLIC KEY-----")?;
        let body: String = body.split_whitespace().collect();
        let der = BASE64.decode(body.as_bytes()).ok()?;
        let point = der.strip_prefix(P256_PREFIX).filter(|point| point.len() == 65)?;
        Some(Self(point.to_vec()))
    }

    /// Whether the signature, in ASN.1 DER, is this key's over SHA-256 of the message.
    pub(super) fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, &self.0).verify(message, signature).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The sample that GitHub's documentation has published with its key.
    const SAMPLE_KEY: &str = "-----BEGIN PUBLIC KEY-----\nMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEsz9ugWDj5jK5ELBK42ynytbo38gP\n\
                              HzZFI03Exwz8Lh/tCfL3YxwMdLjB+bMznsanlhK0RwcGP3IDb34kQDIo3Q==\n-----END PUBLIC KEY-----";
    const SAMPLE_BODY: &[u8] =
        br#"[{"token":"some_token","type":"some_type","url":"some_url","source":"some_source"}]"#;
    const SAMPLE_SIGNATURE: &str =
        "MEUCIFLZzeK++IhS+y276SRk2Pe5LfDrfvTXu6iwKKcFGCrvAiEAhHN2kDOhy2I6eGkOFmxNkOJ+L2y8oQ9A2T9GGJo6WJY=";

    #[test]
    fn the_published_sample_verifies_and_no_other_spelling_of_it() {
        let key = PublicKey::from_pem(SAMPLE_KEY).unwrap();
        let signature = BASE64.decode(SAMPLE_SIGNATURE.as_bytes()).unwrap();
        assert!(key.verifies(SAMPLE_BODY, &signature));
        let spaced = String::from_utf8_lossy(SAMPLE_BODY).replace(',', ", ");
        assert!(!key.verifies(spaced.as_bytes(), &signature), "the same JSON with spaces");
        assert!(!key.verifies(&SAMPLE_BODY[1..], &signature));
        for at in 0..signature.len() {
            let mut changed = signature.clone();
            changed[at] ^= 1;
            assert!(!key.verifies(SAMPLE_BODY, &changed), "byte {at}");
        }
    }

    #[test]
    fn a_source_is_a_file_or_an_encrypted_url() {
        assert!(GithubKeys::parse("https://api.github.com/meta/public_keys/secret_scanning").is_ok());
        assert!(GithubKeys::parse("/etc/keyhouse/github-keys.json").is_ok());
        assert!(GithubKeys::parse("http://127.0.0.1:9000/keys").is_ok());
        for url in ["http://api.github.com/keys", "ftp://a.example/keys", "http://127.0.0.1.example/keys"] {
            assert!(GithubKeys::parse(url).is_err(), "{url}");
        }
    }

    #[test]
    fn only_p256_keys_in_pem_are_read() {
        assert!(PublicKey::from_pem(&SAMPLE_KEY.replace('\n', "\r\n")).is_some());
        for text in ["", "MFkw", &SAMPLE_KEY.replace("PUBLIC", "PRIVATE"), &SAMPLE_KEY.replace("MFkw", "MFkx")] {
            assert!(PublicKey::from_pem(text).is_none(), "{text}");
        }
    }
}
