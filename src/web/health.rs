//! For whoever watches the process: is it alive, should it get traffic? Says no more than that.

use axum::extract::State;
use axum::http::StatusCode;

use super::Web;

pub async fn alive() -> &'static str {
    "alive\n"
}

/// 503 once asked to stop, and while the database does not answer.
pub async fn ready(State(web): State<Web>) -> (StatusCode, &'static str) {
    if *web.stopping.borrow() {
        return (StatusCode::SERVICE_UNAVAILABLE, "stopping\n");
    }
    match web.app.ready().await {
        Ok(()) => (StatusCode::OK, "ready\n"),
        Err(error) => {
            tracing::warn!(%error, "not ready");
            (StatusCode::SERVICE_UNAVAILABLE, "the database does not answer\n")
        }
    }
}
