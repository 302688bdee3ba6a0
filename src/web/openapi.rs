//! The API's own description, OpenAPI 3.1, at `/api/v1/openapi.json`.
//!
//! Made from what the program runs on: routes and codes from `api/operations.rs` and `error.rs`, limits from the domain's
//! own constants. So nothing can be published that is not enforced; that nothing is enforced unpublished, other people's
//! tools try in `scripts/test`.

use std::collections::BTreeMap;

use axum::http::StatusCode;
use serde_json::{Map, Value, json};

use super::api::operations::{COMMON_ERRORS, Operation, operations};
use super::error::ErrorCode;
use super::extract::{BODY_MAX, BODY_TIME};
use super::server::{HEAD_MAX, HEADERS_MAX};
use super::service::TARGET_MAX;
use keyhouse_domain::idempotency::IdempotencyKey;
use keyhouse_domain::pagination::Limit;
use keyhouse_domain::price::{Price, TaxRate};
use keyhouse_domain::product::{Currency, Description, Kind, ProductFields, ProductName, Sku, UnitOfMeasure};

const ID: &str = "019ab697-e800-7123-9159-e26af37bc048";
const REQUEST_ID: &str = "req_01kav9ft0028t5cy4tqkff04hm";

/// The whole document.
pub fn document() -> Value {
    let mut paths: Map<String, Value> = Map::new();
    for operation in operations() {
        let item = paths.entry(operation.path).or_insert_with(|| json!({}));
        item[operation.method.to_lowercase()] = describe(&operation);
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Keyhouse public API",
            "version": env!("CARGO_PKG_VERSION"),
            "license": { "name": "MIT", "identifier": "MIT" },
            "description": description(),
        },
        "servers": [{ "url": "/", "description": "This server" }],
        "security": [{ "token": [] }],
        "tags": [{ "name": "Products" }, { "name": "Key" }],
        "paths": paths,
        "components": {
            "securitySchemes": {
                "token": { "type": "http", "scheme": "bearer", "bearerFormat": "pk_live_… or pk_test_…",
                           "description": "An API key's token, as `keyhouse key create` shows it once." },
            },
            "schemas": schemas(),
            "headers": headers(),
        },
    })
}

/// What is true of every call, with the numbers that the program runs on.
fn description() -> String {
    format!(
        "A team's product catalog behind its API keys. Every call carries `Authorization: Bearer <token>`. A live key sees \
         the live catalog, a test key the test catalog, and neither ever sees the other's. Success bodies are \
         `{{\"data\": …}}`, errors `{{\"error\": {{type, code, message, request_id}}}}`. The guide is at `/docs`.\n\n\
         **Limits.** A body has at most {} KiB and {} seconds to arrive (413, 400), a request target {} KiB (414), a request \
         head {} KiB and {HEADERS_MAX} lines (431, without a body). Calls of one key are limited by a sliding window: 600 in \
         60 seconds unless the server is set otherwise, as `X-RateLimit-Limit` tells; refused tokens of one network (/24, \
         /64) to 600 a minute, unless set otherwise (429).\n\n\
         **On every path.** An unknown path is 404 `route_not_found`; a method that a path does not take is 405 \
         `method_not_allowed`, with `Allow`; without a good key both are 401. Every answer is `Cache-Control: no-store`.",
        BODY_MAX / 1024,
        BODY_TIME.as_secs(),
        TARGET_MAX / 1024,
        HEAD_MAX / 1024,
    )
}

fn describe(operation: &Operation) -> Value {
    let mut parameters = Vec::new();
    if operation.path.contains("{id}") {
        parameters.push(json!({ "name": "id", "in": "path", "required": true,
            "description": "The product's id. Anything else, malformed or somebody else's, is `product_not_found`.",
            "schema": { "type": "string", "minLength": 1 }, "example": ID }));
    }
    parameters.extend(operation.query.iter().map(|name| query_parameter(name)));
    if operation.repeatable {
        parameters.push(json!({ "name": "Idempotency-Key", "in": "header", "required": false,
            "description": "A value of your choice for this one call, such as an order's number. Sent again within 24 hours, with the same key, method, path \
                and body, it is not done again: the first answer comes back, with `Idempotent-Replayed: true`.",
            "schema": { "type": "string", "minLength": 1, "maxLength": IdempotencyKey::MAX, "pattern": "^[!-~]+$" } }));
    }
    let mut described = json!({
        "operationId": operation.id,
        "tags": [if operation.path.contains("products") { "Products" } else { "Key" }],
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

fn query_parameter(name: &str) -> Value {
    let (description, schema) = match name {
        "status" => {
            ("Which products.", json!({ "type": "string", "enum": ["active", "archived", "all"], "default": "active" }))
        }
        "limit" => (
            "How many at most.",
            json!({ "type": "integer", "minimum": 1, "maximum": Limit::MAX, "default": Limit::DEFAULT }),
        ),
        _ => (
            "The `nextCursor` of the page before. One that is not from this team and mode is `invalid_cursor`.",
            json!({ "type": "string", "format": "uuid" }),
        ),
    };
    json!({ "name": name, "in": "query", "required": false, "description": description, "schema": schema })
}

fn responses(operation: &Operation) -> Value {
    let (status, schema) = operation.answer;
    let mut headers = vec!["X-Request-Id", "X-RateLimit-Limit", "X-RateLimit-Remaining", "X-RateLimit-Reset"];
    if status == 201 {
        headers.push("Location");
    }
    if operation.repeatable {
        headers.push("Idempotent-Replayed");
    }
    let mut all = json!({ status.to_string(): {
        "description": if status == 201 { "Created" } else { "Done" },
        "headers": named(&headers),
        "content": { "application/json": { "schema": reference(schema) } },
    } });
    let mut by_status: BTreeMap<u16, Vec<ErrorCode>> = BTreeMap::new();
    for &code in COMMON_ERRORS.iter().chain(operation.errors) {
        by_status.entry(code.status()).or_default().push(code);
    }
    for (status, codes) in by_status {
        all[status.to_string()] = error_response(status, &codes);
    }
    all
}

fn error_response(status: u16, codes: &[ErrorCode]) -> Value {
    let mut headers = vec!["X-Request-Id"];
    match status {
        401 => headers.push("WWW-Authenticate"),
        403 => headers.extend(["WWW-Authenticate", "X-RateLimit-Limit", "X-RateLimit-Remaining", "X-RateLimit-Reset"]),
        415 => headers.extend([
            "Accept",
            "Accept-Encoding",
            "X-RateLimit-Limit",
            "X-RateLimit-Remaining",
            "X-RateLimit-Reset",
        ]),
        414 => {}
        503 => headers.extend(["Retry-After", "X-RateLimit-Limit", "X-RateLimit-Remaining", "X-RateLimit-Reset"]),
        _ => headers.extend(["X-RateLimit-Limit", "X-RateLimit-Remaining", "X-RateLimit-Reset"]),
    }
    if status == 429 || codes.contains(&ErrorCode::IdempotencyKeyInUse) {
        headers.push("Retry-After");
    }
    let reason = StatusCode::from_u16(status).ok().and_then(|status| status.canonical_reason()).unwrap_or_default();
    let lines: Vec<_> = codes.iter().map(|code| format!("- `{}`: {}", code.code(), code.message())).collect();
    let examples: Map<String, Value> =
        codes.iter().map(|code| (code.code().to_owned(), json!({ "value": example(*code) }))).collect();
    json!({
        "description": format!("{reason}\n\n{}", lines.join("\n")),
        "headers": named(&headers),
        "content": { "application/json": {
            "schema": reference("Error"),
            "examples": examples,
        } },
    })
}

fn distinct<'a>(words: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
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
        error["details"] = json!([{ "field": "unitPrice", "message": "must have at most 4 decimal places" }]);
    }
    json!({ "error": error })
}

fn reference(schema: &str) -> Value {
    json!({ "$ref": format!("#/components/schemas/{schema}") })
}

fn named(headers: &[&str]) -> Value {
    headers
        .iter()
        .map(|name| ((*name).to_owned(), json!({ "$ref": format!("#/components/headers/{name}") })))
        .collect::<Map<_, _>>()
        .into()
}

fn headers() -> Value {
    let header = |description: &str, schema: Value| json!({ "description": description, "schema": schema });
    let whole = || json!({ "type": "integer", "minimum": 0 });
    json!({
        "X-Request-Id": header("The request's id, as in every error and in our log.", json!({ "type": "string", "pattern": "^req_[0-9a-hjkmnp-tv-z]{26}$" })),
        "X-RateLimit-Limit": header("Calls per window. Absent where there is no limit.", whole()),
        "X-RateLimit-Remaining": header("Calls left after this one.", whole()),
        "X-RateLimit-Reset": header("Unix seconds at which the current window ends.", whole()),
        "Retry-After": header("Whole seconds to wait.", json!({ "type": "integer", "minimum": 1 })),
        "WWW-Authenticate": header("The challenge of RFC 6750.", json!({ "type": "string" })),
        "Location": header("The new product's path.", json!({ "type": "string" })),
        "Idempotent-Replayed": header("`true` where an earlier answer is said again; absent otherwise.", json!({ "type": "string", "enum": ["true"] })),
        "Allow": header("The methods that the path takes, on 405.", json!({ "type": "string" })),
        "Accept": header("What a body must be.", json!({ "type": "string" })),
        "Accept-Encoding": header("`identity`, where a body came compressed.", json!({ "type": "string" })),
    })
}

fn schemas() -> Value {
    json!({
        "Product": object(&FIELDS_OF_ANSWERS, answered, &FIELDS_OF_ANSWERS),
        "NewProduct": object(&GIVEN, |field| given(field, true), &["name", "unitPrice", "currency"]),
        "ProductChange": object(&GIVEN, |field| given(field, false), &[]),
        "ProductAnswer": wrapped(reference("Product")),
        "ProductList": wrapped(json!({
            "type": "object", "additionalProperties": false, "required": ["data", "hasMore", "nextCursor"],
            "properties": {
                "data": { "type": "array", "maxItems": Limit::MAX, "items": reference("Product") },
                "hasMore": { "type": "boolean" },
                "nextCursor": { "type": ["string", "null"], "format": "uuid", "description": "For `after`; null on the last page." },
            },
        })),
        "KeyAnswer": wrapped(json!({
            "type": "object", "additionalProperties": false, "required": ["id", "prefix", "mode", "scope", "createdAt"],
            "properties": {
                "id": { "type": "string", "pattern": "^key_[0-9a-hjkmnp-tv-z]{26}$" },
                "prefix": { "type": "string", "description": "The token's first characters, as `keyhouse key list` shows them." },
                "mode": { "type": "string", "enum": ["live", "test"] },
                "scope": { "type": "string", "enum": ["read_write", "read_only"] },
                "createdAt": { "type": "string", "format": "date-time" },
            },
        })),
        "Currency": {
            "type": "string", "enum": Currency::all().iter().map(|c| c.code()).collect::<Vec<_>>(), "examples": ["EUR"],
            "description": "ISO 4217. Lower case is taken too; answers hold capitals.",
        },
        "Error": {
            "type": "object", "additionalProperties": false, "required": ["error"],
            "properties": { "error": {
                "type": "object", "additionalProperties": false, "required": ["type", "code", "message", "request_id"],
                "properties": {
                    "type": { "type": "string", "enum": distinct(ErrorCode::ALL.iter().map(|code| code.error_type())) },
                    "code": { "type": "string", "enum": distinct(ErrorCode::ALL.iter().map(|code| code.code())) },
                    "message": { "type": "string", "description": "For people; may change." },
                    "request_id": { "type": "string" },
                    "details": { "type": "array", "items": {
                        "type": "object", "additionalProperties": false, "required": ["field", "message"],
                        "properties": { "field": { "type": "string" }, "message": { "type": "string" } },
                    } },
                },
            } },
        },
    })
}

fn wrapped(data: Value) -> Value {
    json!({ "type": "object", "additionalProperties": false, "required": ["data"], "properties": { "data": data } })
}

fn object(fields: &[&str], schema: impl Fn(&str) -> Value, required: &[&str]) -> Value {
    let properties: Map<String, Value> = fields.iter().map(|field| ((*field).to_owned(), schema(field))).collect();
    let mut object = json!({ "type": "object", "additionalProperties": false, "properties": properties });
    if !required.is_empty() {
        object["required"] = json!(required);
    }
    object
}

const GIVEN: [&str; 8] = ["name", "unitPrice", "currency", "description", "sku", "taxRate", "type", "unitOfMeasure"];
const FIELDS_OF_ANSWERS: [&str; 12] = [
    "id",
    "name",
    "unitPrice",
    "currency",
    "description",
    "sku",
    "taxRate",
    "type",
    "unitOfMeasure",
    "status",
    "createdAt",
    "updatedAt",
];

/// A field as a caller may give it; on creation some have a default.
fn given(field: &str, creation: bool) -> Value {
    let text =
        |min: usize, max: usize| json!({ "type": "string", "minLength": min, "maxLength": max, "pattern": NO_NUL });
    let nullable = |mut schema: Value| {
        schema["type"] = json!([schema["type"], "null"]);
        schema
    };
    let decimal = |max: &str| -> Value {
        let max: Value = max.parse::<f64>().map_or(Value::Null, Value::from);
        json!({ "type": "number", "minimum": 0, "maximum": max, DECIMAL_PLACES: 4 })
    };
    let or_default = |mut schema: Value, default: &str| {
        if creation {
            schema["default"] = default.into();
        }
        schema
    };
    let (mut schema, example, description) = match field {
        "name" => (text(ProductName::MIN, ProductName::MAX), json!("Cup anemometer"), ""),
        "unitPrice" => {
            (decimal(Price::MAX), json!(249.5), "Exact: at most 4 decimal places, more are refused, not rounded.")
        }
        // Shared, so that a generated client has one type for it.
        "currency" => return reference("Currency"),
        "description" => (nullable(text(Description::MIN, Description::MAX)), json!("Three-cup rotor"), ""),
        "sku" => (
            nullable(text(Sku::MIN, Sku::MAX)),
            json!("ANE-100"),
            "Unique within team and mode, archived products included, in exact case.",
        ),
        "taxRate" => (nullable(decimal(TaxRate::MAX)), json!(19), "Percent; at most 4 decimal places."),
        "type" => {
            (or_default(text(Kind::MIN, Kind::MAX), ProductFields::DEFAULT_KIND), json!("GOODS"), "In your own words.")
        }
        _ => {
            (or_default(text(UnitOfMeasure::MIN, UnitOfMeasure::MAX), ProductFields::DEFAULT_UNIT), json!("piece"), "")
        }
    };
    schema["examples"] = json!([example]);
    if !description.is_empty() {
        schema["description"] = description.into();
    }
    schema
}

/// How many decimal places a number may have. Not `multipleOf`: a validator that counts in floats would refuse 4.85.
const DECIMAL_PLACES: &str = "x-max-decimal-places";

/// Any characters but NUL, which not every database can store.
const NO_NUL: &str = r"^[^\u0000]*$";

/// A field as answers hold it.
fn answered(field: &str) -> Value {
    match field {
        "id" => json!({ "type": "string", "format": "uuid", "examples": [ID] }),
        "status" => json!({ "type": "string", "enum": ["active", "archived"] }),
        "createdAt" | "updatedAt" => {
            json!({ "type": "string", "format": "date-time", "examples": ["2025-11-24T16:00:00.000Z"] })
        }
        field => given(field, false),
    }
}
