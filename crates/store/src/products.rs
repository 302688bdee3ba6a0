//! Products ⇄ rows. Every query demands a [`Tenant`]: a team and a mode.

use crate::{Replay, Result, Store, StoreError, Tx, corrupt, on, record};
use keyhouse_domain::audit::{Action, AuditContext};
use keyhouse_domain::auth::{Grant, Tenant};
use keyhouse_domain::idempotency::{IdempotentRequest, StoredResponse};
use keyhouse_domain::ids::ProductId;
use keyhouse_domain::pagination::{Cursor, Limit, Page};
use keyhouse_domain::permission::Editor;
use keyhouse_domain::price::{Price, TaxRate};
use keyhouse_domain::product::{
    Currency, Description, Kind, Product, ProductFields, ProductName, Sku, Status, StatusFilter, UnitOfMeasure,
};
use keyhouse_domain::timestamp::Timestamp;
use keyhouse_token::Mode;

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

/// What became of a product that was to be made or changed.
#[derive(Debug, PartialEq, Eq)]
pub enum ProductWritten {
    /// As it is now.
    Done(Product),
    /// Nothing was done: the same call came before.
    Replayed(Replay),
    NoSuchProduct,
    /// It was changed since the member looked at it.
    VersionConflict,
    /// The member may not change the catalog, or no longer.
    Forbidden,
    /// Another product of this team and mode has the SKU.
    SkuTaken,
    /// The key that was to write has been revoked since its call was admitted.
    KeyRevoked,
}

/// A call to be done once, and how its answer is said. `None`: the caller did not ask for that.
pub type Idempotency<'a> = Option<(&'a IdempotentRequest, &'a (dyn Fn(&Product) -> StoredResponse + Sync))>;

/// Greater than every UUID as text: before the newest product.
const ABOVE_ALL_IDS: &str = "g";

macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT id, status, name, unit_price, currency, description, sku, tax_rate, kind, unit_of_measure, \
             created_at, updated_at FROM products WHERE ",
            $rest
        )
    };
}

impl Store {
    pub async fn product(&self, tenant: &Tenant, id: ProductId) -> Result<Option<Product>> {
        let row: Option<Row> = on!(&self.reads, db => sqlx::query_as(select!("team_id = $1 AND mode = $2 AND id = $3"))
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
        // Compared and ordered by the whole index, not by its last column alone: PostgreSQL would else find that order in
        // the primary key too, and walk through every other team's rows to get it.
        let below = after.map_or(ABOVE_ALL_IDS.to_owned(), |cursor| cursor.product().to_string());
        let rows: Vec<Row> = on!(&self.reads, db => {
            let (team, mode) = (tenant.team().to_string(), tenant.mode().as_str());
            let query = match filter.status() {
                None => sqlx::query_as(select!(
                    "(team_id, mode) >= ($1, $2) AND (team_id, mode, id) < ($1, $2, $3) \
                     ORDER BY team_id DESC, mode DESC, id DESC LIMIT $4")).bind(team).bind(mode),
                Some(_) => sqlx::query_as(select!(
                    "(team_id, mode, status) >= ($1, $2, $5) AND (team_id, mode, status, id) < ($1, $2, $5, $3) \
                     ORDER BY team_id DESC, mode DESC, status DESC, id DESC LIMIT $4")).bind(team).bind(mode),
            };
            let query = query.bind(&below).bind(i64::from(limit.get()) + 1);
            match filter.status() {
                None => query.fetch_all(db).await?,
                Some(status) => query.bind(status.as_str()).fetch_all(db).await?,
            }
        });
        page_of(rows, limit).map(Some)
    }

    /// A page of the products whose name or SKU holds `search`, newest first, for people who look for one.
    ///
    /// Reads along the index until the page is full: what holds the text is found by looking at each.
    pub async fn search_products(
        &self,
        tenant: &Tenant,
        filter: StatusFilter,
        search: &str,
        after: Option<Cursor>,
        limit: Limit,
    ) -> Result<Page<Product>> {
        let below = after.map_or(ABOVE_ALL_IDS.to_owned(), |cursor| cursor.product().to_string());
        let pattern = crate::like(search);
        let rows: Vec<Row> = on!(&self.reads, db => sqlx::query_as(select!(
            "(team_id, mode) >= ($1, $2) AND (team_id, mode, id) < ($1, $2, $3) AND ($5 = '' OR status = $5) \
             AND (lower(name) LIKE $6 ESCAPE '!' OR name LIKE $7 ESCAPE '!' \
                  OR lower(sku) LIKE $6 ESCAPE '!' OR sku LIKE $7 ESCAPE '!') \
             ORDER BY team_id DESC, mode DESC, id DESC LIMIT $4"))
            .bind(tenant.team().to_string()).bind(tenant.mode().as_str()).bind(&below)
            .bind(i64::from(limit.get()) + 1).bind(filter.status().map_or("", Status::as_str))
            .bind(pattern.to_lowercase()).bind(&pattern).fetch_all(db).await?);
        page_of(rows, limit)
    }

    /// By a key, which is looked at again before the commit: a node may have admitted it under a lease, before it heard of a
    /// revocation, and locks are waited for.
    pub async fn insert_product(
        &self,
        grant: &Grant,
        product: Product,
        once: Idempotency<'_>,
    ) -> Result<ProductWritten> {
        let mut tx = self.begin().await?;
        if let Some(repeat) = tx.claim_once(once, product.created_at).await? {
            return Ok(ProductWritten::Replayed(repeat));
        }
        let written = tx.insert_product(grant.tenant(), &product).await;
        tx.finish(grant, written, product, once).await
    }

    /// Changes a product by `change`, which says `None` if there is nothing to change. Read, judged and written under
    /// the row's lock; whatever changes moves `updatedAt` to `now`. The key is looked at again, as in
    /// [`Store::insert_product`].
    pub async fn change_product(
        &self,
        grant: &Grant,
        id: ProductId,
        now: Timestamp,
        change: impl FnOnce(&Product) -> Option<Product> + Send,
        once: Idempotency<'_>,
    ) -> Result<ProductWritten> {
        let mut tx = self.begin().await?;
        if let Some(repeat) = tx.claim_once(once, now).await? {
            return Ok(ProductWritten::Replayed(repeat));
        }
        let Some(old) = tx.lock_product(grant.tenant(), id).await? else { return Ok(ProductWritten::NoSuchProduct) };
        let Some(changed) = change(&old) else { return tx.finish(grant, Ok(()), old, once).await };
        let product = Product { updated_at: now, ..changed };
        let written = tx.update_product(grant.tenant(), &product).await;
        tx.finish(grant, written, product, once).await
    }

    /// As [`Store::insert_product`], by a member, whose role is looked at again; noted in the audit log.
    pub async fn insert_product_as(
        &self,
        editor: &Editor,
        mode: Mode,
        product: Product,
        context: &AuditContext,
    ) -> Result<ProductWritten> {
        let mut tx = self.begin().await?;
        if !tx.lock_and_authorize(editor, context.at).await? {
            return Ok(ProductWritten::Forbidden);
        }
        let written = tx.insert_product(&editor.tenant(mode), &product).await;
        tx.note(editor, mode, Action::ProductCreated, &product, context, written).await
    }

    /// As [`Store::change_product`], by a member. `seen`: what they changed was the product as of then; if it has been
    /// changed since, nothing is.
    pub async fn change_product_as(
        &self,
        editor: &Editor,
        mode: Mode,
        id: ProductId,
        seen: Option<Timestamp>,
        change: impl FnOnce(&Product) -> Option<Product> + Send,
        context: &AuditContext,
    ) -> Result<ProductWritten> {
        let mut tx = self.begin().await?;
        if !tx.lock_and_authorize(editor, context.at).await? {
            return Ok(ProductWritten::Forbidden);
        }
        let tenant = editor.tenant(mode);
        let Some(old) = tx.lock_product(&tenant, id).await? else { return Ok(ProductWritten::NoSuchProduct) };
        if seen.is_some_and(|seen| seen != old.updated_at) {
            return Ok(ProductWritten::VersionConflict);
        }
        let Some(changed) = change(&old) else { return Ok(ProductWritten::Done(old)) };
        let product = Product { updated_at: context.at, ..changed };
        let action = match (old.status, product.status) {
            (Status::Active, Status::Archived) => Action::ProductArchived,
            (Status::Archived, Status::Active) => Action::ProductRestored,
            _ => Action::ProductChanged,
        };
        let written = tx.update_product(&tenant, &product).await;
        tx.note(editor, mode, action, &product, context, written).await
    }
}

impl Tx {
    /// Writes first, to lock the row: both engines then show it as it is, not as it was.
    async fn lock_product(&mut self, tenant: &Tenant, id: ProductId) -> Result<Option<Product>> {
        let row: Option<Row> = on!(&mut self.0, db => sqlx::query_as(
            "UPDATE products SET status = status WHERE team_id = $1 AND mode = $2 AND id = $3 \
             RETURNING id, status, name, unit_price, currency, description, sku, tax_rate, kind, unit_of_measure, \
                       created_at, updated_at")
            .bind(tenant.team().to_string()).bind(tenant.mode().as_str()).bind(id.to_string())
            .fetch_optional(&mut **db).await?);
        row.map(Product::try_from).transpose()
    }

    async fn insert_product(&mut self, tenant: &Tenant, product: &Product) -> Result<()> {
        let fields = &product.fields;
        on!(&mut self.0, db => sqlx::query(
            "INSERT INTO products (id, team_id, mode, status, name, unit_price, currency, description, sku, tax_rate, \
                                   kind, unit_of_measure, created_at, updated_at) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)")
            .bind(product.id.to_string()).bind(tenant.team().to_string()).bind(tenant.mode().as_str())
            .bind(product.status.as_str()).bind(fields.name.as_str()).bind(fields.unit_price.stored())
            .bind(fields.currency.code()).bind(fields.description.as_ref().map(Description::as_str))
            .bind(fields.sku.as_ref().map(Sku::as_str)).bind(fields.tax_rate.map(TaxRate::stored))
            .bind(fields.kind.as_str()).bind(fields.unit_of_measure.as_str())
            .bind(product.created_at.ms()).bind(product.updated_at.ms())
            .execute(&mut **db).await?.rows_affected());
        Ok(())
    }

    async fn update_product(&mut self, tenant: &Tenant, product: &Product) -> Result<()> {
        let fields = &product.fields;
        on!(&mut self.0, db => sqlx::query(
            "UPDATE products SET status = $4, name = $5, unit_price = $6, currency = $7, description = $8, sku = $9, \
                    tax_rate = $10, kind = $11, unit_of_measure = $12, updated_at = $13 \
             WHERE team_id = $1 AND mode = $2 AND id = $3")
            .bind(tenant.team().to_string()).bind(tenant.mode().as_str()).bind(product.id.to_string())
            .bind(product.status.as_str()).bind(fields.name.as_str()).bind(fields.unit_price.stored())
            .bind(fields.currency.code()).bind(fields.description.as_ref().map(Description::as_str))
            .bind(fields.sku.as_ref().map(Sku::as_str)).bind(fields.tax_rate.map(TaxRate::stored))
            .bind(fields.kind.as_str()).bind(fields.unit_of_measure.as_str()).bind(product.updated_at.ms())
            .execute(&mut **db).await?.rows_affected());
        Ok(())
    }

    /// Notes what a member did, and commits.
    async fn note(
        mut self,
        editor: &Editor,
        mode: Mode,
        action: Action,
        product: &Product,
        context: &AuditContext,
        written: Result<()>,
    ) -> Result<ProductWritten> {
        match written {
            Err(StoreError::Conflict(_)) => return Ok(ProductWritten::SkuTaken),
            other => other?,
        };
        let detail = format!("\"{}\" ({})", product.fields.name.as_str(), mode.as_str());
        self.audit(&context.event(0, editor.team(), action, product.id, detail)).await?;
        self.commit().await?;
        Ok(ProductWritten::Done(product.clone()))
    }

    async fn claim_once(&mut self, once: Idempotency<'_>, now: Timestamp) -> Result<Option<Replay>> {
        match once {
            Some((call, _)) => self.claim(call, now).await,
            None => Ok(None),
        }
    }

    /// Keeps the answer if the call is to be done once, and commits if the key is still active. What was refused leaves
    /// nothing, no claim either.
    async fn finish(
        mut self,
        grant: &Grant,
        written: Result<()>,
        product: Product,
        once: Idempotency<'_>,
    ) -> Result<ProductWritten> {
        match written {
            // Ids are new and ours, so only the SKU can collide.
            Err(StoreError::Conflict(_)) => return Ok(ProductWritten::SkuTaken),
            other => other?,
        };
        if let Some((call, say)) = once {
            self.keep_answer(call, &say(&product)).await?;
        }
        if !self.is_active(grant.key()).await? {
            return Ok(ProductWritten::KeyRevoked);
        }
        self.commit().await?;
        Ok(ProductWritten::Done(product))
    }
}

/// Builds a page from its rows. One row more than asked tells whether there is more.
fn page_of(mut rows: Vec<Row>, limit: Limit) -> Result<Page<Product>> {
    let wanted = usize::from(limit.get());
    let has_more = rows.len() > wanted;
    rows.truncate(wanted);
    Ok(Page { items: rows.into_iter().map(Product::try_from).collect::<Result<_>>()?, has_more })
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
