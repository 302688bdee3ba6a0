//! The response headers in the OpenAPI document

use serde_json::{Map, Value, json};

use super::ETAG;

/// The headers of responses to an accepted key: its rate limit, and what is about to end.
pub(super) const KEY_HEADERS: [&str; 6] = [
    "X-RateLimit-Limit",
    "X-RateLimit-Remaining",
    "X-RateLimit-Reset",
    "Keyhouse-Key-Expires",
    "Keyhouse-Token-Ends",
    "Deprecation",
];

/// The named headers, as references to their descriptions.
pub(super) fn header_references(headers: &[&str]) -> Value {
    headers
        .iter()
        .map(|name| ((*name).to_owned(), json!({ "$ref": format!("#/components/headers/{name}") })))
        .collect::<Map<_, _>>()
        .into()
}

/// The headers of all responses, described.
pub(super) fn all() -> Value {
    let header = |description: &str, schema: Value| json!({ "description": description, "schema": schema });
    let integer = |minimum: u8| json!({ "type": "integer", "format": "int64", "minimum": minimum });
    let timestamp = || json!({ "type": "string", "format": "date-time" });
    json!({
        "X-Request-Id": header("The request's id, as in every error and in the server's log.", json!({ "type": "string", "pattern": "^req_[0-9a-hjkmnp-tv-z]{26}$" })),
        "X-RateLimit-Limit": header("Requests per window. Absent if there is no limit.", integer(0)),
        "X-RateLimit-Remaining": header("Requests left after this one.", integer(0)),
        "X-RateLimit-Reset": header("When the current window ends, as a Unix timestamp in seconds.", integer(0)),
        "Keyhouse-Key-Expires": header("When the key expires, in RFC 3339. Only in the 14 days before.", timestamp()),
        "Keyhouse-Token-Ends": header("When this token ends, in RFC 3339. Only on a token that a rotation replaced.", timestamp()),
        "Deprecation": header("The same time as `Keyhouse-Token-Ends`, as RFC 9745 writes it.", json!({ "type": "string", "pattern": "^@[0-9]+$" })),
        "Retry-After": header("Whole seconds to wait.", integer(1)),
        "WWW-Authenticate": header("The challenge of RFC 6750.", json!({ "type": "string" })),
        "ETag": header("Changes whenever the product does. For `If-Match` and `If-None-Match`.", json!({ "type": "string", "examples": [ETAG] })),
        "Location": header("The new product's path.", json!({ "type": "string" })),
        "Idempotent-Replayed": header("`true` if the response is that of an earlier request; absent otherwise.", json!({ "type": "string", "enum": ["true"] })),
        "Accept": header("The media type that a body must have.", json!({ "type": "string" })),
        "Accept-Patch": header("The media type that a body must have (RFC 5789).", json!({ "type": "string" })),
        "Accept-Encoding": header("`identity`, if the body was compressed.", json!({ "type": "string" })),
    })
}
