//! JSON request and response bodies.

use std::fmt;

use axum::body::Body;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde::{Serialize, Serializer};
use serde_json::value::RawValue;

/// Most headers of usual responses of the API.
pub(super) const HEADERS: usize = 12;

/// The members of a JSON object in the order sent, repeated names included, each value as its source text. So no number
/// is rounded to a float and no repeated name is dropped before the fields are validated.
#[derive(Debug)]
pub struct RawObject(pub Vec<(String, Box<RawValue>)>);

impl RawObject {
    pub fn parse(bytes: &[u8]) -> Result<Self, serde_json::Error> {
        serde_json::from_slice(bytes)
    }
}

impl<'de> Deserialize<'de> for RawObject {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Members;

        impl<'de> Visitor<'de> for Members {
            type Value = RawObject;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a JSON object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<RawObject, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(RawObject(members))
            }
        }

        deserializer.deserialize_map(Members)
    }
}

/// A value whose JSON is its text, written without a copy.
#[derive(Debug, Clone, Copy)]
pub(super) struct AsText<T>(pub T);

impl<T: fmt::Display> Serialize for AsText<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

/// The body of every success: `{"data": …}`.
#[derive(Debug, Serialize)]
pub struct DataEnvelope<T> {
    pub data: T,
}

impl<T: Serialize> DataEnvelope<T> {
    pub fn to_bytes(&self) -> Vec<u8> {
        // Room for a key or a small product, so that the buffer seldom grows.
        let mut bytes = Vec::with_capacity(512);
        serde_json::to_writer(&mut bytes, self).expect("response bodies hold strings, numbers, booleans and null only");
        bytes
    }
}

impl<T: Serialize> IntoResponse for DataEnvelope<T> {
    fn into_response(self) -> Response {
        json_response(StatusCode::OK, self.to_bytes())
    }
}

/// A response whose body is JSON text.
pub(super) fn json_response(status: StatusCode, body: impl Into<Body>) -> Response {
    let mut response = Response::new(body.into());
    *response.status_mut() = status;
    // Room for the headers that follow, so that the map is allocated once.
    *response.headers_mut() = HeaderMap::with_capacity(HEADERS);
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}
