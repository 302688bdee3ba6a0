//! For whoever watches the process: is it alive, should it get traffic? Says no more than that.

use axum::extract::State;
use axum::http::StatusCode;

use super::AppState;
use crate::app::NotReady;

pub(super) async fn alive() -> &'static str {
    "alive\n"
}

/// 503 once asked to stop, while the database does not answer, and without a good lease on what is known of keys.
pub(super) async fn ready(State(state): State<AppState>) -> (StatusCode, &'static str) {
    if *state.stopping.borrow() {
        return (StatusCode::SERVICE_UNAVAILABLE, "stopping\n");
    }
    let Err(error) = state.app.ready().await else { return (StatusCode::OK, "ready\n") };
    // Asked twice a second by each balancer; whoever follows the changes has warned once.
    tracing::debug!(%error, "not ready");
    let why = match error {
        NotReady::Store(_) => "the database does not answer\n",
        NotReady::NoLease => "the changes of keys can't be followed\n",
    };
    (StatusCode::SERVICE_UNAVAILABLE, why)
}
