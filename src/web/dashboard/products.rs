//! The team's catalog: two worlds, Live and Test, and never a page that shows both.

use askama::Template;
use axum::extract::State;
use axum::http::StatusCode;

use super::form::{Faults, Form};
use super::halt::{Answer, Halt, see_other};
use super::pages::{self, Frame, Moment, address, ok};
use super::visitor::{Holds, Posted, Rest};
use crate::app::products::{ListProductsError, WriteProductError};
use crate::domain::ids::ProductId;
use crate::domain::key::Mode;
use crate::domain::page::{Cursor, Limit};
use crate::domain::price::{Price, TaxRate};
use crate::domain::product::{
    Currency, Description, Kind, Product, ProductFields, ProductName, Sku, Status, StatusFilter, UnitOfMeasure,
};
use crate::domain::role::{EditProducts, TakePart};
use crate::domain::timestamp::Timestamp;
use crate::web::extract::Query;
use crate::web::{Web, assets};

struct Row {
    id: String,
    name: String,
    sku: String,
    price: String,
    currency: &'static str,
    unit: String,
    archived: bool,
    updated: Moment,
}

#[derive(Template)]
#[template(path = "products.html")]
struct ListPage<'a> {
    frame: Frame,
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
    Mode::parse(query.text("mode")).unwrap_or(Mode::Live)
}

pub async fn list(State(web): State<Web>, holds: Holds<TakePart>, query: Query) -> Answer {
    let now = web.app.clock().now();
    let mode = mode_of(&query);
    let filter = StatusFilter::parse(query.text("status")).unwrap_or_default();
    let (search, after) = (query.text("q").trim(), Cursor::parse(query.text("after")));
    let tenant = holds.permit.tenant(mode);
    let limit = Limit::parse("25").unwrap_or_default();
    let page = if search.is_empty() {
        match web.app.list_products(&tenant, filter, after, limit).await {
            Ok(page) => page,
            // A cursor of another list, typed or old: the list from its beginning.
            Err(ListProductsError::Cursor) => {
                return Ok(see_other(&place(&holds.at("/products"), mode.as_str(), query.text("status"), "", "")));
            }
            Err(ListProductsError::Store(error)) => return Err(error.into()),
        }
    } else {
        web.app.search_products(&tenant, filter, search, after, limit).await?
    };
    let status = match filter {
        StatusFilter::Active => "active",
        StatusFilter::Archived => "archived",
        StatusFilter::All => "all",
    };
    let done = match query.text("done") {
        "created" => "Product created",
        "saved" => "Saved",
        "archived" => "Product archived. It can be restored at any time",
        "restored" => "Product restored",
        _ => "",
    };
    let base = holds.at("/products");
    let last = page.items.last().filter(|_| page.has_more);
    Ok(ok(&ListPage {
        frame: Frame::of(&holds, "Products", "products").saying(done),
        next: last.map(|last| place(&base, mode.as_str(), status, search, &last.id.to_string())),
        rows: page.items.iter().map(|product| row(product, now)).collect(),
        base,
        mode,
        status,
        search,
        is_first: after.is_none(),
        edits: holds.seat.role.edits(),
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
        updated: Moment::past(product.updated_at, now),
    }
}

/// A product's fields as a form holds them.
#[derive(Debug, Default)]
struct Typed {
    name: String,
    price: String,
    currency: String,
    description: String,
    sku: String,
    tax: String,
    kind: String,
    unit: String,
}

impl Typed {
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
    fn judge(&self, faults: &mut Faults) -> Option<ProductFields> {
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
    frame: Frame,
    base: String,
    mode: Mode,
    /// The product that is there already.
    id: Option<String>,
    archived: bool,
    /// Which state of the product the form shows.
    seen: i64,
    typed: Typed,
    edits: bool,
    created: Option<Moment>,
    updated: Option<Moment>,
    faults: Faults,
}

impl ProductPage {
    fn new<R>(holds: &Holds<R>, mode: Mode, typed: Typed, faults: Faults) -> Self {
        Self {
            frame: Frame::of(holds, "New product", "products"),
            base: holds.at("/products"),
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

    fn existing<R>(holds: &Holds<R>, mode: Mode, product: &Product, now: Timestamp, faults: Faults) -> Self {
        Self {
            frame: Frame::of(holds, product.fields.name.as_str(), "products"),
            id: Some(product.id.to_string()),
            archived: product.status == Status::Archived,
            seen: product.updated_at.ms(),
            typed: Typed::stored(&product.fields),
            edits: holds.seat.role.edits(),
            created: Some(Moment::past(product.created_at, now)),
            updated: (product.updated_at != product.created_at).then(|| Moment::past(product.updated_at, now)),
            ..Self::new(holds, mode, Typed::default(), faults)
        }
    }
}

pub async fn new(holds: Holds<EditProducts>, query: Query) -> Answer {
    let typed = Typed::by(|name| query.text(name).to_owned());
    Ok(ok(&ProductPage::new(&holds, mode_of(&query), typed, Faults::default())))
}

pub async fn create(
    State(web): State<Web>,
    query: Query,
    Posted { who: holds, form }: Posted<Holds<EditProducts>>,
) -> Answer {
    let mode = mode_of(&query);
    let (typed, mut faults) = (Typed::of(&form), Faults::default());
    if let Some(fields) = typed.judge(&mut faults) {
        match web.app.create_product_as(&holds.permit, mode, fields).await {
            Ok(_product) => return Ok(see_other(&done(&holds, mode, "created"))),
            Err(error) => faults = failed(&web, &holds, error).await?,
        }
    }
    Ok(pages::page(StatusCode::UNPROCESSABLE_ENTITY, &ProductPage::new(&holds, mode, typed, faults)))
}

fn done<R>(holds: &Holds<R>, mode: Mode, what: &str) -> String {
    format!("{}?mode={}&done={what}", holds.at("/products"), mode.as_str())
}

async fn failed<R>(web: &Web, holds: &Holds<R>, error: WriteProductError) -> Result<Faults, Halt> {
    match error {
        WriteProductError::SkuTaken => {
            Ok(Faults::one("sku", "Another product of this mode has this SKU, perhaps an archived one"))
        }
        WriteProductError::Stale => Ok(Faults::one(
            "product",
            "Somebody changed this product since you opened it, and nothing was saved. Save again to put what you typed in \
             place of theirs, or open the product anew to see theirs",
        )),
        WriteProductError::NoSuchProduct => Err(Halt::absent()),
        WriteProductError::NotAllowed => Err(holds.lost(web).await),
        WriteProductError::Store(error) => Err(error.into()),
        // Of calls of the API: with a key, perhaps with an idempotency key. A form carries neither.
        WriteProductError::KeyRevoked | WriteProductError::OtherBody | WriteProductError::StillRunning => {
            Err(Halt::absent())
        }
    }
}

pub async fn look(State(web): State<Web>, holds: Holds<TakePart>, Rest(id): Rest<ProductId>, query: Query) -> Answer {
    let mode = mode_of(&query);
    let product = web.app.product(&holds.permit.tenant(mode), id).await?.ok_or_else(Halt::absent)?;
    let now = web.app.clock().now();
    let mut page = ProductPage::existing(&holds, mode, &product, now, Faults::default());
    // What was typed before the session ended.
    if !query.text("name").is_empty() {
        page.typed = Typed::by(|name| query.text(name).to_owned());
        page.seen = query.text("seen").parse().unwrap_or(0);
    }
    Ok(ok(&page))
}

pub async fn change(
    State(web): State<Web>,
    Rest(id): Rest<ProductId>,
    query: Query,
    Posted { who: holds, form }: Posted<Holds<EditProducts>>,
) -> Answer {
    let mode = mode_of(&query);
    let status = match form.get("do") {
        "archive" => Some((Status::Archived, "archived")),
        "restore" => Some((Status::Active, "restored")),
        _ => None,
    };
    if let Some((status, word)) = status {
        return match web.app.set_product_status_as(&holds.permit, mode, id, status).await {
            Ok(_product) => Ok(see_other(&done(&holds, mode, word))),
            Err(error) => failed(&web, &holds, error).await.and(Err(Halt::absent())),
        };
    }
    let (typed, mut faults) = (Typed::of(&form), Faults::default());
    let seen = Timestamp::from_ms(form.get("seen").parse().unwrap_or(0));
    if let Some(fields) = typed.judge(&mut faults) {
        match web.app.update_product_as(&holds.permit, mode, id, seen, fields).await {
            Ok(_product) => return Ok(see_other(&done(&holds, mode, "saved"))),
            Err(error) => faults = failed(&web, &holds, error).await?,
        }
    }
    let product = web.app.product(&holds.permit.tenant(mode), id).await?.ok_or_else(Halt::absent)?;
    let mut page = ProductPage::existing(&holds, mode, &product, web.app.clock().now(), faults);
    page.typed = typed;
    Ok(pages::page(StatusCode::UNPROCESSABLE_ENTITY, &page))
}
