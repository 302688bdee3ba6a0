//! Asks a node about calls: over kept connections, once for equal calls at the same time, and not at all for a moment after an
//! admission.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, WeakShared};
use http::{HeaderMap, HeaderName, Method, Request, StatusCode, Uri, header};
use http_body_util::{BodyExt, Empty, Limited};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use tokio::time::Instant;

use crate::cache::{Admissions, CallId};
use crate::grant::{Grant, Refusal};

/// How long a node may take to answer.
const TIMEOUT: Duration = Duration::from_secs(2);
/// How long a connection is kept without a call. A node closes after 10 seconds at the earliest.
const IDLE: Duration = Duration::from_secs(8);
/// Longest body of a refusal; a node's are below 1 KiB.
const BODY_MAX: usize = 64 * 1024;

/// Headers that make some frameworks run another method; the node checks them too.
const OVERRIDES: [&str; 3] = ["x-http-method-override", "x-http-method", "x-method-override"];

/// An address that is not `http://HOST[:PORT]`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a node's address is http://HOST or http://HOST:PORT, without a path")]
pub struct AddressError;

type Outcome = Result<Grant, Refusal>;

/// A client of one Keyhouse node, or of a balancer before several. Cheap to clone; clones share connections and admissions.
#[derive(Clone)]
pub struct KeyhouseClient {
    verify: Uri,
    key_header: HeaderName,
    timeout: Duration,
    reuses: bool,
    shared: Arc<Shared>,
}

struct Shared {
    http: Client<HttpConnector, Empty<&'static [u8]>>,
    admissions: Mutex<Admissions>,
    /// Questions that are under way. A question ends when no caller waits for it any more.
    asking: Mutex<HashMap<CallId, WeakShared<BoxFuture<'static, Outcome>>>>,
}

impl fmt::Debug for KeyhouseClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyhouseClient").field("verify", &self.verify).finish_non_exhaustive()
    }
}

impl KeyhouseClient {
    /// A client of the node at `address`, such as `http://127.0.0.1:8080`. The key travels there in plain text: a node on
    /// another machine belongs behind a TLS proxy on this one, or in a private network.
    ///
    /// # Errors
    ///
    /// [`AddressError`] for anything but `http://HOST[:PORT]`.
    pub fn new(address: &str) -> Result<Self, AddressError> {
        let uri: Uri = address.parse().map_err(|_| AddressError)?;
        let is_plain = uri.scheme_str() == Some("http") && uri.path() == "/" && uri.query().is_none();
        let authority = uri.authority().filter(|authority| is_plain && !authority.as_str().contains('@'));
        let authority = authority.ok_or(AddressError)?;
        let verify = format!("http://{authority}/auth/verify").parse().map_err(|_| AddressError)?;
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        connector.set_connect_timeout(Some(Duration::from_secs(1)));
        let http = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE)
            .build(connector);
        let shared = Shared { http, admissions: Mutex::default(), asking: Mutex::default() };
        Ok(Self { verify, key_header: header::AUTHORIZATION, timeout: TIMEOUT, reuses: true, shared: Arc::new(shared) })
    }

    /// Takes keys from another header, as the node's setting `forward_auth.key_header` does.
    #[must_use]
    pub fn with_key_header(mut self, name: HeaderName) -> Self {
        self.key_header = name;
        self
    }

    /// Asks the node for each call, so that each counts for the rate limit and a revocation takes no longer than on the node.
    #[must_use]
    pub fn without_reuse(mut self) -> Self {
        self.reuses = false;
        self
    }

    /// The header that carries keys.
    pub(crate) fn key_header(&self) -> &HeaderName {
        &self.key_header
    }

    /// Decides about a call by its method and headers.
    ///
    /// # Errors
    ///
    /// The node's refusal (401, 403, 429), or 503 if it gave no usable answer within 2 seconds.
    pub async fn verify(&self, method: &Method, headers: &HeaderMap) -> Result<Grant, Refusal> {
        let is_overridden = OVERRIDES.iter().any(|name| headers.contains_key(*name));
        let mut credentials = headers.get_all(&self.key_header).iter();
        let credential = credentials.next().filter(|_| credentials.next().is_none());
        let Some(credential) = credential.filter(|_| self.reuses && !is_overridden) else {
            return self.question(method, headers, None).await;
        };
        let id = CallId::new(credential.as_bytes(), method);
        if let Some(grant) = lock(&self.shared.admissions).get(id, Instant::now()) {
            return Ok(grant);
        }
        let question = {
            let mut asking = lock(&self.shared.asking);
            match asking.get(&id).and_then(WeakShared::upgrade) {
                Some(question) => question,
                None => {
                    asking.retain(|_, question| question.upgrade().is_some());
                    let question = self.question(method, headers, Some(id)).shared();
                    asking.extend(question.downgrade().map(|weak| (id, weak)));
                    question
                }
            }
        };
        question.await
    }

    fn question(&self, method: &Method, headers: &HeaderMap, id: Option<CallId>) -> BoxFuture<'static, Outcome> {
        let mut request = Request::new(Empty::new());
        *request.uri_mut() = self.verify.clone();
        let sent = request.headers_mut();
        for value in headers.get_all(&self.key_header) {
            sent.append(self.key_header.clone(), value.clone());
        }
        for name in OVERRIDES {
            for value in headers.get_all(name) {
                sent.append(name, value.clone());
            }
        }
        sent.insert("x-forwarded-method", method.as_str().parse().expect("a method is a token"));
        let (shared, timeout) = (Arc::clone(&self.shared), self.timeout);
        async move {
            let asked = Instant::now();
            let outcome = tokio::time::timeout(timeout, ask(&shared.http, request)).await;
            let (outcome, max_age) =
                outcome.ok().flatten().unwrap_or_else(|| (Err(Refusal::unavailable()), Duration::ZERO));
            if let Some(id) = id {
                if let Ok(grant) = &outcome {
                    lock(&shared.admissions).insert(id, grant.clone(), asked, max_age, Instant::now());
                }
                // A later call finds the admission or sends a question of its own.
                lock(&shared.asking).remove(&id);
            }
            outcome
        }
        .boxed()
    }
}

/// `None` if there was no answer, or one that Keyhouse does not give.
async fn ask(
    http: &Client<HttpConnector, Empty<&'static [u8]>>,
    request: Request<Empty<&'static [u8]>>,
) -> Option<(Outcome, Duration)> {
    let (parts, body) = http.request(request).await.ok()?.into_parts();
    let body = Limited::new(body, BODY_MAX).collect().await.ok()?.to_bytes().to_vec();
    match parts.status {
        StatusCode::OK => {
            let grant = Grant::from_headers(&parts.headers)?;
            let max_age = parts.headers.get("x-keyhouse-max-age").and_then(|value| value.to_str().ok()?.parse().ok());
            Some((Ok(grant), Duration::from_secs(max_age.unwrap_or(0))))
        }
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN | StatusCode::TOO_MANY_REQUESTS => {
            Some((Err(Refusal::from_node(parts.status, &parts.headers, body)), Duration::ZERO))
        }
        _ => None,
    }
}

/// A panic elsewhere leaves both maps whole: nothing is done in between that could stop half-way.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
