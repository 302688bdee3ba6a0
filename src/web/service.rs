//! The root service: everything around the two routers. `web/mod.rs` lists its layers in order.

use std::cell::RefCell;
use std::convert::Infallible;
use std::net::{IpAddr, SocketAddr};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Request, header};
use axum::response::Response;
use futures_util::FutureExt;
use tower::ServiceExt;

use super::context::{self, RequestContext};
use super::direct::Direct;
use super::error::{ApiError, ErrorCode};
use super::key_hints::insert_key_hints;
use super::middleware::authenticate::authenticate;
use super::middleware::render_error::{ErrorFormat, render_error};
use super::middleware::security_headers::set_security_headers;
use super::middleware::{access_log, client_ip, http_check};
use super::server::HttpService;
use super::theme::{self, Theme};
use super::{AppState, OPEN_DOCUMENT, forward_auth, small_bytes};
use crate::app::infra::metrics::{ApiOutcome, method_label};
use crate::app::infra::traces::{RequestSpan, TraceContext};
use crate::app::observations::Observation;
use crate::app::usage::Call;
use keyhouse_domain::rate_limit::Quota;
use keyhouse_domain::timestamp::Timestamp;

/// The three routers, distinguished by path alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Tree {
    /// `/api/v1/**`
    Api,
    /// `/auth/**`
    ForwardAuth,
    /// Everything else.
    Site,
}

impl Tree {
    fn of(path: &str) -> Self {
        let is_in = |root: &str| path.strip_prefix(root).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
        match () {
            () if is_in("/api/v1") => Self::Api,
            () if is_in("/auth") => Self::ForwardAuth,
            () => Self::Site,
        }
    }
}

/// Sends each request to the router of its [`Tree`], after its authentication. A service by hand rather than a stack of
/// layers: every request pays for it, and a boxed layer costs about 1 µs. Cheap to clone.
#[derive(Debug, Clone)]
pub struct RootService(Arc<Root>);

#[derive(Debug)]
struct Root {
    state: AppState,
    routers: Routers,
    /// The templates of the routes that are authenticated, to name the route of a request that is refused before its router.
    api_templates: Templates,
    forward_auth_templates: Templates,
    /// Whether a proxy that is missing in `trusted_proxies` was logged: once is enough.
    has_warned_of_proxy: AtomicBool,
}

/// One router for each [`Tree`].
#[derive(Debug)]
pub(super) struct Routers {
    pub(super) api: Router,
    pub(super) forward_auth: Router,
    pub(super) site: Router,
}

/// axum's own matching of paths to templates.
#[derive(Debug)]
struct Templates(matchit::Router<&'static str>);

impl Templates {
    fn new(templates: impl IntoIterator<Item = &'static str>) -> Self {
        let mut router = matchit::Router::new();
        for template in templates {
            router.insert(template, template).expect("axum has taken the same templates");
        }
        Self(router)
    }

    fn find(&self, path: &str) -> Option<&'static str> {
        self.0.at(path).ok().map(|found| *found.value)
    }
}

impl RootService {
    pub(super) fn new(
        state: AppState,
        routers: Routers,
        api_templates: impl IntoIterator<Item = &'static str>,
    ) -> Self {
        let forward_auth_templates = Templates::new(forward_auth::templates(&state.forward_auth).iter().copied());
        Self(Arc::new(Root {
            state,
            routers,
            api_templates: Templates::new(api_templates),
            forward_auth_templates,
            has_warned_of_proxy: AtomicBool::new(false),
        }))
    }
}

impl Root {
    fn client_ip(&self, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
        let trusted = &self.state.trusted_proxies;
        if client_ip::is_unlisted_proxy(peer, headers, trusted)
            && !self.has_warned_of_proxy.swap(true, Ordering::Relaxed)
        {
            self.state.app.observe(Observation::UnlistedProxy, &peer.to_canonical().to_string());
            tracing::warn!(
                %peer,
                "X-Forwarded-For from a peer that is not in trusted_proxies: all its clients are limited and logged as one"
            );
        }
        client_ip::address(peer, headers, trusted)
    }

    /// Checks the request, runs its handler, and turns a panic anywhere below into a 500. Not an `async fn`, whose future
    /// would hold the request twice.
    fn respond(
        &self,
        tree: Tree,
        context: &RequestContext,
        request: Request<Body>,
    ) -> impl Future<Output = Result<Response, ApiError>> + Send {
        let respond = AssertUnwindSafe(self.check_and_route(tree, context, request)).catch_unwind();
        // The panic hook has logged the message and the place.
        respond.map(|answer| {
            answer.unwrap_or_else(|_| Err(ApiError::new(ErrorCode::InternalError).with_source("a panic")))
        })
    }

    async fn check_and_route(
        &self,
        tree: Tree,
        context: &RequestContext,
        mut request: Request<Body>,
    ) -> Result<Response, ApiError> {
        http_check::check(&request)?;
        let direct = Direct::of(&self.state, request.method(), request.uri().path());
        if let Some(direct) = direct {
            context.set_found_route(direct.template());
        }
        if let Some(key_header) = self.key_header(tree, context, request.uri().path()) {
            authenticate(&self.state.app, context, request.headers(), key_header).await?;
        }
        if let Some(direct) = direct {
            return Ok(direct.respond(&self.state, context, request.headers()));
        }
        request.extensions_mut().insert(context.clone());
        let router = match tree {
            Tree::Api => &self.routers.api,
            Tree::ForwardAuth => &self.routers.forward_auth,
            Tree::Site => &self.routers.site,
        };
        // In a box: the future of every request would have its size, also of those that need no router.
        Box::pin(router.clone().oneshot(request)).await.map_err(|never: Infallible| match never {})
    }

    /// The header that holds the credential of a request; `None` for a request that needs none. Notes the route's template.
    fn key_header(&self, tree: Tree, context: &RequestContext, path: &str) -> Option<&HeaderName> {
        match tree {
            // Unknown paths too: without a valid key the answer is 401 whatever the path.
            Tree::Api => {
                if context.route().is_none()
                    && let Some(template) = self.api_templates.find(path)
                {
                    context.set_found_route(template);
                }
                (path != OPEN_DOCUMENT).then_some(&header::AUTHORIZATION)
            }
            Tree::ForwardAuth => {
                if context.route().is_none() {
                    context.set_found_route(self.forward_auth_templates.find(path)?);
                }
                Some(&self.state.forward_auth.key_header)
            }
            Tree::Site => None,
        }
    }

    /// The headers that every response has, whatever produced it.
    fn set_headers(&self, tree: Tree, context: &RequestContext, now: Timestamp, headers: &mut HeaderMap) {
        if let Some(quota) = context.quota() {
            insert_rate_limit_headers(headers, quota);
        }
        if let Some(key) = context.key() {
            insert_key_hints(headers, key, now);
        }
        headers.insert(REQUEST_ID, small_bytes::header(&context.id().to_ascii()));
        headers.insert(header::X_CONTENT_TYPE_OPTIONS, const { HeaderValue::from_static("nosniff") });
        headers.entry(header::CACHE_CONTROL).or_insert(const { HeaderValue::from_static("no-store") });
        if tree == Tree::Site {
            set_security_headers(&self.state, headers);
        }
        if self.state.stopping.has_begun() {
            // The client's next request should open a new connection, to another node.
            headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
    }

    async fn handle(&self, peer: SocketAddr, request: Request<Body>) -> Response {
        let app = &self.state.app;
        let began = app.clock().monotonic();
        let client = self.client_ip(peer.ip(), request.headers());
        let context = RequestContext::new(app.ids().request(), client);
        let method = request.method().clone();
        let trace = app.traces().map(|_| {
            let traceparent = request.headers().get("traceparent").and_then(|value| value.to_str().ok());
            TraceContext::new(traceparent, app.rng())
        });
        let tree = Tree::of(request.uri().path());
        let agent = (tree != Tree::Site).then(|| request.headers().get(header::USER_AGENT).cloned()).flatten();
        let format = ErrorFormat::of(tree != Tree::Site, request.headers());

        let (mut response, error) = if tree == Tree::Site {
            let theme = Theme::of(request.headers());
            let respond = context::scope(context.id(), self.respond(tree, &context, request));
            let answer = theme::scope(theme, respond).await;
            theme::sync_scope(theme, || render_error(answer, &context, &method, format))
        } else {
            let answer = context::scope(context.id(), self.respond(tree, &context, request)).await;
            render_error(answer, &context, &method, format)
        };
        let ended = app.clock().reading();
        let took = ended.monotonic.saturating_sub(began);
        self.set_headers(tree, &context, ended.wall, response.headers_mut());
        let metrics = app.metrics();
        let status = response.status().as_u16();
        metrics.record_http(context.route(), method.as_str(), status, took);
        match (context.refusal(), context.key()) {
            (Some(refusal), _) => metrics.record_api_request(refusal),
            (None, Some(_)) => metrics.record_api_request(ApiOutcome::Admitted),
            (None, None) => {}
        }
        if let Some((key, outcome)) = context.used_key(status) {
            app.record_call(&Call {
                key,
                request: context.id(),
                at: ended.wall,
                from: client,
                agent: agent.as_ref().map_or(&[], HeaderValue::as_bytes),
                method: method_label(method.as_str()),
                route: context.found_route().unwrap_or("-"),
                status,
                outcome,
            });
        }
        let answered = access_log::Answered {
            method: &method,
            response: &response,
            error: error.as_deref(),
            took,
            trace: trace.as_ref(),
        };
        access_log::log(&context, &answered, ended.wall);
        if let (Some(sink), Some(trace)) = (app.traces(), trace) {
            sink.record(RequestSpan {
                context: trace,
                ended_at: ended.wall,
                took,
                method: method.to_string(),
                route: context.route().map(str::to_owned),
                status,
                client: client.to_string(),
                request_id: context.id().to_string(),
                key: context.key().map(|key| key.id.to_string()),
                error: error.as_deref().map(|error| error.code.code()),
            });
        }
        response
    }
}

impl HttpService for RootService {
    fn handle(&self, peer: SocketAddr, request: Request<Body>) -> impl Future<Output = Response> + Send {
        self.0.handle(peer, request)
    }
}

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const LIMIT: HeaderName = HeaderName::from_static("x-ratelimit-limit");
const REMAINING: HeaderName = HeaderName::from_static("x-ratelimit-remaining");
const RESET: HeaderName = HeaderName::from_static("x-ratelimit-reset");

fn insert_rate_limit_headers(headers: &mut HeaderMap, quota: &Quota) {
    thread_local! {
        /// The limit and the end of the window, which are the same for many requests, with their header values.
        static SAME: RefCell<[(i64, HeaderValue); 2]> =
            const { RefCell::new([(0, HeaderValue::from_static("0")), (0, HeaderValue::from_static("0"))]) };
    }
    let [limit, reset] = SAME.with_borrow_mut(|same| {
        for (known, number) in same.iter_mut().zip([quota.limit.cast_signed(), quota.reset]) {
            if known.0 != number {
                *known = (number, HeaderValue::from(number));
            }
        }
        [same[0].1.clone(), same[1].1.clone()]
    });
    headers.insert(LIMIT, limit);
    headers.insert(REMAINING, small_bytes::number(quota.remaining));
    headers.insert(RESET, reset);
}

#[cfg(test)]
mod tests;
