//! `GET /api/v1/key`: describes the key of the request. The key's name is private and not part of the response.

use keyhouse_domain::api_key::ApiKey;
use serde::Serialize;

use super::super::extract::{Caller, Reads};
use super::super::json::DataEnvelope;

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct KeyBody {
    id: String,
    prefix: String,
    mode: &'static str,
    scope: &'static str,
    created_at: String,
}

impl From<&ApiKey> for KeyBody {
    fn from(key: &ApiKey) -> Self {
        Self {
            id: key.id.to_string(),
            prefix: key.prefix.as_str().to_owned(),
            mode: key.mode.as_str(),
            scope: key.scope.as_str(),
            created_at: key.created_at.to_string(),
        }
    }
}

pub async fn show(caller: Caller<Reads>) -> DataEnvelope<KeyBody> {
    DataEnvelope { data: KeyBody::from(&*caller.key) }
}
