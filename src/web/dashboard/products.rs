//! The team's catalog: two worlds, Live and Test, and never a page that shows both.

use askama::Template;
use axum::extract::State;
use axum::http::StatusCode;

use super::forms::{FieldErrors, Form};
use super::layout::{self, Layout, TimeTag, address, ok};
use super::rejection::{PageResult, Rejection, see_other};
use super::session::{Authorized, AuthorizedForm, LastPathParam};
use crate::app::products::{ListProductsError, WriteProductError};
use crate::web::extract::Query;
use crate::web::{AppState, assets};
use keyhouse_domain::ids::ProductId;
use keyhouse_domain::pagination::{Cursor, Limit};
use keyhouse_domain::permission::{EditProducts, ViewTeam};
use keyhouse_domain::price::{Price, TaxRate};
use keyhouse_domain::product::{
    Currency, Description, Kind, Product, ProductFields, ProductName, Sku, Status, StatusFilter, UnitOfMeasure,
};
use keyhouse_domain::timestamp::Timestamp;
use keyhouse_token::Mode;

struct Row {
    id: String,
    name: String,
    sku: String,
    price: String,
    currency: &'static str,
    unit: String,
    archived: bool,
    updated: TimeTag,
}

#[derive(Template)]
#[template(path = "products.html")]
struct ListPage<'a> {
    frame: Layout,
    base: String,
    mode: Mode,
    status: &'static str,
    search: &'a str,
    rows: Vec<Row>,
    next: Option<String>,
    is_first: bool,
    edits: bool,
}

impl ListPage<'_> {
    fn link(&self, mode: &str, status: &str) -> String {
        place(&self.base, mode, status, self.search, "")
    }
}

/// An address of the list; what is as usual is left out.
fn place(base: &str, mode: &str, status: &str, search: &str, after: &str) -> String {
    let pairs = [("mode", mode, "live"), ("status", status, "active"), ("q", search, ""), ("after", after, "")];
    address(base, pairs.into_iter().filter(|(_, value, usual)| value != usual).map(|(name, value, _)| (name, value)))
}

/// Live, unless the address says Test.
fn mode_of(query: &Query) -> Mode {
    Mode::parse(query.get_or_empty("mode")).unwrap_or(Mode::Live)
}

pub(super) async fn list(State(state): State<AppState>, authorized: Authorized<ViewTeam>, query: Query) -> PageResult {
    let now = state.app.clock().now();
    let mode = mode_of(&query);
    let filter = StatusFilter::parse(query.get_or_empty("status")).unwrap_or_default();
    let (search, after) = (query.get_or_empty("q").trim(), Cursor::parse(query.get_or_empty("after")));
    let tenant = authorized.permit.tenant(mode);
    let limit = Limit::parse("25").unwrap_or_default();
    let page = if search.is_empty() {
        match state.app.list_products(&tenant, filter, after, limit).await {
            Ok(page) => page,
            // A cursor of another list, typed or old: the list from its beginning.
            Err(ListProductsError::Cursor) => {
                return Ok(see_other(&place(
                    &authorized.at("/products"),
                    mode.as_str(),
                    query.get_or_empty("status"),
                    "",
                    "",
                )));
            }
            Err(ListProductsError::Store(error)) => return Err(error.into()),
        }
    } else {
        state.app.search_products(&tenant, filter, search, after, limit).await?
    };
    let status = match filter {
        StatusFilter::Active => "active",
        StatusFilter::Archived => "archived",
        StatusFilter::All => "all",
    };
    let done = match query.get_or_empty("done") {
        "created" => "Product created",
        "saved" => "Saved",
        "archived" => "Product archived. It can be restored at any time",
        "restored" => "Product restored",
        _ => "",
    };
    let base = authorized.at("/products");
    let last = page.items.last().filter(|_| page.has_more);
    Ok(ok(&ListPage {
        frame: Layout::of(&authorized, "Products", "products").with_message(done),
        next: last.map(|last| place(&base, mode.as_str(), status, search, &last.id.to_string())),
        rows: page.items.iter().map(|product| row(product, now)).collect(),
        base,
        mode,
        status,
        search,
        is_first: after.is_none(),
        edits: authorized.seat.role.edits(),
    }))
}

fn row(product: &Product, now: Timestamp) -> Row {
    let fields = &product.fields;
    Row {
        id: product.id.to_string(),
        name: fields.name.as_str().to_owned(),
        sku: fields.sku.as_ref().map_or("", Sku::as_str).to_owned(),
        price: fields.unit_price.to_string(),
        currency: fields.currency.code(),
        unit: fields.unit_of_measure.as_str().to_owned(),
        archived: product.status == Status::Archived,
        updated: TimeTag::past(product.updated_at, now),
    }
}

/// A product's fields as a form holds them.
#[derive(Debug, Default)]
struct ProductForm {
    name: String,
    price: String,
    currency: String,
    description: String,
    sku: String,
    tax: String,
    kind: String,
    unit: String,
}

impl ProductForm {
    fn by(get: impl Fn(&str) -> String) -> Self {
        Self {
            name: get("name"),
            price: get("unitPrice"),
            currency: get("currency"),
            // Browsers send line ends as CRLF.
            description: get("description").replace("\r\n", "\n"),
            sku: get("sku"),
            tax: get("taxRate"),
            kind: get("type"),
            unit: get("unitOfMeasure"),
        }
    }

    fn of(form: &Form) -> Self {
        Self::by(|name| form.get(name).to_owned())
    }

    fn stored(fields: &ProductFields) -> Self {
        Self {
            name: fields.name.as_str().to_owned(),
            price: fields.unit_price.to_string(),
            currency: fields.currency.code().to_owned(),
            description: fields.description.as_ref().map_or("", Description::as_str).to_owned(),
            sku: fields.sku.as_ref().map_or("", Sku::as_str).to_owned(),
            tax: fields.tax_rate.map(|rate| rate.to_string()).unwrap_or_default(),
            kind: fields.kind.as_str().to_owned(),
            unit: fields.unit_of_measure.as_str().to_owned(),
        }
    }

    /// What is left empty is not there, or as usual.
    fn judge(&self, faults: &mut FieldErrors) -> Option<ProductFields> {
        let given = |text: &str| (!text.trim().is_empty()).then(|| text.trim().to_owned());
        let or = |text: &str, usual: &str| given(text).unwrap_or_else(|| usual.to_owned());
        let name = faults.check("name", ProductName::parse(self.name.trim().to_owned()));
        let unit_price = faults.check("unitPrice", Price::parse(self.price.trim()));
        let currency = faults.check("currency", Currency::parse(self.currency.trim()));
        let description = given(&self.description).map(|_| Description::parse(self.description.clone())).transpose();
        let description = faults.check("description", description);
        let sku = faults.check("sku", given(&self.sku).map(Sku::parse).transpose());
        let tax_rate = faults.check("taxRate", given(&self.tax).map(|text| TaxRate::parse(&text)).transpose());
        let kind = faults.check("type", Kind::parse(or(&self.kind, ProductFields::DEFAULT_KIND)));
        let unit = UnitOfMeasure::parse(or(&self.unit, ProductFields::DEFAULT_UNIT));
        let unit_of_measure = faults.check("unitOfMeasure", unit);
        Some(ProductFields {
            name: name?,
            unit_price: unit_price?,
            currency: currency?,
            description: description?,
            sku: sku?,
            tax_rate: tax_rate?,
            kind: kind?,
            unit_of_measure: unit_of_measure?,
        })
    }
}

#[derive(Template)]
#[template(path = "product.html")]
struct ProductPage {
    frame: Layout,
    base: String,
    mode: Mode,
    /// The product that is there already.
    id: Option<String>,
    archived: bool,
    /// Which state of the product the form shows.
    seen: i64,
    typed: ProductForm,
    edits: bool,
    created: Option<TimeTag>,
    updated: Option<TimeTag>,
    faults: FieldErrors,
}

impl ProductPage {
    fn new<R>(authorized: &Authorized<R>, mode: Mode, typed: ProductForm, faults: FieldErrors) -> Self {
        Self {
            frame: Layout::of(authorized, "New product", "products"),
            base: authorized.at("/products"),
            mode,
            id: None,
            archived: false,
            seen: 0,
            typed,
            edits: true,
            created: None,
            updated: None,
            faults,
        }
    }

    fn existing<R>(
        authorized: &Authorized<R>,
        mode: Mode,
        product: &Product,
        now: Timestamp,
        faults: FieldErrors,
    ) -> Self {
        Self {
            frame: Layout::of(authorized, product.fields.name.as_str(), "products"),
            id: Some(product.id.to_string()),
            archived: product.status == Status::Archived,
            seen: product.updated_at.ms(),
            typed: ProductForm::stored(&product.fields),
            edits: authorized.seat.role.edits(),
            created: Some(TimeTag::past(product.created_at, now)),
            updated: (product.updated_at != product.created_at).then(|| TimeTag::past(product.updated_at, now)),
            ..Self::new(authorized, mode, ProductForm::default(), faults)
        }
    }
}

pub(super) async fn new(authorized: Authorized<EditProducts>, query: Query) -> PageResult {
    let typed = ProductForm::by(|name| query.get_or_empty(name).to_owned());
    Ok(ok(&ProductPage::new(&authorized, mode_of(&query), typed, FieldErrors::default())))
}

pub(super) async fn create(
    State(state): State<AppState>,
    query: Query,
    AuthorizedForm { who: authorized, form }: AuthorizedForm<Authorized<EditProducts>>,
) -> PageResult {
    let mode = mode_of(&query);
    let (typed, mut faults) = (ProductForm::of(&form), FieldErrors::default());
    if let Some(fields) = typed.judge(&mut faults) {
        match state.app.create_product_as(&authorized.permit, mode, fields).await {
            Ok(_product) => return Ok(see_other(&done(&authorized, mode, "created"))),
            Err(error) => faults = failed(&state, &authorized, error).await?,
        }
    }
    Ok(layout::page(StatusCode::UNPROCESSABLE_ENTITY, &ProductPage::new(&authorized, mode, typed, faults)))
}

fn done<R>(authorized: &Authorized<R>, mode: Mode, what: &str) -> String {
    format!("{}?mode={}&done={what}", authorized.at("/products"), mode.as_str())
}

async fn failed<R>(
    state: &AppState,
    authorized: &Authorized<R>,
    error: WriteProductError,
) -> Result<FieldErrors, Rejection> {
    match error {
        WriteProductError::SkuTaken => {
            Ok(FieldErrors::one("sku", "Another product of this mode has this SKU, perhaps an archived one"))
        }
        WriteProductError::VersionConflict => Ok(FieldErrors::one(
            "product",
            "Somebody changed this product since you opened it, and nothing was saved. Save again to put what you typed in \
             place of theirs, or open the product anew to see theirs",
        )),
        WriteProductError::NoSuchProduct => Err(Rejection::not_found()),
        WriteProductError::Forbidden => Err(authorized.permission_lost(state).await),
        WriteProductError::Store(error) => Err(error.into()),
        // Of calls of the API: with a key, perhaps with an idempotency key. A form carries neither.
        WriteProductError::KeyRevoked | WriteProductError::OtherBody | WriteProductError::StillRunning => {
            Err(Rejection::not_found())
        }
    }
}

pub(super) async fn look(
    State(state): State<AppState>,
    authorized: Authorized<ViewTeam>,
    LastPathParam(id): LastPathParam<ProductId>,
    query: Query,
) -> PageResult {
    let mode = mode_of(&query);
    let product = state.app.product(&authorized.permit.tenant(mode), id).await?.ok_or_else(Rejection::not_found)?;
    let now = state.app.clock().now();
    let mut page = ProductPage::existing(&authorized, mode, &product, now, FieldErrors::default());
    // What was typed before the session ended.
    if !query.get_or_empty("name").is_empty() {
        page.typed = ProductForm::by(|name| query.get_or_empty(name).to_owned());
        page.seen = query.get_or_empty("seen").parse().unwrap_or(0);
    }
    Ok(ok(&page))
}

pub(super) async fn change(
    State(state): State<AppState>,
    LastPathParam(id): LastPathParam<ProductId>,
    query: Query,
    AuthorizedForm { who: authorized, form }: AuthorizedForm<Authorized<EditProducts>>,
) -> PageResult {
    let mode = mode_of(&query);
    let status = match form.get("do") {
        "archive" => Some((Status::Archived, "archived")),
        "restore" => Some((Status::Active, "restored")),
        _ => None,
    };
    if let Some((status, word)) = status {
        return match state.app.set_product_status_as(&authorized.permit, mode, id, status).await {
            Ok(_product) => Ok(see_other(&done(&authorized, mode, word))),
            Err(error) => failed(&state, &authorized, error).await.and(Err(Rejection::not_found())),
        };
    }
    let (typed, mut faults) = (ProductForm::of(&form), FieldErrors::default());
    let seen = Timestamp::from_ms(form.get("seen").parse().unwrap_or(0));
    if let Some(fields) = typed.judge(&mut faults) {
        match state.app.update_product_as(&authorized.permit, mode, id, seen, fields).await {
            Ok(_product) => return Ok(see_other(&done(&authorized, mode, "saved"))),
            Err(error) => faults = failed(&state, &authorized, error).await?,
        }
    }
    let product = state.app.product(&authorized.permit.tenant(mode), id).await?.ok_or_else(Rejection::not_found)?;
    let mut page = ProductPage::existing(&authorized, mode, &product, state.app.clock().now(), faults);
    page.typed = typed;
    Ok(layout::page(StatusCode::UNPROCESSABLE_ENTITY, &page))
}
