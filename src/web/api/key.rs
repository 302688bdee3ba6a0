//! `GET /api/v1/key`: what is this token? Its name is private and not in the answer.

use serde::Serialize;

use super::super::extract::{Caller, Reads};
use super::super::json::Data;

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct KeyBody {
    id: String,
    prefix: String,
    mode: &'static str,
    scope: &'static str,
    created_at: String,
}

pub async fn get(caller: Caller<Reads>) -> Data<KeyBody> {
    let key = &caller.key;
    Data {
        data: KeyBody {
            id: key.id.to_string(),
            prefix: key.prefix.as_str().to_owned(),
            mode: key.mode.as_str(),
            scope: key.scope.as_str(),
            created_at: key.created_at.to_string(),
        },
    }
}
