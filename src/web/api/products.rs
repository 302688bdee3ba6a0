//! `/api/v1/products`: the catalog of the key's team, in the key's mode.

use axum::extract::{Path, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::Response;
use serde::Serialize;
use serde_json::value::RawValue;

use super::super::Web;
use super::super::error::{ApiError, ErrorCode};
use super::super::extract::{Caller, JsonBody, Query, Reads, Writes};
use super::super::json::{Data, answer};
use super::fields;
use crate::app::products::{CreateProductError, ListProductsError};
use crate::domain::ids::ProductId;
use crate::domain::page::{Cursor, Limit, Page};
use crate::domain::product::{Description, Product, Sku, StatusFilter};

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

pub async fn list(State(web): State<Web>, caller: Caller<Reads>, query: Query) -> Result<Data<PageBody>, ApiError> {
    let filter = query.read("status", "active, archived or all", StatusFilter::parse)?;
    let limit = query.read("limit", "a number from 1 to 100", Limit::parse)?;
    let bad_cursor = || ApiError::new(ErrorCode::InvalidCursor);
    let after = query.find("after")?.map(|text| Cursor::parse(text).ok_or_else(bad_cursor)).transpose()?;
    let page = web.app.list_products(caller.tenant(), filter, after, limit).await.map_err(|error| match error {
        ListProductsError::Cursor => bad_cursor(),
        ListProductsError::Store(error) => error.into(),
    })?;
    Ok(Data { data: page.into() })
}

pub async fn get(
    State(web): State<Web>,
    caller: Caller<Reads>,
    Path(id): Path<String>,
) -> Result<Data<ProductBody>, ApiError> {
    let product = web.app.product(caller.tenant(), parse_id(&id)?).await?.ok_or_else(not_found)?;
    Ok(Data { data: ProductBody::from(&product) })
}

pub async fn create(State(web): State<Web>, caller: Caller<Writes>, body: JsonBody) -> Result<Response, ApiError> {
    let fields = fields::new_product(body.object)?;
    let product = web.app.create_product(caller.tenant(), fields).await.map_err(|error| match error {
        CreateProductError::SkuTaken => ApiError::new(ErrorCode::SkuAlreadyExists),
        CreateProductError::Store(error) => error.into(),
    })?;
    let location = format!("/api/v1/products/{}", product.id);
    let mut response = answer(StatusCode::CREATED, Data { data: ProductBody::from(&product) }.to_bytes());
    response.headers_mut().insert(header::LOCATION, HeaderValue::try_from(location).expect("an id is ASCII"));
    Ok(response)
}

/// A malformed id is the id of no product: the same answer as for one that is absent or somebody else's.
fn parse_id(text: &str) -> Result<ProductId, ApiError> {
    text.parse().map_err(|_| not_found())
}

fn not_found() -> ApiError {
    ApiError::new(ErrorCode::ProductNotFound)
}
