//! `/leaks/…` for programs: the public report, GitHub's partner protocol and GitLab's revocation API. The page is in
//! `dashboard/leaks.rs`.

pub(super) mod github;
mod github_keys;
pub(super) mod gitlab;

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use super::AppState;
use super::context::RequestContext;
use super::error::{ApiError, ErrorCode, ErrorDetail};
use super::extract::{is_media_type, read};
use super::json::{DataEnvelope, RawObject, json_response};
use super::shared_secret::SharedSecret;
use crate::app::leaks::{LeakAction, LeakChannel};
pub use github_keys::{GithubKeys, KeySourceError};

/// Longest body of a partner's report, in bytes: 1,000 matches with long URLs are about 500 KiB.
const PARTNER_BODY_MAX: usize = 2 << 20;

/// Settings of the leak reports: `[leaks]` in the configuration.
#[derive(Debug, Clone)]
pub struct LeakSettings {
    /// Whether tokens can be reported without an account.
    pub public_report: bool,
    /// What a report does to a key.
    pub action: LeakAction,
    /// GitHub's public keys; `None`: its protocol is off.
    pub github: Option<Arc<GithubKeys>>,
    /// The secret shared with GitLab; `None`: its protocol is off.
    pub gitlab: Option<SharedSecret>,
}

impl Default for LeakSettings {
    fn default() -> Self {
        Self { public_report: true, action: LeakAction::default(), github: None, gitlab: None }
    }
}

/// How many tokens a text has, whether they belong to keys or not.
#[derive(Debug, Serialize)]
struct Reported {
    tokens: usize,
}

/// `POST /leaks/report`: JSON with a `text`, or plain text.
pub(super) async fn report(
    State(state): State<AppState>,
    context: RequestContext,
    request: Request,
) -> Result<Response, ApiError> {
    if !state.leaks.public_report {
        return Err(ApiError::new(ErrorCode::RouteNotFound));
    }
    count_report(&state, &context)?;
    let is_json = is_media_type(request.headers(), "application/json");
    if !is_json && !is_media_type(request.headers(), "text/plain") {
        let error = ApiError::new(ErrorCode::UnsupportedMediaType);
        return Err(error.with_header(header::ACCEPT, "application/json, text/plain"));
    }
    let bytes = zeroize::Zeroizing::new(read(request.into_body()).await?);
    let tokens = if is_json {
        report_text(&state, &context, text_of(&bytes)?.as_bytes()).await?
    } else {
        report_text(&state, &context, &bytes).await?
    };
    Ok(json_response(StatusCode::ACCEPTED, DataEnvelope { data: Reported { tokens } }.to_bytes()))
}

/// Acts on the tokens in a text that came without proof of the sender; returns how many different ones there are.
pub(super) async fn report_text(state: &AppState, context: &RequestContext, text: &[u8]) -> Result<usize, ApiError> {
    let report = state.app.leak_report_of(text);
    let from = context.client_ip().to_string();
    state.app.report_leaks(&report, state.leaks.action, LeakChannel::Public, &from).await?;
    Ok(report.len())
}

/// 429 if the caller's network has sent too many reports.
pub(super) fn count_report(state: &AppState, context: &RequestContext) -> Result<(), ApiError> {
    state.app.count_leak_report(context.client_ip()).map_or(Ok(()), |wait| Err(ApiError::too_many(wait)))
}

/// The member `text` of a JSON object.
fn text_of(bytes: &[u8]) -> Result<zeroize::Zeroizing<String>, ApiError> {
    let object = RawObject::parse(bytes).map_err(|error| ApiError::new(ErrorCode::InvalidJson).with_source(error))?;
    let invalid = |field: &str, message: &str| ApiError::fields(vec![ErrorDetail::new(field, message)]);
    if let Some((name, _)) = object.0.iter().find(|(name, _)| name != "text") {
        return Err(invalid(name, "is not a field of a report"));
    }
    match object.0.as_slice() {
        [(_, text)] => serde_json::from_str(text.get())
            .map(zeroize::Zeroizing::new)
            .map_err(|_| invalid("text", "must be a string")),
        [] => Err(invalid("text", "is required")),
        _ => Err(invalid("text", "is given more than once")),
    }
}

/// The body of a partner's report.
async fn partner_body(request: Request) -> Result<zeroize::Zeroizing<Vec<u8>>, ApiError> {
    super::extract::read_up_to(request.into_body(), PARTNER_BODY_MAX).await.map(zeroize::Zeroizing::new)
}

/// 400 for a partner's report that can't be read.
fn unreadable(error: serde_json::Error) -> ApiError {
    ApiError::new(ErrorCode::InvalidJson).with_source(error)
}

/// An answer without a body.
fn no_content() -> Response {
    StatusCode::NO_CONTENT.into_response()
}
