//! GitLab's token revocation API, for self-managed GitLab instances that scan repositories for secrets.

use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::Response;
use serde::Deserialize;
use serde_json::json;
use zeroize::Zeroizing;

use super::{count_report, no_content, partner_body, unreadable};
use crate::app::leaks::{LeakChannel, LeakPlace, LeakReport};
use crate::web::AppState;
use crate::web::context::RequestContext;
use crate::web::error::{ApiError, ErrorCode};
use crate::web::extract::is_media_type;
use crate::web::json::json_response;
use keyhouse_token::find_tokens;

/// What GitLab calls the findings of `scanners/gitleaks.toml`: the kind of its identifier and the rule's id in snake case.
const TOKEN_TYPE: &str = "gitleaks_rule_id_keyhouse_api_key";

/// A finding as GitLab sends it.
#[derive(Deserialize)]
struct Finding {
    r#type: String,
    token: Zeroizing<String>,
    #[serde(default)]
    location: Option<String>,
}

/// 404 while the protocol is off, 401 without the secret.
fn authorize(state: &AppState, context: &RequestContext, headers: &HeaderMap) -> Result<(), ApiError> {
    let secret = state.leaks.gitlab.as_ref().ok_or_else(|| ApiError::new(ErrorCode::RouteNotFound))?;
    secret.authorize(state, context, headers, r#"Bearer realm="leaks""#)
}

/// `GET /leaks/gitlab/v1/revocable_token_types`
pub(in crate::web) async fn types(
    State(state): State<AppState>,
    context: RequestContext,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    authorize(&state, &context, &headers)?;
    Ok(json_response(StatusCode::OK, json!({ "types": [TOKEN_TYPE] }).to_string()))
}

/// `POST /leaks/gitlab/v1/revoke_tokens`: 204 once all tokens are processed, 400 if a type is not ours.
pub(in crate::web) async fn revoke(
    State(state): State<AppState>,
    context: RequestContext,
    request: Request,
) -> Result<Response, ApiError> {
    authorize(&state, &context, request.headers())?;
    count_report(&state, &context)?;
    if !is_media_type(request.headers(), "application/json") {
        let error = ApiError::new(ErrorCode::UnsupportedMediaType);
        return Err(error.with_header(header::ACCEPT, "application/json"));
    }
    let body = partner_body(request).await?;
    let findings: Vec<Finding> = serde_json::from_slice(&body).map_err(unreadable)?;
    if findings.iter().any(|finding| finding.r#type != TOKEN_TYPE) {
        let message = format!("Only tokens of type {TOKEN_TYPE} can be revoked here");
        return Err(ApiError::new(ErrorCode::BadRequest).with_message(message));
    }
    let brand = state.app.brand();
    let mut report = LeakReport::default();
    for finding in &findings {
        let place = finding.location.as_deref().and_then(|location| LeakPlace::parse(location, brand));
        for token in find_tokens(finding.token.as_bytes(), brand).flatten() {
            report.add(token, place.clone());
        }
    }
    let from = context.client_ip().to_string();
    state.app.report_leaks(&report, state.leaks.action, LeakChannel::GitLab, &from).await?;
    Ok(no_content())
}
