//! `GET /api/v1/key`: describes the key of the request. The key's name is private and not part of the response.

use keyhouse_domain::api_key::ApiKey;
use keyhouse_domain::ids::KeyId;
use keyhouse_domain::timestamp::Timestamp;
use serde::Serialize;

use super::super::extract::{Caller, Reads};
use super::super::json::{AsText, DataEnvelope};

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct KeyBody {
    id: AsText<KeyId>,
    prefix: String,
    mode: &'static str,
    scope: &'static str,
    created_at: AsText<Timestamp>,
    expires_at: Option<AsText<Timestamp>>,
}

impl From<&ApiKey> for KeyBody {
    fn from(key: &ApiKey) -> Self {
        Self {
            id: AsText(key.id),
            prefix: key.prefix().as_str().to_owned(),
            mode: key.mode.as_str(),
            scope: key.scope.as_str(),
            created_at: AsText(key.created_at),
            expires_at: key.conditions.expires_at.map(AsText),
        }
    }
}

pub async fn show(caller: Caller<Reads>) -> DataEnvelope<KeyBody> {
    DataEnvelope { data: KeyBody::from(&*caller.key) }
}
