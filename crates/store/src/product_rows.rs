//! Product rows and what only reads them. Every query takes a [`Tenant`], a team and a mode

use crate::error::{StoreError, corrupt};
use crate::statement::{Statement, sql, sql_of};
use crate::{Queries, Result};
use keyhouse_domain::auth::Tenant;
use keyhouse_domain::currency::Currency;
use keyhouse_domain::ids::ProductId;
use keyhouse_domain::pagination::{Cursor, Limit, Page};
use keyhouse_domain::price::{Price, TaxRate};
use keyhouse_domain::product::{
    Description, Kind, Product, ProductFields, ProductName, Sku, Status, StatusFilter, UnitOfMeasure,
};
use keyhouse_domain::timestamp::Timestamp;

#[derive(sqlx::FromRow)]
pub(crate) struct ProductRow {
    id: String,
    status: String,
    name: String,
    unit_price: i64,
    currency: String,
    description: Option<String>,
    sku: Option<String>,
    tax_rate: Option<i64>,
    kind: String,
    unit_of_measure: String,
    created_at: i64,
    updated_at: i64,
}

/// Why a list of products can't be returned.
#[derive(Debug, thiserror::Error)]
pub enum ListProductsError {
    /// The cursor is no product of this tenant.
    #[error("not a cursor of this list")]
    Cursor,
    /// The database did not answer.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Sorts after every UUID as text: before the newest product.
const ABOVE_ALL_IDS: &str = "g";

pub(crate) const COLUMNS: &str = "id, status, name, unit_price, currency, description, sku, tax_rate, kind, \
                                   unit_of_measure, created_at, updated_at";

impl Queries {
    /// One product.
    ///
    /// # Errors
    ///
    /// Any [`StoreError`] of a read.
    pub async fn product(&self, tenant: &Tenant, id: ProductId) -> Result<Option<Product>> {
        let select = sql_of(&["SELECT ", COLUMNS, " FROM products WHERE team_id = $1 AND mode = $2 AND id = $3"])
            .bind(tenant.team())
            .bind(tenant.mode().as_str())
            .bind(id);
        self.reads.fetch_optional::<ProductRow>(select).await?.map(Product::try_from).transpose()
    }

    /// A page of products, newest first: keyset paging on one index, so each page costs the same wherever it begins.
    ///
    /// # Errors
    ///
    /// See [`ListProductsError`].
    pub async fn products(
        &self,
        tenant: &Tenant,
        filter: StatusFilter,
        after: Option<Cursor>,
        limit: Limit,
    ) -> std::result::Result<Page<Product>, ListProductsError> {
        // Compared and ordered by the whole index and not by its last column alone: otherwise PostgreSQL may take the order
        // from the primary key, and read every other team's rows on the way.
        let select = match filter.status() {
            None => sql_of(&[
                "SELECT ",
                COLUMNS,
                " FROM products WHERE ",
                "(team_id, mode) >= ($1, $2) AND (team_id, mode, id) <= ($1, $2, $3) \
                 ORDER BY team_id DESC, mode DESC, id DESC LIMIT $4",
            ]),
            Some(_) => sql_of(&[
                "SELECT ",
                COLUMNS,
                " FROM products WHERE ",
                "(team_id, mode, status) >= ($1, $2, $5) AND (team_id, mode, status, id) <= ($1, $2, $5, $3) \
                 ORDER BY team_id DESC, mode DESC, status DESC, id DESC LIMIT $4",
            ]),
        };
        // One more row shows whether there is another page. With a cursor its own row is selected too, so that no second query has
        // to look for it.
        let rows = u32::from(limit.get()) + 1 + u32::from(after.is_some());
        let select = select.bind(tenant.team()).bind(tenant.mode().as_str()).bind(below(after)).bind(rows);
        let select = match filter.status() {
            None => select,
            Some(status) => select.bind(status.as_str()),
        };
        let mut rows: Vec<ProductRow> = self.reads.fetch_all(select).await?;
        if let Some(cursor) = after {
            let id = cursor.product().to_string();
            if rows.first().is_some_and(|row| row.id == id) {
                rows.remove(0);
            } else if filter.status().is_none() || self.product(tenant, cursor.product()).await?.is_none() {
                // With a filter the cursor may be a product whose status has changed since.
                return Err(ListProductsError::Cursor);
            }
        }
        Ok(page_of(rows, limit)?)
    }
}

/// The position in the list, newest first, after which a page begins.
pub(crate) fn below(after: Option<Cursor>) -> String {
    after.map_or(ABOVE_ALL_IDS.to_owned(), |cursor| cursor.product().to_string())
}

/// Locks a product by writing to it: both engines then return the row as it is, and not as it was when they began.
pub(crate) fn lock(tenant: &Tenant, id: ProductId) -> Statement {
    sql_of(&["UPDATE products SET status = status WHERE team_id = $1 AND mode = $2 AND id = $3 RETURNING ", COLUMNS])
        .bind(tenant.team())
        .bind(tenant.mode().as_str())
        .bind(id)
}

pub(crate) fn insert(tenant: &Tenant, product: &Product) -> Statement {
    let insert = sql("INSERT INTO products (team_id, mode, id, status, updated_at, created_at, \
                                            name, unit_price, currency, description, sku, tax_rate, kind, unit_of_measure) \
                      VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)");
    bind_product(insert, tenant, product)
}

pub(crate) fn update(tenant: &Tenant, product: &Product) -> Statement {
    let update = sql("UPDATE products SET status = $4, updated_at = $5, created_at = $6, name = $7, unit_price = $8, \
                             currency = $9, description = $10, sku = $11, tax_rate = $12, kind = $13, \
                             unit_of_measure = $14 \
                      WHERE team_id = $1 AND mode = $2 AND id = $3");
    bind_product(update, tenant, product)
}

/// Binds `$1` to `$6`, the tenant, the id, the status and the times, and the fields from `$7` on.
fn bind_product(statement: Statement, tenant: &Tenant, product: &Product) -> Statement {
    let fields = &product.fields;
    statement
        .bind(tenant.team())
        .bind(tenant.mode().as_str())
        .bind(product.id)
        .bind(product.status.as_str())
        .bind(product.updated_at)
        .bind(product.created_at)
        .bind(fields.name.as_str())
        .bind(fields.unit_price.stored())
        .bind(fields.currency.code())
        .bind(fields.description.as_ref().map(|text| text.as_str().to_owned()))
        .bind(fields.sku.as_ref().map(|sku| sku.as_str().to_owned()))
        .bind(fields.tax_rate.map(TaxRate::stored))
        .bind(fields.kind.as_str())
        .bind(fields.unit_of_measure.as_str())
}

/// Builds a page from its rows. One more row was selected than asked for: if it is there, there is another page.
fn page_of(mut rows: Vec<ProductRow>, limit: Limit) -> Result<Page<Product>> {
    let wanted = usize::from(limit.get());
    let has_more = rows.len() > wanted;
    rows.truncate(wanted);
    Ok(Page { items: rows.into_iter().map(Product::try_from).collect::<Result<_>>()?, has_more })
}

impl TryFrom<ProductRow> for Product {
    type Error = StoreError;

    fn try_from(row: ProductRow) -> Result<Self> {
        let id = row.id;
        let bad = || corrupt("products", &id);
        Ok(Self {
            id: id.parse().map_err(|_| bad())?,
            status: Status::parse(&row.status).ok_or_else(bad)?,
            fields: ProductFields {
                name: ProductName::parse(row.name).map_err(|_| bad())?,
                unit_price: Price::from_stored(row.unit_price).ok_or_else(bad)?,
                currency: Currency::parse(&row.currency).map_err(|_| bad())?,
                description: row.description.map(Description::parse).transpose().map_err(|_| bad())?,
                sku: row.sku.map(Sku::parse).transpose().map_err(|_| bad())?,
                tax_rate: row.tax_rate.map(|rate| TaxRate::from_stored(rate).ok_or_else(bad)).transpose()?,
                kind: Kind::parse(row.kind).map_err(|_| bad())?,
                unit_of_measure: UnitOfMeasure::parse(row.unit_of_measure).map_err(|_| bad())?,
            },
            created_at: Timestamp::from_ms(row.created_at),
            updated_at: Timestamp::from_ms(row.updated_at),
        })
    }
}
