//! The fields of a product as its form holds them.

use serde::Deserialize;

use super::forms::FieldErrors;
use keyhouse_domain::price::{Price, TaxRate};
use keyhouse_domain::product::{Currency, Description, Kind, ProductFields, ProductName, Sku, UnitOfMeasure};

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct ProductForm {
    pub name: String,
    pub unit_price: String,
    pub currency: String,
    pub description: String,
    pub sku: String,
    pub tax_rate: String,
    #[serde(rename = "type")]
    pub kind: String,
    pub unit_of_measure: String,
    /// `updatedAt` of the product that the form was opened with, in milliseconds.
    pub version: String,
    /// `archive` or `restore`; empty to save the fields.
    #[serde(rename = "do")]
    pub action: String,
}

impl ProductForm {
    pub(super) fn of(fields: &ProductFields) -> Self {
        Self {
            name: fields.name.as_str().to_owned(),
            unit_price: fields.unit_price.to_string(),
            currency: fields.currency.code().to_owned(),
            description: fields.description.as_ref().map_or("", Description::as_str).to_owned(),
            sku: fields.sku.as_ref().map_or("", Sku::as_str).to_owned(),
            tax_rate: fields.tax_rate.map(|rate| rate.to_string()).unwrap_or_default(),
            kind: fields.kind.as_str().to_owned(),
            unit_of_measure: fields.unit_of_measure.as_str().to_owned(),
            ..Self::default()
        }
    }

    /// The fields, or `None` and what is wrong with them. Empty means absent, or the default.
    pub(super) fn validate(&self, errors: &mut FieldErrors) -> Option<ProductFields> {
        let given = |text: &str| (!text.trim().is_empty()).then(|| text.trim().to_owned());
        let or = |text: &str, default: &str| given(text).unwrap_or_else(|| default.to_owned());
        let name = errors.check("name", ProductName::parse(self.name.trim().to_owned()));
        let unit_price = errors.check("unitPrice", Price::parse(self.unit_price.trim()));
        let currency = errors.check("currency", Currency::parse(self.currency.trim()));
        // Browsers send line ends as CRLF.
        let description = self.description.replace("\r\n", "\n");
        let description = given(&description).map(|_| Description::parse(description.clone())).transpose();
        let description = errors.check("description", description);
        let sku = errors.check("sku", given(&self.sku).map(Sku::parse).transpose());
        let tax_rate = errors.check("taxRate", given(&self.tax_rate).map(|text| TaxRate::parse(&text)).transpose());
        let kind = errors.check("type", Kind::parse(or(&self.kind, ProductFields::DEFAULT_KIND)));
        let unit = UnitOfMeasure::parse(or(&self.unit_of_measure, ProductFields::DEFAULT_UNIT));
        let unit_of_measure = errors.check("unitOfMeasure", unit);
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
