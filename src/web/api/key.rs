//! `GET /api/v1/key`: describes the key of the request. The key's name is private and not part of the response.

use axum::http::StatusCode;
use axum::response::Response;
use keyhouse_domain::api_key::ApiKey;
use keyhouse_domain::ids::KeyId;
use keyhouse_domain::scope::Access;
use keyhouse_domain::timestamp::Timestamp;
use serde::Serialize;

use super::super::context::RequestContext;
use super::super::error::ApiError;
use super::super::extract::{Caller, Reads, caller_for};
use super::super::json::{AsText, DataEnvelope, json_response};
use super::super::small_bytes;

pub(in crate::web) const PATH: &str = "/api/v1/key";

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct KeyBody<'a> {
    id: AsText<KeyId>,
    prefix: &'a str,
    mode: &'static str,
    scope: &'static str,
    created_at: AsText<Timestamp>,
    expires_at: Option<AsText<Timestamp>>,
}

impl<'a> From<&'a ApiKey> for KeyBody<'a> {
    fn from(key: &'a ApiKey) -> Self {
        Self {
            id: AsText(key.id),
            prefix: key.prefix().as_str(),
            mode: key.mode.as_str(),
            scope: key.scope.as_str(),
            created_at: AsText(key.created_at),
            expires_at: key.conditions.expires_at.map(AsText),
        }
    }
}

pub async fn show(caller: Caller<Reads>) -> Response {
    describe(&caller.key)
}

/// The response to an authenticated request, without a router.
pub(in crate::web) fn respond(context: &RequestContext) -> Result<Response, ApiError> {
    caller_for(context, Access::Read).map(|(key, _)| describe(&key))
}

fn describe(key: &ApiKey) -> Response {
    json_response(StatusCode::OK, small_bytes::json(&DataEnvelope { data: KeyBody::from(key) }))
}
