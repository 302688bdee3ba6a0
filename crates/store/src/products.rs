//! Creating and changing products. Every method takes a team and a mode: a grant's, or a permit's and a mode

use crate::error::StoreError;
use crate::product_rows::{self, ProductRow};
use crate::statement::sql;
use crate::tx::{Transaction, Tx};
use crate::{Result, Store};
use keyhouse_domain::audit::{Action, AuditContext};
use keyhouse_domain::auth::{AuthError, Grant, Tenant};
use keyhouse_domain::idempotency::{IdempotentRequest, StoredResponse};
use keyhouse_domain::ids::ProductId;
use keyhouse_domain::permission::{Editor, Forbidden};
use keyhouse_domain::product::{Product, Status};
use keyhouse_domain::timestamp::Timestamp;
use keyhouse_token::Mode;

/// Why a key's call did not create or change a product.
#[derive(Debug, thiserror::Error)]
pub enum WriteProductError {
    /// The tenant has no such product.
    #[error("no such product")]
    NoSuchProduct,
    /// The caller's precondition does not hold for the product as it is.
    #[error("the precondition does not hold")]
    PreconditionFailed,
    /// Another product of this team and mode has the SKU.
    #[error("another product has this SKU")]
    SkuTaken,
    /// The key may no longer act: it was revoked since the call was authenticated.
    #[error(transparent)]
    Auth(#[from] AuthError),
    /// The call's idempotency key was used with another body.
    #[error("the idempotency key was used with another body")]
    OtherBody,
    /// A call with the same idempotency key is still running.
    #[error("a call with the same idempotency key is still running")]
    StillRunning,
    /// The database did not do it.
    #[error(transparent)]
    Store(StoreError),
}

impl From<StoreError> for WriteProductError {
    fn from(error: StoreError) -> Self {
        match error {
            // A product's id is new and random, so only the SKU can collide.
            StoreError::Conflict(_) => Self::SkuTaken,
            error => Self::Store(error),
        }
    }
}

/// Why a member did not create or change a product.
#[derive(Debug, thiserror::Error)]
pub enum EditProductError {
    /// The tenant has no such product.
    #[error("no such product")]
    NoSuchProduct,
    /// It was changed since the member loaded the form.
    #[error("the product was changed since")]
    VersionConflict,
    /// Another product of this team and mode has the SKU.
    #[error("another product has this SKU")]
    SkuTaken,
    /// The member may not change the catalog.
    #[error(transparent)]
    Forbidden(#[from] Forbidden),
    /// The database did not do it.
    #[error(transparent)]
    Store(StoreError),
}

impl From<StoreError> for EditProductError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Conflict(_) => Self::SkuTaken,
            error => Self::Store(error),
        }
    }
}

/// The result of a key's write.
#[derive(Debug, PartialEq, Eq)]
pub enum Write {
    /// It was done now; the product as it is.
    Done(Product),
    /// The same call was done before; this was its response.
    Replayed(StoredResponse),
}

/// The idempotency key of a call, and how its response is built. `None`: the call has none.
pub type Idempotency<'a> = Option<(&'a IdempotentRequest, &'a (dyn Fn(&Product) -> StoredResponse + Sync))>;

/// Whether the product, read under its lock, is the one that the caller wants to change.
pub type Precondition<'a> = &'a (dyn Fn(&Product) -> bool + Sync);

type WriteResult = std::result::Result<Write, WriteProductError>;
type EditResult = std::result::Result<Product, EditProductError>;

impl Store {
    /// Creates a product for a key. The key is checked again before the commit: it was authenticated under a lease, and
    /// since then it may have been revoked while this transaction waited for locks.
    ///
    /// # Errors
    ///
    /// See [`WriteProductError`].
    pub async fn create_product(&self, grant: &Grant, product: Product, idempotency: Idempotency<'_>) -> WriteResult {
        let mut tx = self.begin_unaudited().await?;
        let now = product.created_at;
        if let Some(response) = tx.replay(idempotency, now).await? {
            return Ok(Write::Replayed(response));
        }
        tx.insert_product(grant.tenant(), &product).await?;
        tx.finish(grant, product, idempotency, now).await
    }

    /// Changes a product by `change`, which returns `None` if there is nothing to change: read, compared and written under
    /// the row's lock. A change moves `updated_at` to `now`. The key is checked again as in [`Store::create_product`].
    ///
    /// # Errors
    ///
    /// See [`WriteProductError`].
    pub async fn change_product(
        &self,
        grant: &Grant,
        id: ProductId,
        now: Timestamp,
        precondition: Precondition<'_>,
        change: impl FnOnce(&Product) -> Option<Product> + Send,
        idempotency: Idempotency<'_>,
    ) -> WriteResult {
        let mut tx = self.begin_unaudited().await?;
        if let Some(response) = tx.replay(idempotency, now).await? {
            return Ok(Write::Replayed(response));
        }
        let old = tx.lock_product(grant.tenant(), id).await?.ok_or(WriteProductError::NoSuchProduct)?;
        if !precondition(&old) {
            return Err(WriteProductError::PreconditionFailed);
        }
        let product = match change(&old) {
            None => old,
            Some(changed) => {
                let product = Product { updated_at: now, ..changed };
                tx.update_product(grant.tenant(), &product).await?;
                product
            }
        };
        tx.finish(grant, product, idempotency, now).await
    }

    /// Creates a product for a member.
    ///
    /// # Errors
    ///
    /// See [`EditProductError`].
    pub async fn create_product_as(
        &self,
        editor: &Editor,
        mode: Mode,
        product: Product,
        context: &AuditContext,
    ) -> EditResult {
        let mut tx = self.begin(context).await?;
        tx.lock_and_authorize(editor).await??;
        tx.insert_product(&editor.tenant(mode), &product).await?;
        tx.audit_product(editor, mode, Action::ProductCreated, &product).await?;
        tx.commit().await?;
        Ok(product)
    }

    /// As [`Store::change_product`], for a member. `seen` is the `updated_at` of the product that the member changed: if the
    /// product was changed since, nothing is written.
    ///
    /// # Errors
    ///
    /// See [`EditProductError`].
    pub async fn change_product_as(
        &self,
        editor: &Editor,
        mode: Mode,
        id: ProductId,
        seen: Option<Timestamp>,
        change: impl FnOnce(&Product) -> Option<Product> + Send,
        context: &AuditContext,
    ) -> EditResult {
        let mut tx = self.begin(context).await?;
        tx.lock_and_authorize(editor).await??;
        let tenant = editor.tenant(mode);
        let old = tx.lock_product(&tenant, id).await?.ok_or(EditProductError::NoSuchProduct)?;
        if seen.is_some_and(|seen| seen != old.updated_at) {
            return Err(EditProductError::VersionConflict);
        }
        let Some(changed) = change(&old) else { return Ok(old) };
        let product = Product { updated_at: context.at, ..changed };
        let action = match (old.status, product.status) {
            (Status::Active, Status::Archived) => Action::ProductArchived,
            (Status::Archived, Status::Active) => Action::ProductRestored,
            _ => Action::ProductChanged,
        };
        tx.update_product(&tenant, &product).await?;
        tx.audit_product(editor, mode, action, &product).await?;
        tx.commit().await?;
        Ok(product)
    }

    /// Deletes up to `batch` products of deleted teams; returns how many.
    ///
    /// # Errors
    ///
    /// Any [`StoreError`] of a write.
    pub async fn purge_products(&self, batch: u32) -> Result<u64> {
        let delete = sql("DELETE FROM products WHERE id IN (SELECT id FROM products \
                          WHERE team_id IN (SELECT id FROM teams WHERE deleted_at IS NOT NULL) LIMIT $1)");
        self.writes.execute(delete.bind(batch)).await
    }
}

impl Transaction {
    /// Locks a product by writing to it: both engines then return the row as it is, and not as it was when they began.
    async fn lock_product(&mut self, tenant: &Tenant, id: ProductId) -> Result<Option<Product>> {
        self.fetch_optional::<ProductRow>(product_rows::lock(tenant, id)).await?.map(Product::try_from).transpose()
    }

    async fn insert_product(&mut self, tenant: &Tenant, product: &Product) -> Result<()> {
        self.execute(product_rows::insert(tenant, product)).await.map(drop)
    }

    async fn update_product(&mut self, tenant: &Tenant, product: &Product) -> Result<()> {
        self.execute(product_rows::update(tenant, product)).await.map(drop)
    }

    /// The stored response of a call that was done before.
    async fn replay(
        &mut self,
        idempotency: Idempotency<'_>,
        now: Timestamp,
    ) -> std::result::Result<Option<StoredResponse>, WriteProductError> {
        match idempotency {
            Some((request, _)) => self.claim(request, now).await,
            None => Ok(None),
        }
    }

    /// Stores the response of an idempotent call, and commits if the key may still act. A refused call leaves nothing, its
    /// claim included.
    async fn finish(
        mut self,
        grant: &Grant,
        product: Product,
        idempotency: Idempotency<'_>,
        now: Timestamp,
    ) -> WriteResult {
        if let Some((request, respond)) = idempotency {
            self.store_response(request, &respond(&product)).await?;
        }
        let key = self.key_record(grant.key(), grant.token()).await?.ok_or(AuthError::Unknown)?;
        key.check(now, grant.client())?;
        self.commit().await?;
        Ok(Write::Done(product))
    }
}

impl Tx {
    async fn audit_product(&mut self, editor: &Editor, mode: Mode, action: Action, product: &Product) -> Result<()> {
        let detail = format!("“{}” ({})", product.fields.name.as_str(), mode.as_str());
        self.audit(editor.team(), action, product.id, detail).await
    }
}
