//! The list of operations of the public API. The router, the OpenAPI document and the reference are made from it.

use axum::routing::{MethodRouter, delete, get, patch, post};
use keyhouse_domain::pagination::Limit;
use keyhouse_domain::product::StatusFilter;

use super::super::AppState;
use super::super::error::ErrorCode::{self, *};
use super::{key, products};

/// One method of one path: its handler and what its clients need to know.
#[derive(Debug)]
pub struct Operation {
    pub method: &'static str,
    /// The whole path, as axum's router and OpenAPI write it.
    pub path: &'static str,
    pub handler: MethodRouter<AppState>,
    /// `operationId`, from which generated clients make a function's name.
    pub id: &'static str,
    pub tag: Tag,
    pub summary: &'static str,
    pub description: &'static str,
    pub query: &'static [QueryParameter],
    /// The schema of the request's body.
    pub body: Option<&'static str>,
    /// Whether it takes an `Idempotency-Key`.
    pub is_idempotent: bool,
    /// Status and schema of its success.
    pub success: (u16, &'static str),
    /// Its errors, beyond [`COMMON_ERRORS`].
    pub errors: &'static [ErrorCode],
}

impl Operation {
    /// What a successful response holds.
    pub(crate) fn answer(&self) -> &'static str {
        match self.success.1 {
            "ProductList" => "A page of products",
            "KeyAnswer" => "The key",
            _ => "The product",
        }
    }
}

impl Operation {
    /// Whether its success is one product, which has an `ETag`.
    pub fn answers_with_product(&self) -> bool {
        self.success.1 == "ProductAnswer"
    }
}

/// A group of operations.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tag {
    Products,
    Key,
}

impl Tag {
    pub const ALL: [Self; 2] = [Self::Products, Self::Key];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Products => "Products",
            Self::Key => "Key",
        }
    }

    pub const fn description(self) -> &'static str {
        match self {
            Self::Products => "The product catalog of the key's team, in the key's mode.",
            Self::Key => "The API key that a request is made with.",
        }
    }
}

/// A parameter of a query string.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum QueryParameter {
    Status,
    Limit,
    After,
}

impl QueryParameter {
    pub const ALL: [Self; 3] = [Self::Status, Self::Limit, Self::After];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Status => "status",
            Self::Limit => "limit",
            Self::After => "after",
        }
    }

    /// What its value must be, to complete "must be …".
    pub(super) fn expected(self) -> String {
        match self {
            Self::Status => {
                let [most @ .., last] = StatusFilter::ALL.map(StatusFilter::as_str);
                format!("{} or {last}", most.join(", "))
            }
            Self::Limit => format!("a number from 1 to {}", Limit::MAX),
            Self::After => "the `nextCursor` of a page".to_owned(),
        }
    }
}

/// The errors of every operation.
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
    PreconditionFailed,
    SkuAlreadyExists,
];

const RESTORE_ERRORS: &[ErrorCode] = &[
    ScopeInsufficient,
    PayloadTooLarge,
    InvalidIdempotencyKey,
    IdempotencyKeyInUse,
    IdempotencyKeyReused,
    ProductNotFound,
    PreconditionFailed,
];

pub fn operations() -> Vec<Operation> {
    vec![
        Operation {
            method: "GET",
            path: "/api/v1/products",
            handler: get(products::index),
            id: "listProducts",
            tag: Tag::Products,
            summary: "List products",
            description: "The products of the key's team in the key's mode, newest first. Paging never repeats or \
                          skips a product, even while others are created. Unknown parameters are ignored; sending a \
                          parameter twice is an error.",
            query: &QueryParameter::ALL,
            body: None,
            is_idempotent: false,
            success: (200, "ProductList"),
            errors: &[InvalidParameter, InvalidCursor],
        },
        Operation {
            method: "POST",
            path: "/api/v1/products",
            handler: post(products::create),
            id: "createProduct",
            tag: Tag::Products,
            summary: "Create a product",
            description: "Needs a Read & Write key. `details` lists every invalid field at once.",
            query: &[],
            body: Some("ProductCreation"),
            is_idempotent: true,
            success: (201, "ProductAnswer"),
            errors: CREATE_ERRORS,
        },
        Operation {
            method: "GET",
            path: "/api/v1/products/{id}",
            handler: get(products::show),
            id: "getProduct",
            tag: Tag::Products,
            summary: "Get a product",
            description: "Archived products can be read too. A product of another team or mode returns 404 `product_not_found`, as if it did not exist.",
            query: &[],
            body: None,
            is_idempotent: false,
            success: (200, "ProductAnswer"),
            errors: &[ProductNotFound, PreconditionFailed],
        },
        Operation {
            method: "PATCH",
            path: "/api/v1/products/{id}",
            handler: patch(products::update),
            id: "updateProduct",
            tag: Tag::Products,
            summary: "Change a product",
            description: "Only the given fields change; nullable ones may be set to null. A request that changes no value, \
                          such as `{}`, leaves `updatedAt` as it is. Archived products can be changed. Needs a Read & \
                          Write key.",
            query: &[],
            body: Some("ProductChange"),
            is_idempotent: true,
            success: (200, "ProductAnswer"),
            errors: UPDATE_ERRORS,
        },
        Operation {
            method: "DELETE",
            path: "/api/v1/products/{id}",
            handler: delete(products::destroy),
            id: "archiveProduct",
            tag: Tag::Products,
            summary: "Archive a product",
            description: "The product leaves the list of active products and keeps its SKU. Archiving it again gives the \
                          same response. Needs a Read & Write key.",
            query: &[],
            body: None,
            is_idempotent: false,
            success: (200, "ProductAnswer"),
            errors: &[ScopeInsufficient, ProductNotFound, PreconditionFailed],
        },
        Operation {
            method: "POST",
            path: "/api/v1/products/{id}/restore",
            handler: post(products::restore),
            id: "restoreProduct",
            tag: Tag::Products,
            summary: "Restore a product",
            description: "Makes an archived product active. Restoring it again gives the same response. Takes no body. Needs a \
                          Read & Write key.",
            query: &[],
            body: None,
            is_idempotent: true,
            success: (200, "ProductAnswer"),
            errors: RESTORE_ERRORS,
        },
        Operation {
            method: "GET",
            path: "/api/v1/key",
            handler: get(key::show),
            id: "getKey",
            tag: Tag::Key,
            summary: "Get the key",
            description: "Describes the key that the request is made with. Its name is private and not part of the \
                          response.",
            query: &[],
            body: None,
            is_idempotent: false,
            success: (200, "KeyAnswer"),
            errors: &[],
        },
    ]
}
