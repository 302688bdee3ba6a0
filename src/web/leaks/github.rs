//! GitHub's secret scanning partner program: GitHub reports tokens that it finds in public, signed, and gets feedback.

use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use data_encoding::{BASE64, HEXLOWER};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use super::{partner_body, unreadable};
use crate::app::leaks::{LeakChannel, LeakPlace, LeakReport};
use crate::web::AppState;
use crate::web::context::RequestContext;
use crate::web::error::{ApiError, ErrorCode};
use crate::web::json::json_response;
use keyhouse_token::RawToken;

const KEY_HEADER: &str = "github-public-key-identifier";
const SIGNATURE_HEADER: &str = "github-public-key-signature";

/// A token that GitHub has found. Members that GitHub may add are ignored.
#[derive(Deserialize)]
struct Match {
    token: Zeroizing<String>,
    #[serde(default)]
    r#type: String,
    #[serde(default)]
    url: String,
}

/// Whether a match was a key here. GitHub improves its detection with it.
#[derive(Serialize)]
struct Feedback<'a> {
    token_hash: String,
    token_type: &'a str,
    label: &'static str,
}

/// `POST /leaks/github`
pub(in crate::web) async fn receive(
    State(state): State<AppState>,
    context: RequestContext,
    request: Request,
) -> Result<Response, ApiError> {
    let keys = state.leaks.github.clone().ok_or_else(|| ApiError::new(ErrorCode::RouteNotFound))?;
    let (key, signature) = claims(request.headers()).ok_or_else(|| refuse(&state, &context, "a header is missing"))?;
    let now = state.app.clock().monotonic();
    let Some(key) = keys.find(&key, now).await? else {
        return Err(refuse(&state, &context, "GitHub has no such key"));
    };
    // The signature is over the bytes as they were sent, so nothing is parsed before it was checked.
    let body = partner_body(request).await?;
    if !key.verifies(&body, &signature) {
        return Err(refuse(&state, &context, "the signature does not match"));
    }
    let digest = Sha256::digest(&body[..]);
    if state.app.has_leak_delivery(&digest).await? {
        let error = ApiError::new(ErrorCode::BadRequest).with_message("This report has already been processed");
        return Err(error.with_source("a repeated delivery"));
    }
    let matches: Vec<Match> = serde_json::from_slice(&body).map_err(unreadable)?;
    let brand = state.app.brand();
    let mut report = LeakReport::default();
    let hashes: Vec<_> = matches
        .iter()
        .map(|found| {
            let token = RawToken::parse(found.token.as_bytes(), brand).ok()?;
            Some(report.add(token, LeakPlace::parse(&found.url, brand)))
        })
        .collect();
    let from = context.client_ip().to_string();
    let known = state.app.report_leaks(&report, state.leaks.action, LeakChannel::GitHub, &from).await?;
    state.app.remember_leak_delivery(&digest).await?;
    let feedback: Vec<_> = matches
        .iter()
        .zip(hashes)
        .map(|(found, hash)| Feedback {
            token_hash: HEXLOWER.encode(&Sha256::digest(found.token.as_bytes())),
            token_type: &found.r#type,
            label: if hash.is_some_and(|hash| known.contains_key(&hash)) { "true_positive" } else { "false_positive" },
        })
        .collect();
    let body = serde_json::to_vec(&feedback).expect("strings always serialize");
    Ok(json_response(StatusCode::OK, body))
}

/// The key's id and the signature; `None` if one of the two headers is missing, repeated or unreadable.
fn claims(headers: &HeaderMap) -> Option<(String, Vec<u8>)> {
    let only = |name| {
        let mut values = headers.get_all(name).iter();
        let (Some(value), None) = (values.next(), values.next()) else { return None };
        value.to_str().ok()
    };
    Some((only(KEY_HEADER)?.to_owned(), BASE64.decode(only(SIGNATURE_HEADER)?.as_bytes()).ok()?))
}

/// 400 for a request that GitHub did not sign; 429 if its network has sent many of them.
fn refuse(state: &AppState, context: &RequestContext, why: &'static str) -> ApiError {
    match state.app.count_bad_token(context.client_ip()) {
        Some(wait) => ApiError::too_many(wait),
        None => {
            let error = ApiError::new(ErrorCode::BadRequest);
            error.with_message("The request is not signed by GitHub").with_source(why)
        }
    }
}
