//! The OpenAPI 3.1 document of the public API, served at `/api/v1/openapi.json`.
//!
//! It is generated from what the program runs on: operations from `api/operations.rs`, errors from `error.rs`, fields and
//! limits from the domain. So it promises nothing that is not enforced; `scripts/test` runs other people's tools against
//! a server to show that nothing is enforced that it does not describe.

mod headers;

use std::collections::BTreeMap;

use axum::http::StatusCode;
use keyhouse_domain::currency::Currency;
use keyhouse_domain::field::{FieldType, Presence};
use keyhouse_domain::idempotency::{self, IdempotencyKey};
use keyhouse_domain::pagination::Limit;
use keyhouse_domain::product::{FIELDS, FieldSpec, Status, StatusFilter};
use keyhouse_domain::public_url::PublicUrl;
use keyhouse_domain::scope::Scope;
use keyhouse_token::Mode;
use serde_json::{Map, Value, json};

use super::api::fields::UNKNOWN_MAX;
use super::api::operations::{COMMON_ERRORS, Operation, QueryParameter, Tag, operations};
use super::error::ErrorCode;
use super::extract::{BODY_MAX, BODY_TIMEOUT};
use super::middleware::http_check::TARGET_MAX;
use super::server::{HEAD_MAX, HEADERS_MAX};
use headers::{KEY_HEADERS, header_references};

const ID: &str = "019ab697-e800-7123-9159-e26af37bc048";
const REQUEST_ID: &str = "req_01kav9ft0028t5cy4tqkff04hm";
const ETAG: &str = "\"5d41402abc4b2a76b9719d911017c592\"";

/// The whole document. Its first server is the public URL, if there is one, so that generated clients need no other
/// configuration.
pub fn document(public_url: Option<&PublicUrl>) -> Value {
    let mut paths: Map<String, Value> = Map::new();
    for operation in operations() {
        let item = paths.entry(operation.path).or_insert_with(|| json!({}));
        item[operation.method.to_lowercase()] = describe(&operation);
    }
    let mut contact = json!({ "name": "The operators of this Keyhouse server" });
    let mut servers = vec![json!({ "url": "/", "description": "The server that this document comes from" })];
    if let Some(url) = public_url {
        contact["url"] = url.as_str().into();
        servers.insert(0, json!({ "url": url.as_str(), "description": "The public address" }));
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Keyhouse public API",
            "version": env!("CARGO_PKG_VERSION"),
            "license": { "name": "MIT", "identifier": "MIT" },
            "contact": contact,
            "description": description(),
        },
        "servers": servers,
        "security": [{ "token": [] }],
        "tags": Tag::ALL.map(|tag| json!({ "name": tag.name(), "description": tag.description() })),
        "paths": paths,
        "components": {
            "securitySchemes": {
                "token": { "type": "http", "scheme": "bearer", "bearerFormat": "pk_live_… or pk_test_…",
                           "description": "The token of an API key, which is shown once, when the key is created." },
            },
            "schemas": schemas(),
            "headers": headers::all(),
        },
    })
}

/// What is true of every operation, with the limits that the program enforces.
fn description() -> String {
    format!(
        "The product catalog of a team, accessed with the team's API keys. Every request carries `Authorization: Bearer \
         <token>`. A live key has access to the live catalog only, and a test key to the test catalog only. Success bodies are \
         `{{\"data\": …}}`, errors `{{\"error\": {{type, code, message, request_id}}}}`. The guide is at `/docs`.\n\n\
         **Compatibility.** New fields, error codes and currencies may be added to responses at any time: clients must \
         ignore fields that they do not expect and treat an unknown code by its status. Unknown fields in requests are \
         errors.\n\n\
         **Limits.** A request body can have up to {} KiB (413) and must arrive within {} seconds (400). A request target \
         can have up to {} KiB (414). A request head can have up to {} KiB and {HEADERS_MAX} lines (431, without a body). By \
         default, each key can make 600 requests per 60 seconds in a sliding window; `X-RateLimit-Limit` has the server's \
         limit. After 600 refused tokens a minute from one network (/24 or /64; configurable), further refused tokens get \
         429.\n\n\
         **On every path.** An unknown path returns 404 `route_not_found`. A method that a path does not support returns 405 \
         `method_not_allowed`, with `Allow`. Without a valid key, both return 401. Every response is `Cache-Control: no-store`.",
        BODY_MAX / 1024,
        BODY_TIMEOUT.as_secs(),
        TARGET_MAX / 1024,
        HEAD_MAX / 1024,
    )
}

fn describe(operation: &Operation) -> Value {
    let mut parameters = Vec::new();
    if operation.path.contains("{id}") {
        parameters.push(json!({ "name": "id", "in": "path", "required": true,
            "description": "The product's ID. One that is malformed, unknown, or of another team or mode returns 404 \
                `product_not_found`.",
            "schema": { "type": "string", "format": "uuid" }, "example": ID }));
    }
    parameters.extend(operation.query.iter().map(|parameter| query_parameter(*parameter)));
    if operation.answers_with_product() && operation.path.contains("{id}") {
        let (name, description) = if operation.method == "GET" {
            ("If-None-Match", "An `ETag` of the product. If it is current, the response is 304 without a body.")
        } else {
            (
                "If-Match",
                "The `ETag` of the product as you read it. If the product has changed since, nothing is written: 412 \
                          `precondition_failed`.",
            )
        };
        parameters.push(json!({ "name": name, "in": "header", "required": false, "description": description,
            "schema": { "type": "string" }, "example": ETAG }));
    }
    if operation.is_idempotent {
        parameters.push(json!({ "name": "Idempotency-Key", "in": "header", "required": false,
            "description": format!("A value of your choice for this one request, such as an order's number. If you repeat the request with this \
                value within {} hours, with the same API key, method, path and body, it is not executed again: the first \
                response is returned, with `Idempotent-Replayed: true`.", idempotency::RETENTION.as_secs() / 3600),
            "schema": { "type": "string", "minLength": 1, "maxLength": IdempotencyKey::MAX, "pattern": "^[!-~]+$" } }));
    }
    let mut described = json!({
        "operationId": operation.id,
        "tags": [operation.tag.name()],
        "summary": operation.summary,
        "description": operation.description,
        "responses": responses(operation),
    });
    if !parameters.is_empty() {
        described["parameters"] = parameters.into();
    }
    if let Some(schema) = operation.body {
        described["requestBody"] = json!({ "required": true,
            "description": format!("At most {} KiB of UTF-8, uncompressed. Unknown and repeated fields are errors.", BODY_MAX / 1024),
            "content": { "application/json": { "schema": reference(schema) } } });
    }
    described
}

fn query_parameter(parameter: QueryParameter) -> Value {
    let (description, schema) = match parameter {
        QueryParameter::Status => (
            "Which products to list.",
            json!({ "type": "string", "enum": StatusFilter::ALL.map(StatusFilter::as_str), "default": StatusFilter::default().as_str() }),
        ),
        QueryParameter::Limit => (
            "Maximum number of products per page.",
            json!({ "type": "integer", "format": "int32", "minimum": 1, "maximum": Limit::MAX, "default": Limit::DEFAULT }),
        ),
        QueryParameter::After => (
            "The `nextCursor` of the previous page. A cursor of another team or mode returns 400 `invalid_cursor`.",
            json!({ "type": "string", "format": "uuid" }),
        ),
    };
    json!({ "name": parameter.name(), "in": "query", "required": false, "description": description, "schema": schema })
}

fn responses(operation: &Operation) -> Value {
    let (status, schema) = operation.success;
    let mut headers = vec!["X-Request-Id"];
    headers.extend(KEY_HEADERS);
    if status == 201 {
        headers.push("Location");
    }
    if operation.answers_with_product() {
        headers.push("ETag");
    }
    if operation.is_idempotent {
        headers.push("Idempotent-Replayed");
    }
    let mut all = json!({ status.to_string(): {
        "description": operation.answer(),
        "headers": header_references(&headers),
        "content": { "application/json": { "schema": reference(schema) } },
    } });
    if operation.method == "GET" && operation.answers_with_product() {
        let headers = ["X-Request-Id", "ETag"].into_iter().chain(KEY_HEADERS).collect::<Vec<_>>();
        all["304"] = json!({ "description": "Not modified", "headers": header_references(&headers) });
    }
    let mut by_status: BTreeMap<u16, Vec<ErrorCode>> = BTreeMap::new();
    for &code in COMMON_ERRORS.iter().chain(operation.errors) {
        by_status.entry(code.status()).or_default().push(code);
    }
    for (status, codes) in by_status {
        all[status.to_string()] = error_response(operation.method, status, &codes);
    }
    all
}

fn error_response(method: &str, status: u16, codes: &[ErrorCode]) -> Value {
    let mut headers = vec!["X-Request-Id"];
    headers.extend(
        codes.iter().flat_map(|code| error_headers(*code)).filter(|name| method == "PATCH" || **name != "Accept-Patch"),
    );
    // These come before the key's quota is counted.
    if !codes.iter().all(|code| matches!(code, ErrorCode::InvalidToken | ErrorCode::UriTooLong)) {
        headers.extend(KEY_HEADERS);
    }
    let reason = StatusCode::from_u16(status).ok().and_then(|status| status.canonical_reason()).unwrap_or_default();
    let lines: Vec<_> = codes.iter().map(|code| format!("- `{}`: {}", code.code(), code.message())).collect();
    let examples: Map<String, Value> =
        codes.iter().map(|code| (code.code().to_owned(), json!({ "value": example(*code) }))).collect();
    json!({
        "description": format!("{reason}\n\n{}", lines.join("\n")),
        "headers": header_references(&headers),
        "content": { "application/json": {
            "schema": reference("Error"),
            "examples": examples,
        } },
    })
}

/// The headers that an error adds to those of every response.
fn error_headers(code: ErrorCode) -> &'static [&'static str] {
    match code {
        ErrorCode::InvalidToken | ErrorCode::ScopeInsufficient => &["WWW-Authenticate"],
        ErrorCode::UnsupportedMediaType => &["Accept", "Accept-Patch", "Accept-Encoding"],
        ErrorCode::IdempotencyKeyInUse | ErrorCode::RateLimitExceeded | ErrorCode::ServiceUnavailable => {
            &["Retry-After"]
        }
        // No operation has it: `description()` says that it carries `Allow`.
        ErrorCode::MethodNotAllowed => &[],
        ErrorCode::BadRequest
        | ErrorCode::InvalidJson
        | ErrorCode::ValidationFailed
        | ErrorCode::InvalidCursor
        | ErrorCode::InvalidParameter
        | ErrorCode::InvalidIdempotencyKey
        | ErrorCode::ProductNotFound
        | ErrorCode::RouteNotFound
        | ErrorCode::SkuAlreadyExists
        | ErrorCode::IdempotencyKeyReused
        | ErrorCode::PreconditionFailed
        | ErrorCode::PayloadTooLarge
        | ErrorCode::UriTooLong
        | ErrorCode::InternalError => &[],
    }
}

fn distinct(words: impl Iterator<Item = &'static str>) -> Vec<&'static str> {
    let mut found = Vec::new();
    for word in words {
        if !found.contains(&word) {
            found.push(word);
        }
    }
    found
}

fn example(code: ErrorCode) -> Value {
    let mut error =
        json!({ "type": code.error_type(), "code": code.code(), "message": code.message(), "request_id": REQUEST_ID });
    if code == ErrorCode::ValidationFailed {
        error["details"] = json!([{ "field": "name", "message": "must not be empty" }]);
    }
    json!({ "error": error })
}

fn reference(schema: &str) -> Value {
    json!({ "$ref": format!("#/components/schemas/{schema}") })
}

fn schemas() -> Value {
    let timestamp = || json!({ "type": "string", "format": "date-time", "examples": ["2025-11-24T16:00:00.000Z"] });
    let mut product = vec![("id", json!({ "type": "string", "format": "uuid", "examples": [ID] }))];
    product.extend(FIELDS.iter().map(|spec| (spec.name, response_field(spec))));
    product.push(("status", json!({ "type": "string", "enum": Status::ALL.map(Status::as_str) })));
    product.extend([("createdAt", timestamp()), ("updatedAt", timestamp())]);
    let required = FIELDS.iter().filter(|spec| spec.presence == Presence::Required).map(|spec| spec.name).collect();
    json!({
        "Product": response(product),
        "ProductCreation": request(true, required),
        "ProductChange": request(false, Vec::new()),
        "ProductAnswer": response(vec![("data", reference("Product"))]),
        "ProductList": response(vec![("data", response(vec![
            ("data", json!({ "type": "array", "maxItems": Limit::MAX, "items": reference("Product") })),
            ("hasMore", json!({ "type": "boolean" })),
            ("nextCursor", json!({ "type": ["string", "null"], "format": "uuid", "description": "For `after`; null on the last page." })),
        ]))]),
        "KeyAnswer": response(vec![("data", response(vec![
            ("id", json!({ "type": "string", "pattern": "^key_[0-9a-hjkmnp-tv-z]{26}$" })),
            ("prefix", json!({ "type": "string", "description": "The first characters of the token, as lists of keys show them." })),
            ("mode", json!({ "type": "string", "enum": [Mode::Live.as_str(), Mode::Test.as_str()] })),
            ("scope", json!({ "type": "string", "enum": [Scope::ReadWrite.as_str(), Scope::ReadOnly.as_str()] })),
            ("createdAt", timestamp()),
            ("expiresAt", json!({ "type": ["string", "null"], "format": "date-time", "description": "When the key expires; null if it does not." })),
        ]))]),
        "Currency": {
            "type": "string", "enum": currencies(), "examples": ["EUR"],
            "description": "ISO 4217. Requests may use lowercase too; responses use uppercase.",
        },
        "Error": response(vec![("error", error_schema())]),
    })
}

fn currencies() -> Vec<&'static str> {
    Currency::all().iter().map(|currency| currency.code()).collect()
}

fn error_schema() -> Value {
    let detail = response(vec![("field", json!({ "type": "string" })), ("message", json!({ "type": "string" }))]);
    let mut schema = response(vec![
        ("type", open_enum(distinct(ErrorCode::ALL.iter().map(|code| code.error_type())))),
        ("code", open_enum(distinct(ErrorCode::ALL.iter().map(|code| code.code())))),
        ("message", json!({ "type": "string", "description": "For people; may change." })),
        ("request_id", json!({ "type": "string" })),
    ]);
    schema["properties"]["details"] =
        json!({ "type": "array", "maxItems": FIELDS.len() + UNKNOWN_MAX, "items": detail });
    schema
}

/// A string with known values that may become more. Not `enum`: a client generated from that fails on the first new value.
fn open_enum(values: Vec<&str>) -> Value {
    json!({ "type": "string", "examples": [values[0]], "x-extensible-enum": values,
            "description": "One of the values of `x-extensible-enum`; new ones may be added." })
}

/// An object of a response: every property is there, and new ones may be added. `additionalProperties` is stated, although
/// true is its default, because openapi-generator's models refuse unknown properties where it is absent.
fn response(properties: Vec<(&str, Value)>) -> Value {
    let required: Vec<_> = properties.iter().map(|(name, _)| *name).collect();
    let required = json!(required);
    let properties: Map<_, _> = properties.into_iter().map(|(name, schema)| (name.to_owned(), schema)).collect();
    json!({ "type": "object", "additionalProperties": true, "required": required, "properties": properties })
}

/// The body of a creation or a change, in which an unknown property is an error.
fn request(is_creation: bool, required: Vec<&str>) -> Value {
    let properties: Map<_, _> =
        FIELDS.iter().map(|spec| (spec.name.to_owned(), request_field(spec, is_creation))).collect();
    let mut object = json!({ "type": "object", "additionalProperties": false, "properties": properties });
    if !required.is_empty() {
        object["required"] = json!(required);
    }
    object
}

/// A field as clients send it; defaults apply to creation only.
fn request_field(spec: &FieldSpec, is_creation: bool) -> Value {
    let mut schema = match spec.value_type {
        FieldType::Text { min, max } => {
            json!({ "type": "string", "minLength": min, "maxLength": max, "pattern": NO_NUL })
        }
        FieldType::Decimal { max, places } => {
            let max: Value = max.parse::<f64>().map_or(Value::Null, Value::from);
            json!({ "type": "number", "format": "double", "minimum": 0, "maximum": max, DECIMAL_PLACES: places })
        }
        // A schema of its own, so that a generated client has one type for it.
        FieldType::Currency => return reference("Currency"),
    };
    if spec.is_nullable() {
        schema["type"] = json!([schema["type"], "null"]);
    }
    if let (Presence::Default(default), true) = (spec.presence, is_creation) {
        schema["default"] = default.into();
    }
    schema["examples"] = Value::Array(serde_json::from_str(spec.example).into_iter().collect());
    schema["description"] = spec.description().into();
    schema
}

/// A field as responses have it.
fn response_field(spec: &FieldSpec) -> Value {
    match spec.value_type {
        FieldType::Currency => open_enum(currencies()),
        FieldType::Text { .. } | FieldType::Decimal { .. } => request_field(spec, false),
    }
}

/// How many decimal places a number may have. Not `multipleOf`: a validator that counts in floats would refuse 4.85.
const DECIMAL_PLACES: &str = "x-max-decimal-places";

/// Any characters but NUL, which PostgreSQL can't store. `\x00` rather than `\u0000`: the regular expressions of PCRE, RE2,
/// Java, .NET, Python and ECMA 262 share it.
const NO_NUL: &str = r"^[^\x00]*$";
