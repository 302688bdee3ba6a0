//! `/api/v1/products`: the catalog of the key's team, in the key's mode.

use axum::extract::State;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use keyhouse_domain::field::FieldValue;
use keyhouse_domain::idempotency::StoredResponse;
use keyhouse_domain::pagination::{Cursor, Limit, Page};
use keyhouse_domain::product::{FIELDS, Product, Status, StatusFilter};
use serde::Serialize;
use serde::ser::{SerializeMap, Serializer};
use serde_json::value::RawValue;

use super::super::AppState;
use super::super::error::{ApiError, ErrorCode};
use super::super::extract::{
    Caller, IdempotencyKeyHeader, JsonBody, PathId, Preconditions, Query, RawBody, Reads, Writes, entity_tag,
};
use super::super::json::{DataEnvelope, json_response};
use super::fields;
use super::operations::QueryParameter;
use crate::app::products::{ListProductsError, Write, WriteProductError};

/// A product in the order of the documentation: its id, the fields that clients write, its status and its times.
#[derive(Debug)]
pub struct ProductBody(Product);

impl Serialize for ProductBody {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self(product) = self;
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("id", &product.id.to_string())?;
        for spec in FIELDS {
            match spec.value(&product.fields) {
                FieldValue::Null => map.serialize_entry(spec.name, &())?,
                FieldValue::Text(text) => map.serialize_entry(spec.name, text)?,
                FieldValue::Number(digits) => {
                    let number = RawValue::from_string(digits).map_err(serde::ser::Error::custom)?;
                    map.serialize_entry(spec.name, &number)?;
                }
            }
        }
        map.serialize_entry("status", product.status.as_str())?;
        map.serialize_entry("createdAt", &product.created_at.to_string())?;
        map.serialize_entry("updatedAt", &product.updated_at.to_string())?;
        map.end()
    }
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
            data: page.items.into_iter().map(ProductBody).collect(),
        }
    }
}

pub async fn index(
    State(state): State<AppState>,
    caller: Caller<Reads>,
    query: Query,
) -> Result<DataEnvelope<PageBody>, ApiError> {
    let filter = parameter(&query, QueryParameter::Status, StatusFilter::parse)?;
    let limit = parameter(&query, QueryParameter::Limit, Limit::parse)?;
    let bad_cursor = || ApiError::new(ErrorCode::InvalidCursor);
    let after = query.get(QueryParameter::After.name())?;
    let after = after.map(|text| Cursor::parse(text).ok_or_else(bad_cursor)).transpose()?;
    let page =
        state.app.queries().products(caller.tenant(), filter, after, limit).await.map_err(|error| match error {
            ListProductsError::Cursor => bad_cursor(),
            ListProductsError::Store(error) => error.into(),
        })?;
    Ok(DataEnvelope { data: page.into() })
}

fn parameter<T: Default>(
    query: &Query,
    parameter: QueryParameter,
    parse: impl Fn(&str) -> Option<T>,
) -> Result<T, ApiError> {
    query.parse(parameter.name(), &parameter.expected(), parse)
}

pub async fn show(
    State(state): State<AppState>,
    caller: Caller<Reads>,
    id: PathId,
    preconditions: Preconditions,
) -> Result<Response, ApiError> {
    let product = state.app.queries().product(caller.tenant(), id.product()?).await?.ok_or_else(not_found)?;
    let body = to_body(&product);
    let tag = entity_tag(&body);
    if !preconditions.matches(&tag) {
        return Err(ApiError::new(ErrorCode::PreconditionFailed));
    }
    let response = match preconditions.is_known(&tag) {
        true => StatusCode::NOT_MODIFIED.into_response(),
        false => json_response(StatusCode::OK, body),
    };
    with_entity_tag(response, &tag)
}

pub async fn create(
    State(state): State<AppState>,
    caller: Caller<Writes>,
    idempotency_key: IdempotencyKeyHeader,
    body: JsonBody,
) -> Result<Response, ApiError> {
    let request = idempotency_key.request(&caller, None, &body.bytes)?;
    let fields = fields::new_product(body.object)?;
    let respond = |product: &Product| StoredResponse {
        status: StatusCode::CREATED.as_u16(),
        body: to_body(product),
        location: Some(format!("/api/v1/products/{}", product.id)),
    };
    let idempotency = request.as_ref().map(|request| (request, &respond as _));
    written(&caller, state.app.create_product(&caller.grant, fields, idempotency).await, respond)
}

pub async fn update(
    State(state): State<AppState>,
    caller: Caller<Writes>,
    id: PathId,
    preconditions: Preconditions,
    idempotency_key: IdempotencyKeyHeader,
    body: JsonBody,
) -> Result<Response, ApiError> {
    let request = idempotency_key.request(&caller, id.product().ok(), &body.bytes)?;
    let patch = fields::product_patch(body.object)?;
    let allow = |product: &Product| preconditions.allow_write(&entity_tag(&to_body(product)));
    let idempotency = request.as_ref().map(|request| (request, &ok as _));
    written(&caller, state.app.update_product(&caller.grant, id.product()?, patch, &allow, idempotency).await, ok)
}

pub async fn destroy(
    State(state): State<AppState>,
    caller: Caller<Writes>,
    id: PathId,
    preconditions: Preconditions,
) -> Result<Response, ApiError> {
    let allow = |product: &Product| preconditions.allow_write(&entity_tag(&to_body(product)));
    let outcome = state.app.set_product_status(&caller.grant, id.product()?, Status::Archived, &allow, None).await;
    written(&caller, outcome, ok)
}

/// Takes no body. One that comes anyway is not validated, but it is part of what makes two requests the same.
pub async fn restore(
    State(state): State<AppState>,
    caller: Caller<Writes>,
    id: PathId,
    preconditions: Preconditions,
    idempotency_key: IdempotencyKeyHeader,
    body: RawBody,
) -> Result<Response, ApiError> {
    let allow = |product: &Product| preconditions.allow_write(&entity_tag(&to_body(product)));
    let request = idempotency_key.request(&caller, id.product().ok(), &body.0)?;
    let idempotency = request.as_ref().map(|request| (request, &ok as _));
    let outcome = state.app.set_product_status(&caller.grant, id.product()?, Status::Active, &allow, idempotency).await;
    written(&caller, outcome, ok)
}

fn to_body(product: &Product) -> Vec<u8> {
    DataEnvelope { data: ProductBody(product.clone()) }.to_bytes()
}

/// 200 with the product.
fn ok(product: &Product) -> StoredResponse {
    StoredResponse { status: StatusCode::OK.as_u16(), body: to_body(product), location: None }
}

/// The response of a write: made now by `respond`, or replayed.
fn written(
    caller: &Caller<Writes>,
    outcome: Result<Write, WriteProductError>,
    respond: impl Fn(&Product) -> StoredResponse,
) -> Result<Response, ApiError> {
    let (stored, replayed) = match outcome {
        Ok(Write::Done(product)) => (respond(&product), false),
        Ok(Write::Replayed(response)) => (response, true),
        Err(error) => return Err(write_error(caller, error)),
    };
    let unreadable = |error: &'static str| ApiError::new(ErrorCode::InternalError).with_source(error);
    let status = StatusCode::from_u16(stored.status).map_err(|_| unreadable("a stored status is invalid"))?;
    let tag = entity_tag(&stored.body);
    let mut response = json_response(status, stored.body);
    if let Some(location) = stored.location {
        let location = HeaderValue::try_from(location).map_err(|_| unreadable("a stored location is invalid"))?;
        response.headers_mut().insert(header::LOCATION, location);
    }
    if replayed {
        response.headers_mut().insert("idempotent-replayed", HeaderValue::from_static("true"));
    }
    with_entity_tag(response, &tag)
}

fn with_entity_tag(mut response: Response, tag: &str) -> Result<Response, ApiError> {
    let tag = HeaderValue::try_from(tag).map_err(|error| ApiError::new(ErrorCode::InternalError).with_source(error))?;
    response.headers_mut().insert(header::ETAG, tag);
    Ok(response)
}

fn write_error(caller: &Caller<Writes>, error: WriteProductError) -> ApiError {
    match error {
        WriteProductError::NoSuchProduct => not_found(),
        WriteProductError::PreconditionFailed => ApiError::new(ErrorCode::PreconditionFailed),
        WriteProductError::Auth(error) => caller.refused_at_commit(error),
        WriteProductError::SkuTaken => ApiError::new(ErrorCode::SkuAlreadyExists),
        WriteProductError::OtherBody => ApiError::new(ErrorCode::IdempotencyKeyReused),
        WriteProductError::StillRunning => {
            ApiError::new(ErrorCode::IdempotencyKeyInUse).with_header(header::RETRY_AFTER, "1")
        }
        WriteProductError::Store(error) => error.into(),
    }
}

fn not_found() -> ApiError {
    ApiError::new(ErrorCode::ProductNotFound)
}
