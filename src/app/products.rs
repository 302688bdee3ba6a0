//! The catalog: always inside a [`Tenant`], a team and a mode.

use super::idempotency::InFlightGuard;
use super::{App, in_batches};
use keyhouse_domain::auth::{Grant, Tenant};
use keyhouse_domain::idempotency::StoredResponse;
use keyhouse_domain::ids::ProductId;
use keyhouse_domain::pagination::{Cursor, Limit, Page};
use keyhouse_domain::permission::Editor;
use keyhouse_domain::product::{Product, ProductFields, ProductPatch, Status, StatusFilter};
use keyhouse_domain::timestamp::Timestamp;
use keyhouse_store::{ProductWritten, Replay, StoreError};
use keyhouse_token::Mode;

/// How a call is done once; see [`keyhouse_domain::idempotency`].
pub use keyhouse_store::Idempotency;

#[derive(Debug, thiserror::Error)]
pub enum ListProductsError {
    /// The cursor is no product of this tenant.
    #[error("not a cursor of this list")]
    Cursor,
    #[error(transparent)]
    Store(#[from] StoreError),
}

#[derive(Debug, thiserror::Error)]
pub enum WriteProductError {
    #[error("no such product")]
    NoSuchProduct,
    /// Somebody changed it since the member looked at it.
    #[error("the product was changed since")]
    VersionConflict,
    #[error("the member's role does not allow changing products")]
    Forbidden,
    #[error("another product has this SKU")]
    SkuTaken,
    #[error("the key was revoked since the call was admitted")]
    KeyRevoked,
    /// The call's idempotency key was used with another body.
    #[error("the idempotency key was used with another body")]
    OtherBody,
    /// A call with the same idempotency key is still running.
    #[error("a call with the same idempotency key is still running")]
    StillRunning,
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What a writing call is answered with.
#[derive(Debug)]
pub enum Write {
    /// It was done now.
    Done(Product),
    /// It was done before; this was the answer.
    Replayed(StoredResponse),
}

impl App {
    pub async fn list_products(
        &self,
        tenant: &Tenant,
        filter: StatusFilter,
        after: Option<Cursor>,
        limit: Limit,
    ) -> Result<Page<Product>, ListProductsError> {
        self.store.products(tenant, filter, after, limit).await?.ok_or(ListProductsError::Cursor)
    }

    pub async fn product(&self, tenant: &Tenant, id: ProductId) -> Result<Option<Product>, StoreError> {
        self.store.product(tenant, id).await
    }

    pub async fn create_product(
        &self,
        grant: &Grant,
        fields: ProductFields,
        once: Idempotency<'_>,
    ) -> Result<Write, WriteProductError> {
        let _turn = self.turn(once).await?;
        let now = self.clock.now();
        self.store.insert_product(grant, self.new_product(fields, now), once).await?.try_into()
    }

    fn new_product(&self, fields: ProductFields, now: Timestamp) -> Product {
        Product { id: self.ids.product(), fields, status: Status::Active, created_at: now, updated_at: now }
    }

    /// A page of the products whose name or SKU holds a text, newest first.
    pub async fn search_products(
        &self,
        tenant: &Tenant,
        filter: StatusFilter,
        search: &str,
        after: Option<Cursor>,
        limit: Limit,
    ) -> Result<Page<Product>, StoreError> {
        self.store.search_products(tenant, filter, search, after, limit).await
    }

    /// As [`App::create_product`], by a member.
    pub async fn create_product_as(
        &self,
        editor: &Editor,
        mode: Mode,
        fields: ProductFields,
    ) -> Result<Product, WriteProductError> {
        let context = self.audit_context(editor);
        let product = self.new_product(fields, context.at);
        Write::try_from(self.store.insert_product_as(editor, mode, product, &context).await?)?.by_member()
    }

    /// Gives a product new fields, if it is still as the member saw it at `seen`.
    pub async fn update_product_as(
        &self,
        editor: &Editor,
        mode: Mode,
        id: ProductId,
        seen: Timestamp,
        fields: ProductFields,
    ) -> Result<Product, WriteProductError> {
        let change = |old: &Product| (fields != old.fields).then(|| Product { fields, ..old.clone() });
        let context = self.audit_context(editor);
        let written = self.store.change_product_as(editor, mode, id, Some(seen), change, &context).await?;
        Write::try_from(written)?.by_member()
    }

    /// As [`App::set_product_status`], by a member.
    pub async fn set_product_status_as(
        &self,
        editor: &Editor,
        mode: Mode,
        id: ProductId,
        status: Status,
    ) -> Result<Product, WriteProductError> {
        let change = |old: &Product| (old.status != status).then(|| Product { status, ..old.clone() });
        let context = self.audit_context(editor);
        let written = self.store.change_product_as(editor, mode, id, None, change, &context).await?;
        Write::try_from(written)?.by_member()
    }

    /// Changes the given fields, archived product or not. What leaves all as it is moves no `updatedAt`.
    pub async fn update_product(
        &self,
        grant: &Grant,
        id: ProductId,
        patch: ProductPatch,
        once: Idempotency<'_>,
    ) -> Result<Write, WriteProductError> {
        let _turn = self.turn(once).await?;
        let change = |old: &Product| {
            let fields = patch.apply(old.fields.clone());
            (fields != old.fields).then(|| Product { fields, ..old.clone() })
        };
        self.store.change_product(grant, id, self.clock.now(), change, once).await?.try_into()
    }

    /// Archives a product or brings it back. Again is no change and no error.
    pub async fn set_product_status(
        &self,
        grant: &Grant,
        id: ProductId,
        status: Status,
        once: Idempotency<'_>,
    ) -> Result<Write, WriteProductError> {
        let _turn = self.turn(once).await?;
        let change = |old: &Product| (old.status != status).then(|| Product { status, ..old.clone() });
        self.store.change_product(grant, id, self.clock.now(), change, once).await?.try_into()
    }

    /// The turn of a call that is to be done once; of any other, none is needed.
    async fn turn(&self, once: Idempotency<'_>) -> Result<Option<InFlightGuard>, WriteProductError> {
        match once {
            None => Ok(None),
            Some((call, _)) => self.running.turn(call).await.map(Some).ok_or(WriteProductError::StillRunning),
        }
    }

    /// Deletes stored answers of idempotent calls after their 24 hours; says how many.
    pub async fn purge_answers(&self) -> Result<u64, StoreError> {
        in_batches(|batch| self.store.purge_answers(self.clock.now(), batch)).await
    }

    /// Deletes the products of deleted teams; says how many.
    pub async fn purge_products(&self) -> Result<u64, StoreError> {
        in_batches(|batch| self.store.purge_products(batch)).await
    }
}

impl Write {
    /// A member's deed has no idempotency key, so it was never done before.
    fn by_member(self) -> Result<Product, WriteProductError> {
        match self {
            Self::Done(product) => Ok(product),
            Self::Replayed(_) => Err(WriteProductError::StillRunning),
        }
    }
}

impl TryFrom<ProductWritten> for Write {
    type Error = WriteProductError;

    fn try_from(written: ProductWritten) -> Result<Self, WriteProductError> {
        match written {
            ProductWritten::Done(product) => Ok(Self::Done(product)),
            ProductWritten::Replayed(Replay::Done(answer)) => Ok(Self::Replayed(answer)),
            ProductWritten::Replayed(Replay::OtherBody) => Err(WriteProductError::OtherBody),
            ProductWritten::Replayed(Replay::InFlightRequests) => Err(WriteProductError::StillRunning),
            ProductWritten::NoSuchProduct => Err(WriteProductError::NoSuchProduct),
            ProductWritten::VersionConflict => Err(WriteProductError::VersionConflict),
            ProductWritten::Forbidden => Err(WriteProductError::Forbidden),
            ProductWritten::SkuTaken => Err(WriteProductError::SkuTaken),
            ProductWritten::KeyRevoked => Err(WriteProductError::KeyRevoked),
        }
    }
}
