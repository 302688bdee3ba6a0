//! Every call of the public API, once: the router and the description are both made from this list.

use axum::routing::{MethodRouter, delete, get, patch, post};

use super::super::AppState;
use super::super::error::ErrorCode::{self, *};
use super::{key, products};

/// A call: its route, its handler, and what its caller should know.
#[derive(Debug)]
pub struct Operation {
    pub method: &'static str,
    /// The whole path.
    pub path: &'static str,
    pub handler: MethodRouter<AppState>,
    /// Its name for generated clients.
    pub id: &'static str,
    pub summary: &'static str,
    pub description: &'static str,
    /// The query parameters it knows, by their names in the description.
    pub query: &'static [&'static str],
    /// The schema of the body it takes.
    pub body: Option<&'static str>,
    /// Whether it takes an `Idempotency-Key`.
    pub repeatable: bool,
    /// Status and schema of its success.
    pub answer: (u16, &'static str),
    /// What it refuses, beyond what every call can hear.
    pub errors: &'static [ErrorCode],
}

/// What every call can hear.
pub const COMMON_ERRORS: &[ErrorCode] =
    &[BadRequest, InvalidToken, UriTooLong, RateLimitExceeded, InternalError, ServiceUnavailable];

const CREATE_ERRORS: &[ErrorCode] = &[
    ScopeInsufficient,
    UnsupportedMediaType,
    PayloadTooLarge,
    InvalidJson,
    ValidationFailed,
    InvalidIdempotencyKey,
    IdempotencyKeyInUse,
    IdempotencyKeyReused,
    SkuAlreadyExists,
];

const UPDATE_ERRORS: &[ErrorCode] = &[
    ScopeInsufficient,
    UnsupportedMediaType,
    PayloadTooLarge,
    InvalidJson,
    ValidationFailed,
    InvalidIdempotencyKey,
    IdempotencyKeyInUse,
    IdempotencyKeyReused,
    ProductNotFound,
    SkuAlreadyExists,
];

const RESTORE_ERRORS: &[ErrorCode] = &[
    ScopeInsufficient,
    PayloadTooLarge,
    InvalidIdempotencyKey,
    IdempotencyKeyInUse,
    IdempotencyKeyReused,
    ProductNotFound,
];

pub fn operations() -> Vec<Operation> {
    vec![
        Operation {
            method: "GET",
            path: "/api/v1/products",
            handler: get(products::list),
            id: "listProducts",
            summary: "List products",
            description: "The products of the key's team in the key's mode, newest first. Pages neither repeat nor skip \
                          a product while others are made. Unknown parameters are ignored; a known one given twice is an error.",
            query: &["status", "limit", "after"],
            body: None,
            repeatable: false,
            answer: (200, "ProductList"),
            errors: &[InvalidParameter, InvalidCursor],
        },
        Operation {
            method: "POST",
            path: "/api/v1/products",
            handler: post(products::create),
            id: "createProduct",
            summary: "Create a product",
            description: "Needs a Read & Write key. Every fault of the body is told at once, in `details`.",
            query: &[],
            body: Some("NewProduct"),
            repeatable: true,
            answer: (201, "ProductAnswer"),
            errors: CREATE_ERRORS,
        },
        Operation {
            method: "GET",
            path: "/api/v1/products/{id}",
            handler: get(products::get),
            id: "getProduct",
            summary: "Get a product",
            description: "Archived products too. A product of another team or mode is as absent as one that never was.",
            query: &[],
            body: None,
            repeatable: false,
            answer: (200, "ProductAnswer"),
            errors: &[ProductNotFound],
        },
        Operation {
            method: "PATCH",
            path: "/api/v1/products/{id}",
            handler: patch(products::update),
            id: "updateProduct",
            summary: "Change a product",
            description: "Only the given fields change; `description`, `sku` and `taxRate` may be null. What leaves \
                          everything as it is, `{}` for one, leaves `updatedAt` too. Archived products can be changed. \
                          Needs a Read & Write key.",
            query: &[],
            body: Some("ProductChange"),
            repeatable: true,
            answer: (200, "ProductAnswer"),
            errors: UPDATE_ERRORS,
        },
        Operation {
            method: "DELETE",
            path: "/api/v1/products/{id}",
            handler: delete(products::archive),
            id: "archiveProduct",
            summary: "Archive a product",
            description: "It leaves the list of active products and keeps its SKU. Again: the same answer. Needs a Read \
                          & Write key.",
            query: &[],
            body: None,
            repeatable: false,
            answer: (200, "ProductAnswer"),
            errors: &[ScopeInsufficient, ProductNotFound],
        },
        Operation {
            method: "POST",
            path: "/api/v1/products/{id}/restore",
            handler: post(products::restore),
            id: "restoreProduct",
            summary: "Restore a product",
            description: "Brings an archived product back. Again: the same answer. Takes no body. Needs a Read & Write key.",
            query: &[],
            body: None,
            repeatable: true,
            answer: (200, "ProductAnswer"),
            errors: RESTORE_ERRORS,
        },
        Operation {
            method: "GET",
            path: "/api/v1/key",
            handler: get(key::get),
            id: "getKey",
            summary: "Which key is this?",
            description: "What the key of the call is and may do. Its name is private and not in the answer.",
            query: &[],
            body: None,
            repeatable: false,
            answer: (200, "KeyAnswer"),
            errors: &[],
        },
    ]
}
