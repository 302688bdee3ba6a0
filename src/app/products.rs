//! The catalog: products of a team and a mode

use std::time::Duration;

use super::infra::keyed_locks::KeyedGuard;
use super::{App, in_batches};
use keyhouse_domain::auth::Grant;
use keyhouse_domain::ids::ProductId;
use keyhouse_domain::permission::Editor;
use keyhouse_domain::product::{Product, ProductFields, ProductPatch, Status};
use keyhouse_domain::timestamp::Timestamp;
use keyhouse_store::StoreError;
use keyhouse_token::Mode;

pub use keyhouse_store::{EditProductError, Idempotency, ListProductsError, Precondition, Write, WriteProductError};

/// How long an idempotent request waits for its duplicate.
const DUPLICATE_WAIT: Duration = Duration::from_secs(2);

impl App {
    /// Creates a product for a key.
    ///
    /// # Errors
    ///
    /// See [`WriteProductError`].
    pub async fn create_product(
        &self,
        grant: &Grant,
        fields: ProductFields,
        idempotency: Idempotency<'_>,
    ) -> Result<Write, WriteProductError> {
        let _guard = self.in_flight_guard(idempotency).await?;
        let now = self.clock.now();
        self.store.create_product(grant, self.new_product(fields, now), idempotency).await
    }

    fn new_product(&self, fields: ProductFields, now: Timestamp) -> Product {
        Product { id: self.ids.product(), fields, status: Status::Active, created_at: now, updated_at: now }
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
        fields: ProductFields,
    ) -> Result<Product, EditProductError> {
        let context = self.audit_context(editor);
        let product = self.new_product(fields, context.at);
        self.store.create_product_as(editor, mode, product, &context).await
    }

    /// Gives a product new fields, if it was not changed since the member loaded it, at `seen`.
    ///
    /// # Errors
    ///
    /// See [`EditProductError`].
    pub async fn update_product_as(
        &self,
        editor: &Editor,
        mode: Mode,
        id: ProductId,
        seen: Timestamp,
        fields: ProductFields,
    ) -> Result<Product, EditProductError> {
        let change = |old: &Product| (fields != old.fields).then(|| Product { fields, ..old.clone() });
        self.store.change_product_as(editor, mode, id, Some(seen), change, &self.audit_context(editor)).await
    }

    /// As [`App::set_product_status`], for a member.
    ///
    /// # Errors
    ///
    /// See [`EditProductError`].
    pub async fn set_product_status_as(
        &self,
        editor: &Editor,
        mode: Mode,
        id: ProductId,
        status: Status,
    ) -> Result<Product, EditProductError> {
        let change = |old: &Product| (old.status != status).then(|| Product { status, ..old.clone() });
        self.store.change_product_as(editor, mode, id, None, change, &self.audit_context(editor)).await
    }

    /// Changes the given fields, of an archived product too. If nothing changes, `updated_at` stays.
    ///
    /// # Errors
    ///
    /// See [`WriteProductError`].
    pub async fn update_product(
        &self,
        grant: &Grant,
        id: ProductId,
        patch: ProductPatch,
        precondition: Precondition<'_>,
        idempotency: Idempotency<'_>,
    ) -> Result<Write, WriteProductError> {
        let _guard = self.in_flight_guard(idempotency).await?;
        let change = |old: &Product| {
            let fields = patch.apply(old.fields.clone());
            (fields != old.fields).then(|| Product { fields, ..old.clone() })
        };
        self.store.change_product(grant, id, self.clock.now(), precondition, change, idempotency).await
    }

    /// Archives a product or restores it. Repeating it changes nothing and is no error.
    ///
    /// # Errors
    ///
    /// See [`WriteProductError`].
    pub async fn set_product_status(
        &self,
        grant: &Grant,
        id: ProductId,
        status: Status,
        precondition: Precondition<'_>,
        idempotency: Idempotency<'_>,
    ) -> Result<Write, WriteProductError> {
        let _guard = self.in_flight_guard(idempotency).await?;
        let change = |old: &Product| (old.status != status).then(|| Product { status, ..old.clone() });
        self.store.change_product(grant, id, self.clock.now(), precondition, change, idempotency).await
    }

    /// Waits until no duplicate of an idempotent call runs on this node; `None` for any other call.
    async fn in_flight_guard(
        &self,
        idempotency: Idempotency<'_>,
    ) -> Result<Option<KeyedGuard<String>>, WriteProductError> {
        let Some((request, _)) = idempotency else { return Ok(None) };
        // Only the path may contain a space, and it stands last: two requests never share a name.
        let name = format!("{} {} {} {}", request.key, request.method, request.value.as_str(), request.path);
        self.in_flight.lock(name, DUPLICATE_WAIT).await.map(Some).ok_or(WriteProductError::StillRunning)
    }

    /// Deletes stored responses of idempotent calls after their 24 hours; returns how many.
    ///
    /// # Errors
    ///
    /// Any [`StoreError`] of a write.
    pub async fn purge_responses(&self) -> Result<u64, StoreError> {
        in_batches(|batch| self.store.purge_responses(self.clock.now(), batch)).await
    }

    /// Deletes the products of deleted teams; returns how many.
    ///
    /// # Errors
    ///
    /// Any [`StoreError`] of a write.
    pub async fn purge_products(&self) -> Result<u64, StoreError> {
        in_batches(|batch| self.store.purge_products(batch)).await
    }
}
