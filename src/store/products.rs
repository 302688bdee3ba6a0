//! Products ⇄ rows. Every query demands a [`Tenant`]: a team and a mode.

use super::{Result, Store, StoreError, corrupt, on, record};
use crate::domain::grant::Tenant;
use crate::domain::ids::ProductId;
use crate::domain::page::{Cursor, Limit, Page};
use crate::domain::price::{Price, TaxRate};
use crate::domain::product::{
    Currency, Description, Kind, Product, ProductFields, ProductName, Sku, Status, StatusFilter, UnitOfMeasure,
};
use crate::domain::timestamp::Timestamp;

record!(Row {
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
});

/// What became of a new product.
#[derive(Debug, PartialEq, Eq)]
pub enum ProductInserted {
    Done,
    /// Another product of this team and mode has the SKU.
    SkuTaken,
}

macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT id, status, name, unit_price, currency, description, sku, tax_rate, kind, unit_of_measure, \
             created_at, updated_at FROM products WHERE team_id = $1 AND mode = $2 ",
            $rest
        )
    };
}

impl Store {
    pub async fn product(&self, tenant: &Tenant, id: ProductId) -> Result<Option<Product>> {
        let row: Option<Row> = on!(&self.reads, db => sqlx::query_as(select!("AND id = $3"))
            .bind(tenant.team().to_string()).bind(tenant.mode().as_str()).bind(id.to_string())
            .fetch_optional(db).await?);
        row.map(Product::try_from).transpose()
    }

    /// A page of products, newest first. `None`: the cursor is no product of this tenant.
    ///
    /// Keyset paging on one index, so each page costs the same wherever it begins.
    pub async fn products(
        &self,
        tenant: &Tenant,
        filter: StatusFilter,
        after: Option<Cursor>,
        limit: Limit,
    ) -> Result<Option<Page<Product>>> {
        if let Some(cursor) = after
            && self.product(tenant, cursor.product()).await?.is_none()
        {
            return Ok(None);
        }
        let sql = match (filter, after) {
            (StatusFilter::All, None) => select!("ORDER BY id DESC LIMIT $3"),
            (StatusFilter::All, Some(_)) => select!("AND id < $4 ORDER BY id DESC LIMIT $3"),
            (StatusFilter::Active, None) => select!("AND status = 'active' ORDER BY id DESC LIMIT $3"),
            (StatusFilter::Active, Some(_)) => select!("AND status = 'active' AND id < $4 ORDER BY id DESC LIMIT $3"),
            (StatusFilter::Archived, None) => select!("AND status = 'archived' ORDER BY id DESC LIMIT $3"),
            (StatusFilter::Archived, Some(_)) => {
                select!("AND status = 'archived' AND id < $4 ORDER BY id DESC LIMIT $3")
            }
        };
        // One more than asked tells whether there is more.
        let wanted = usize::from(limit.get());
        let mut rows: Vec<Row> = on!(&self.reads, db => {
            let query = sqlx::query_as(sql)
                .bind(tenant.team().to_string()).bind(tenant.mode().as_str()).bind(i64::from(limit.get()) + 1);
            match after {
                None => query.fetch_all(db).await?,
                Some(cursor) => query.bind(cursor.product().to_string()).fetch_all(db).await?,
            }
        });
        let has_more = rows.len() > wanted;
        rows.truncate(wanted);
        let items = rows.into_iter().map(Product::try_from).collect::<Result<_>>()?;
        Ok(Some(Page { items, has_more }))
    }

    pub async fn insert_product(&self, tenant: &Tenant, product: &Product) -> Result<ProductInserted> {
        let mut tx = self.begin().await?;
        let fields = &product.fields;
        let inserted = on!(&mut tx.0, db => sqlx::query(
            "INSERT INTO products (id, team_id, mode, status, name, unit_price, currency, description, sku, tax_rate, \
                                   kind, unit_of_measure, created_at, updated_at) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)")
            .bind(product.id.to_string()).bind(tenant.team().to_string()).bind(tenant.mode().as_str())
            .bind(product.status.as_str()).bind(fields.name.as_str()).bind(fields.unit_price.stored())
            .bind(fields.currency.code()).bind(fields.description.as_ref().map(Description::as_str))
            .bind(fields.sku.as_ref().map(Sku::as_str)).bind(fields.tax_rate.map(TaxRate::stored))
            .bind(fields.kind.as_str()).bind(fields.unit_of_measure.as_str())
            .bind(product.created_at.ms()).bind(product.updated_at.ms())
            .execute(&mut **db).await.map(|done| done.rows_affected()));
        match inserted.map_err(StoreError::from) {
            // The id is new and ours, so only the SKU can collide.
            Err(StoreError::Conflict(_)) => return Ok(ProductInserted::SkuTaken),
            other => other?,
        };
        tx.commit().await?;
        Ok(ProductInserted::Done)
    }
}

impl TryFrom<Row> for Product {
    type Error = StoreError;

    fn try_from(row: Row) -> Result<Self> {
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
