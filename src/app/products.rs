//! The catalog: always inside a [`Tenant`], a team and a mode.

use super::App;
use crate::domain::grant::Tenant;
use crate::domain::ids::ProductId;
use crate::domain::page::{Cursor, Limit, Page};
use crate::domain::product::{Product, ProductFields, Status, StatusFilter};
use crate::store::{ProductInserted, StoreError};

#[derive(Debug, thiserror::Error)]
pub enum ListProductsError {
    /// The cursor is no product of this tenant.
    #[error("not a cursor of this list")]
    Cursor,
    #[error(transparent)]
    Store(#[from] StoreError),
}

#[derive(Debug, thiserror::Error)]
pub enum CreateProductError {
    #[error("another product has this SKU")]
    SkuTaken,
    #[error(transparent)]
    Store(#[from] StoreError),
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

    pub async fn create_product(&self, tenant: &Tenant, fields: ProductFields) -> Result<Product, CreateProductError> {
        let now = self.clock.now();
        let product =
            Product { id: self.ids.product(), fields, status: Status::Active, created_at: now, updated_at: now };
        match self.store.insert_product(tenant, &product).await? {
            ProductInserted::Done => Ok(product),
            ProductInserted::SkuTaken => Err(CreateProductError::SkuTaken),
        }
    }
}
