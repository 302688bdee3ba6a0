//! Records the template of the matched route in the request context, for the access log and the metrics.

use axum::extract::{MatchedPath, Request};
use axum::middleware::Next;
use axum::response::Response;

use crate::web::context::RequestContext;

pub(in crate::web) async fn record_route(request: Request, next: Next) -> Response {
    // The router adds the matched path, after the root service has run: so a layer inside the router reads it.
    if let (Some(context), Some(route)) =
        (request.extensions().get::<RequestContext>(), request.extensions().get::<MatchedPath>())
    {
        context.set_route(route.clone());
    }
    next.run(request).await
}
