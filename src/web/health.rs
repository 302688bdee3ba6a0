//! For whoever watches the process: is it alive, should it get traffic? Says no more than that.

use axum::extract::State;
use axum::http::StatusCode;

use super::Web;
use crate::app::NotReady;

pub async fn alive() -> &'static str {
    "alive\n"
}

/// 503 once asked to stop, while the database does not answer, and without a good lease on what is known of keys.
pub async fn ready(State(web): State<Web>) -> (StatusCode, &'static str) {
    if *web.stopping.borrow() {
        return (StatusCode::SERVICE_UNAVAILABLE, "stopping\n");
    }
    let Err(error) = web.app.ready().await else { return (StatusCode::OK, "ready\n") };
    // Asked twice a second by each balancer; whoever follows the changes has warned once.
    tracing::debug!(%error, "not ready");
    let why = match error {
        NotReady::Store(_) => "the database does not answer\n",
        NotReady::NoLease => "the changes of keys can't be followed\n",
    };
    (StatusCode::SERVICE_UNAVAILABLE, why)
}
