//! `/api/v1/products`: the catalog of the key's team, in the key's mode.

use axum::extract::State;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::Response;
use serde::Serialize;
use serde_json::value::RawValue;

use super::super::AppState;
use super::super::error::{ApiError, ErrorCode};
use super::super::extract::{Caller, IdempotencyKeyHeader, JsonBody, PathId, Query, RawBody, Reads, Writes};
use super::super::json::{Data, answer};
use super::fields;
use crate::app::products::{ListProductsError, Write, WriteProductError};
use keyhouse_domain::auth::AuthError;
use keyhouse_domain::idempotency::StoredResponse;
use keyhouse_domain::pagination::{Cursor, Limit, Page};
use keyhouse_domain::product::{Description, Product, Sku, Status, StatusFilter};

/// The twelve fields of a product, in the order of the documentation.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ProductBody {
    id: String,
    name: String,
    unit_price: Box<RawValue>,
    currency: &'static str,
    description: Option<String>,
    sku: Option<String>,
    tax_rate: Option<Box<RawValue>>,
    r#type: String,
    unit_of_measure: String,
    status: &'static str,
    created_at: String,
    updated_at: String,
}

impl From<&Product> for ProductBody {
    fn from(product: &Product) -> Self {
        let fields = &product.fields;
        Self {
            id: product.id.to_string(),
            name: fields.name.as_str().to_owned(),
            unit_price: number(fields.unit_price),
            currency: fields.currency.code(),
            description: fields.description.as_ref().map(Description::as_str).map(str::to_owned),
            sku: fields.sku.as_ref().map(Sku::as_str).map(str::to_owned),
            tax_rate: fields.tax_rate.map(number),
            r#type: fields.kind.as_str().to_owned(),
            unit_of_measure: fields.unit_of_measure.as_str().to_owned(),
            status: product.status.as_str(),
            created_at: product.created_at.to_string(),
            updated_at: product.updated_at.to_string(),
        }
    }
}

/// A decimal as a JSON number of exactly its own digits.
fn number(decimal: impl ToString) -> Box<RawValue> {
    RawValue::from_string(decimal.to_string()).expect("a decimal is a JSON number")
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PageBody {
    data: Vec<ProductBody>,
    has_more: bool,
    next_cursor: Option<String>,
}

impl From<Page<Product>> for PageBody {
    fn from(page: Page<Product>) -> Self {
        let last = page.items.last().filter(|_| page.has_more);
        Self {
            next_cursor: last.map(|product| product.id.to_string()),
            has_more: page.has_more,
            data: page.items.iter().map(ProductBody::from).collect(),
        }
    }
}

pub async fn list(
    State(state): State<AppState>,
    caller: Caller<Reads>,
    query: Query,
) -> Result<Data<PageBody>, ApiError> {
    let filter = query.parse("status", "active, archived or all", StatusFilter::parse)?;
    let limit = query.parse("limit", "a number from 1 to 100", Limit::parse)?;
    let bad_cursor = || ApiError::new(ErrorCode::InvalidCursor);
    let after = query.get("after")?.map(|text| Cursor::parse(text).ok_or_else(bad_cursor)).transpose()?;
    let page = state.app.list_products(caller.tenant(), filter, after, limit).await.map_err(|error| match error {
        ListProductsError::Cursor => bad_cursor(),
        ListProductsError::Store(error) => error.into(),
    })?;
    Ok(Data { data: page.into() })
}

pub async fn get(
    State(state): State<AppState>,
    caller: Caller<Reads>,
    id: PathId,
) -> Result<Data<ProductBody>, ApiError> {
    let product = state.app.product(caller.tenant(), id.product()?).await?.ok_or_else(not_found)?;
    Ok(Data { data: ProductBody::from(&product) })
}

pub async fn create(
    State(state): State<AppState>,
    caller: Caller<Writes>,
    once: IdempotencyKeyHeader,
    body: JsonBody,
) -> Result<Response, ApiError> {
    let call = once.call(&caller, &body.bytes)?;
    let fields = fields::new_product(body.object)?;
    let say = |product: &Product| StoredResponse {
        status: StatusCode::CREATED.as_u16(),
        body: say(product),
        location: Some(format!("/api/v1/products/{}", product.id)),
    };
    let once = call.as_ref().map(|call| (call, &say as _));
    written(state.app.create_product(&caller.grant, fields, once).await, say)
}

pub async fn update(
    State(state): State<AppState>,
    caller: Caller<Writes>,
    id: PathId,
    once: IdempotencyKeyHeader,
    body: JsonBody,
) -> Result<Response, ApiError> {
    let call = once.call(&caller, &body.bytes)?;
    let patch = fields::product_patch(body.object)?;
    let once = call.as_ref().map(|call| (call, &say_changed as _));
    written(state.app.update_product(&caller.grant, id.product()?, patch, once).await, say_changed)
}

pub async fn archive(State(state): State<AppState>, caller: Caller<Writes>, id: PathId) -> Result<Response, ApiError> {
    let done = state.app.set_product_status(&caller.grant, id.product()?, Status::Archived, None).await;
    written(done, say_changed)
}

/// Takes no body. Should one come, it is not judged, but it is part of what makes two calls the same.
pub async fn restore(
    State(state): State<AppState>,
    caller: Caller<Writes>,
    id: PathId,
    once: IdempotencyKeyHeader,
    body: RawBody,
) -> Result<Response, ApiError> {
    let call = once.call(&caller, &body.0)?;
    let once = call.as_ref().map(|call| (call, &say_changed as _));
    written(state.app.set_product_status(&caller.grant, id.product()?, Status::Active, once).await, say_changed)
}

fn say(product: &Product) -> Vec<u8> {
    Data { data: ProductBody::from(product) }.to_bytes()
}

fn say_changed(product: &Product) -> StoredResponse {
    StoredResponse { status: StatusCode::OK.as_u16(), body: say(product), location: None }
}

/// The answer of a writing call: said now, or as it was said before.
fn written(
    outcome: Result<Write, WriteProductError>,
    say: impl Fn(&Product) -> StoredResponse,
) -> Result<Response, ApiError> {
    let (stored, replayed) = match outcome {
        // No outcome of a key's call: that these can be told apart is for members.
        Err(error @ (WriteProductError::VersionConflict | WriteProductError::Forbidden)) => {
            return Err(ApiError::new(ErrorCode::InternalError).with_source(error));
        }
        Ok(Write::Done(product)) => (say(&product), false),
        Ok(Write::Replayed(answer)) => (answer, true),
        Err(WriteProductError::NoSuchProduct) => return Err(not_found()),
        Err(WriteProductError::KeyRevoked) => return Err(AuthError::Revoked.into()),
        Err(WriteProductError::SkuTaken) => return Err(ApiError::new(ErrorCode::SkuAlreadyExists)),
        Err(WriteProductError::OtherBody) => return Err(ApiError::new(ErrorCode::IdempotencyKeyReused)),
        Err(WriteProductError::StillRunning) => {
            return Err(ApiError::new(ErrorCode::IdempotencyKeyInUse).with_header(header::RETRY_AFTER, "1"));
        }
        Err(WriteProductError::Store(error)) => return Err(error.into()),
    };
    let unreadable = |error: &'static str| ApiError::new(ErrorCode::InternalError).with_source(error);
    let status = StatusCode::from_u16(stored.status).map_err(|_| unreadable("a stored status that is none"))?;
    let mut response = answer(status, stored.body);
    if let Some(location) = stored.location {
        let location = HeaderValue::try_from(location).map_err(|_| unreadable("a stored location that is none"))?;
        response.headers_mut().insert(header::LOCATION, location);
    }
    if replayed {
        response.headers_mut().insert("idempotent-replayed", HeaderValue::from_static("true"));
    }
    Ok(response)
}

fn not_found() -> ApiError {
    ApiError::new(ErrorCode::ProductNotFound)
}
