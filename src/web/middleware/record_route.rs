//! Records the template of the matched route in the request context, for the access log and the metrics.

use axum::extract::{MatchedPath, Request};
use axum::middleware::Next;
use axum::response::Response;

use crate::web::context::RequestContext;

pub(in crate::web) async fn record_route(request: Request, next: Next) -> Response {
    record(&request);
    next.run(request).await
}

/// A router adds the matched path only after the root service has run, so a layer inside the router reads it.
pub(super) fn record(request: &Request) {
    if let (Some(context), Some(route)) =
        (request.extensions().get::<RequestContext>(), request.extensions().get::<MatchedPath>())
    {
        context.set_route(route.clone());
    }
}
