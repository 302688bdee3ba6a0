//! `/healthz`: the process runs. `/readyz`: it should get traffic. Neither says more than that.

use axum::extract::State;
use axum::http::StatusCode;

use super::AppState;
use crate::app::NotReady;
use keyhouse_store::POLL_TIMEOUT;

/// The text below names it.
const _: () = assert!(POLL_TIMEOUT.as_millis() == 900);

/// The path of [`alive`].
pub(super) const ALIVE: &str = "/healthz";

pub(super) fn alive() -> &'static str {
    "alive\n"
}

/// 503 while the process stops, while the database does not respond, and without a valid lease on the key cache.
pub(super) async fn ready(State(state): State<AppState>) -> (StatusCode, &'static str) {
    if state.stopping.has_begun() {
        return (StatusCode::SERVICE_UNAVAILABLE, "stopping\n");
    }
    let Err(error) = state.app.ready().await else { return (StatusCode::OK, "ready\n") };
    // At debug only: balancers ask several times a second, and the change feed's task has logged a warning.
    tracing::debug!(%error, "not ready");
    let why = match error {
        NotReady::Store(_) => "the database does not respond\n",
        NotReady::NoLease => "no valid key-cache lease: the database must respond to a change poll within 900 ms\n",
    };
    (StatusCode::SERVICE_UNAVAILABLE, why)
}
