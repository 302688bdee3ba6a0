//! The team's products, live or test: never both on one page.

use askama::Template;
use axum::extract::State;
use axum::http::StatusCode;

use super::authorize::Authorized;
use super::checklist::{self, Checklist};
use super::layout::{Layout, TimeTag, Undo};
use super::rejection::{PageResult, see_other};
use super::responses::{page, url};
use crate::app::products::ListProductsError;
use crate::web::extract::Query;
use crate::web::{AppState, assets};
use keyhouse_domain::ids::ProductId;
use keyhouse_domain::pagination::{Cursor, Limit, Page};
use keyhouse_domain::permission::ViewTeam;
use keyhouse_domain::product::{Product, Sku, Status, StatusFilter};
use keyhouse_domain::search::{Found, SearchTerm};
use keyhouse_domain::timestamp::Timestamp;
use keyhouse_token::Mode;

struct ProductRow {
    id: String,
    name: String,
    sku: String,
    /// What is before the decimal point, in groups of three digits, and the point with what is after it.
    price: (String, String),
    currency: &'static str,
    unit: String,
    archived: bool,
    updated: TimeTag,
}

impl ProductRow {
    fn of(product: &Product, now: Timestamp) -> Self {
        let fields = &product.fields;
        Self {
            id: product.id.to_string(),
            name: fields.name.as_str().to_owned(),
            sku: fields.sku.as_ref().map_or("", Sku::as_str).to_owned(),
            price: split_price(&fields.unit_price.to_string(), fields.currency.decimals()),
            currency: fields.currency.code(),
            unit: fields.unit_of_measure.as_str().to_owned(),
            archived: product.status == Status::Archived,
            updated: TimeTag::past(product.updated_at, now),
        }
    }
}

/// A price for a column whose decimal points are aligned: `("17,900", ".00")`.
fn split_price(price: &str, decimals: usize) -> (String, String) {
    let (whole, fraction) = price.split_once('.').unwrap_or((price, ""));
    let mut grouped = String::new();
    for (at, digit) in whole.chars().enumerate() {
        if at > 0 && (whole.len() - at).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    let fraction = format!("{fraction:0<decimals$}");
    (grouped, if fraction.is_empty() { fraction } else { format!(".{fraction}") })
}

#[derive(Template)]
#[template(path = "products.html")]
struct ProductsPage<'a> {
    layout: Layout,
    base: String,
    mode: Mode,
    status: &'static str,
    search: &'a str,
    /// What is wrong with the search term.
    problem: Option<String>,
    /// Whether the search ran out of time before the end of the list.
    is_cut_short: bool,
    rows: Vec<ProductRow>,
    next: Option<String>,
    is_first: bool,
    can_edit: bool,
    checklist: Option<Checklist>,
}

impl ProductsPage<'_> {
    fn link(&self, mode: &str, status: &str) -> String {
        page_url(&self.base, mode, status, self.search, "")
    }
}

/// A page of the list; parameters with their default values are left out.
fn page_url(base: &str, mode: &str, status: &str, search: &str, after: &str) -> String {
    let pairs = [("mode", mode, "live"), ("status", status, "active"), ("q", search, ""), ("after", after, "")];
    url(base, pairs.into_iter().filter(|(_, value, default)| value != default).map(|(name, value, _)| (name, value)))
}

/// The mode of a page: live, unless its query says test.
pub(super) fn mode_of(query: &Query) -> Mode {
    Mode::parse(query.get_or_empty("mode")).unwrap_or(Mode::Live)
}

pub(super) async fn index(State(state): State<AppState>, access: Authorized<ViewTeam>, query: Query) -> PageResult {
    let now = state.app.clock().now();
    let mode = mode_of(&query);
    let filter = StatusFilter::parse(query.get_or_empty("status")).unwrap_or_default();
    let status = filter.as_str();
    let (search, after) = (query.get_or_empty("q").trim(), Cursor::parse(query.get_or_empty("after")));
    let tenant = access.permit.tenant(mode);
    let limit = Limit::parse("25").unwrap_or_default();
    let base = access.path("/products");
    let mut problem = None;
    let found = match SearchTerm::parse(search) {
        Ok(None) => match state.app.queries().products(&tenant, filter, after, limit).await {
            Ok(page) => all_of(page),
            // A cursor that was typed, or that is too old: start from the beginning of the list.
            Err(ListProductsError::Cursor) => return Ok(see_other(&page_url(&base, mode.as_str(), status, "", ""))),
            Err(ListProductsError::Store(error)) => return Err(error.into()),
        },
        Ok(Some(term)) => {
            let person = access.membership.person.id;
            state.app.search_products(person, &tenant, filter, &term, after, limit).await?
        }
        Err(too_long) => {
            problem = Some(too_long.to_string());
            Found { items: Vec::new(), next: None, is_cut_short: false }
        }
    };
    let message = match query.get_or_empty("done") {
        "created" => "Product created",
        "saved" => "Saved",
        "archived" => "Product archived",
        "restored" => "Product restored",
        _ => "",
    };
    let undo = match (query.get_or_empty("done"), query.get_or_empty("product").parse::<ProductId>()) {
        ("archived", Ok(id)) => Some(Undo { action: format!("{base}/{id}?mode={}", mode.as_str()), verb: "restore" }),
        _ => None,
    };
    let code = if problem.is_some() { StatusCode::UNPROCESSABLE_ENTITY } else { StatusCode::OK };
    let rendered = ProductsPage {
        layout: Layout::of(&access, "Products", "products").with_message(message).with_undo(undo),
        next: found.next.map(|next| page_url(&base, mode.as_str(), status, search, &next.product().to_string())),
        is_cut_short: found.is_cut_short,
        problem,
        rows: found.items.iter().map(|product| ProductRow::of(product, now)).collect(),
        base,
        mode,
        status,
        search,
        is_first: after.is_none(),
        can_edit: access.membership.role.edits(),
        checklist: checklist::of(&state, &access).await?,
    };
    Ok(page(code, &rendered))
}

fn all_of(page: Page<Product>) -> Found<Product, Cursor> {
    let next = page.items.last().filter(|_| page.has_more).map(|last| Cursor::after(last.id));
    Found { items: page.items, next, is_cut_short: false }
}

#[cfg(test)]
mod tests {
    use super::split_price;

    #[test]
    fn prices_are_grouped_and_padded_to_their_currency() {
        for (price, decimals, whole, fraction) in [
            ("17900", 2, "17,900", ".00"),
            ("48.6", 2, "48", ".60"),
            ("0.0025", 2, "0", ".0025"),
            ("38500", 0, "38,500", ""),
            ("999999999.9999", 2, "999,999,999", ".9999"),
        ] {
            assert_eq!(split_price(price, decimals), (whole.to_owned(), fraction.to_owned()), "{price}");
        }
    }
}
