//! A product: create it, see it, change it, archive it.

use askama::Template;
use axum::extract::State;
use axum::http::StatusCode;

use super::authorize::{Authorized, AuthorizedForm, LastPathParam};
use super::forms::{FieldErrors, RawForm};
use super::layout::{Layout, TimeTag};
use super::product_form::ProductForm;
use super::products::mode_of;
use super::rejection::{PageResult, Rejection, see_other};
use super::responses;
use crate::app::products::EditProductError;
use crate::web::extract::Query;
use crate::web::{AppState, assets};
use keyhouse_domain::ids::ProductId;
use keyhouse_domain::permission::{EditProducts, Permission, ViewTeam};
use keyhouse_domain::product::{Product, Status};
use keyhouse_domain::timestamp::Timestamp;
use keyhouse_token::Mode;

#[derive(Template)]
#[template(path = "product.html")]
struct ProductPage {
    layout: Layout,
    base: String,
    mode: Mode,
    heading: String,
    /// `None` for a new product.
    id: Option<String>,
    archived: bool,
    /// `updatedAt` of the product that the form was opened with, in milliseconds.
    version: i64,
    values: ProductForm,
    can_edit: bool,
    created: Option<TimeTag>,
    updated: Option<TimeTag>,
    errors: FieldErrors,
}

impl ProductPage {
    fn new<P>(access: &Authorized<P>, mode: Mode, values: ProductForm, errors: FieldErrors) -> Self {
        Self {
            layout: Layout::of(access, "New product", "products"),
            base: access.path("/products"),
            heading: format!("New {} product", mode.as_str()),
            mode,
            id: None,
            archived: false,
            version: 0,
            values,
            can_edit: true,
            created: None,
            updated: None,
            errors,
        }
    }

    fn existing<P>(access: &Authorized<P>, mode: Mode, product: &Product, now: Timestamp) -> Self {
        Self {
            layout: Layout::of(access, product.fields.name.as_str(), "products"),
            heading: product.fields.name.as_str().to_owned(),
            id: Some(product.id.to_string()),
            archived: product.status == Status::Archived,
            version: product.updated_at.ms(),
            can_edit: access.membership.role.edits(),
            created: Some(TimeTag::past(product.created_at, now)),
            updated: (product.updated_at != product.created_at).then(|| TimeTag::past(product.updated_at, now)),
            ..Self::new(access, mode, ProductForm::of(&product.fields), FieldErrors::default())
        }
    }
}

pub(super) async fn new(access: Authorized<EditProducts>, query: Query) -> PageResult {
    let page = ProductPage::new(&access, mode_of(&query), ProductForm::default(), FieldErrors::default());
    Ok(responses::ok(&page))
}

pub(super) async fn create(
    State(state): State<AppState>,
    query: Query,
    AuthorizedForm { access, form, raw }: AuthorizedForm<Authorized<EditProducts>, ProductForm>,
) -> PageResult {
    let (mode, mut errors) = (mode_of(&query), FieldErrors::default());
    if let Some(fields) = form.validate(&mut errors) {
        match state.app.create_product_as(&access.permit, mode, fields).await {
            Ok(_product) => return Ok(see_other(&list_path(&access, mode, "created"))),
            Err(error) => errors = write_error(&state, &access, &raw, error).await?,
        }
    }
    let page = ProductPage::new(&access, mode, form, errors);
    Ok(responses::page(StatusCode::UNPROCESSABLE_ENTITY, &page))
}

fn list_path<P>(access: &Authorized<P>, mode: Mode, done: &str) -> String {
    format!("{}?mode={}&done={done}", access.path("/products"), mode.as_str())
}

/// What the form shows after a write failed; or the response in its place.
async fn write_error<P: Permission>(
    state: &AppState,
    access: &Authorized<P>,
    raw: &RawForm,
    error: EditProductError,
) -> Result<FieldErrors, Rejection> {
    match error {
        EditProductError::SkuTaken => {
            Ok(FieldErrors::one("sku", "Another product in this mode has this SKU; it may be archived"))
        }
        EditProductError::VersionConflict => Ok(FieldErrors::one(
            "product",
            "Someone else changed this product. Save again to overwrite their changes, or reload the page",
        )),
        EditProductError::NoSuchProduct => Err(Rejection::not_found()),
        EditProductError::Forbidden(_) => Err(access.permission_lost(state, raw).await),
        EditProductError::Store(error) => Err(error.into()),
    }
}

pub(super) async fn edit(
    State(state): State<AppState>,
    access: Authorized<ViewTeam>,
    LastPathParam(id): LastPathParam<ProductId>,
    query: Query,
) -> PageResult {
    let mode = mode_of(&query);
    let product =
        state.app.queries().product(&access.permit.tenant(mode), id).await?.ok_or_else(Rejection::not_found)?;
    Ok(responses::ok(&ProductPage::existing(&access, mode, &product, state.app.clock().now())))
}

pub(super) async fn update(
    State(state): State<AppState>,
    LastPathParam(id): LastPathParam<ProductId>,
    query: Query,
    AuthorizedForm { access, form, raw }: AuthorizedForm<Authorized<EditProducts>, ProductForm>,
) -> PageResult {
    let mode = mode_of(&query);
    let status = match form.action.as_str() {
        "archive" => Some((Status::Archived, "archived")),
        "restore" => Some((Status::Active, "restored")),
        _ => None,
    };
    if let Some((status, done)) = status {
        return match state.app.set_product_status_as(&access.permit, mode, id, status).await {
            Ok(_product) => Ok(see_other(&format!("{}&product={id}", list_path(&access, mode, done)))),
            Err(error) => {
                let errors = write_error(&state, &access, &raw, error).await?;
                update_page(&state, &access, (mode, id), None, errors).await
            }
        };
    }
    let mut errors = FieldErrors::default();
    let opened_at = Timestamp::from_ms(form.version.parse().unwrap_or(0));
    // A form that is shown again keeps the version that it was opened with: otherwise correcting a typing error would
    // overwrite a change that a colleague made meanwhile. Only a version conflict tells the person about that change.
    let mut version = Some(opened_at.ms());
    if let Some(fields) = form.validate(&mut errors) {
        match state.app.update_product_as(&access.permit, mode, id, opened_at, fields).await {
            Ok(_product) => return Ok(see_other(&list_path(&access, mode, "saved"))),
            Err(error) => {
                if matches!(error, EditProductError::VersionConflict) {
                    version = None;
                }
                errors = write_error(&state, &access, &raw, error).await?;
            }
        }
    }
    update_page(&state, &access, (mode, id), Some((form, version)), errors).await
}

/// The product's page after a failed change: with the typed values, and the version of the form unless the newest counts.
async fn update_page(
    state: &AppState,
    access: &Authorized<EditProducts>,
    (mode, id): (Mode, ProductId),
    typed: Option<(ProductForm, Option<i64>)>,
    errors: FieldErrors,
) -> PageResult {
    let product =
        state.app.queries().product(&access.permit.tenant(mode), id).await?.ok_or_else(Rejection::not_found)?;
    let mut page = ProductPage::existing(access, mode, &product, state.app.clock().now());
    if let Some((values, version)) = typed {
        page.values = values;
        page.version = version.unwrap_or(page.version);
    }
    page.errors = errors;
    Ok(responses::page(StatusCode::UNPROCESSABLE_ENTITY, &page))
}
