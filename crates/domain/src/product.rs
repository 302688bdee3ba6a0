//! A product of a team's catalog, and what each of its fields may hold.

use iso_currency::Currency as Iso;

use super::ids::ProductId;
use super::price::{Price, TaxRate};
use super::text::Text;
use super::timestamp::Timestamp;

pub type ProductName = Text<1, 255>;
/// The only text that may be empty.
pub type Description = Text<0, 2000>;
/// Unique within team and mode, archived products included, in exact case.
pub type Sku = Text<1, 100>;
/// What kind of product, in the caller's own words.
pub type Kind = Text<1, 50>;
pub type UnitOfMeasure = Text<1, 50>;

/// An alphabetic code of ISO 4217 in capitals.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Currency(Iso);

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be an ISO 4217 currency code")]
pub struct CurrencyError;

impl Currency {
    /// Takes either case.
    pub fn parse(text: &str) -> Result<Self, CurrencyError> {
        Iso::from_code(&text.to_ascii_uppercase()).map(Self).ok_or(CurrencyError)
    }

    pub fn code(self) -> &'static str {
        self.0.code()
    }

    /// Every currency there is, by code.
    pub fn all() -> Vec<Self> {
        let letters = || 'A'..='Z';
        let codes =
            letters().flat_map(|a| letters().flat_map(move |b| letters().map(move |c| String::from_iter([a, b, c]))));
        codes.filter_map(|code| Self::parse(&code).ok()).collect()
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    Active,
    Archived,
}

impl Status {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Archived => "archived",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        [Self::Active, Self::Archived].into_iter().find(|status| status.as_str() == text)
    }
}

/// What a caller says of a product: everything but its id, its status and its times.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProductFields {
    pub name: ProductName,
    pub unit_price: Price,
    pub currency: Currency,
    pub description: Option<Description>,
    pub sku: Option<Sku>,
    pub tax_rate: Option<TaxRate>,
    pub kind: Kind,
    pub unit_of_measure: UnitOfMeasure,
}

impl ProductFields {
    /// `type` where a caller names none.
    pub const DEFAULT_KIND: &'static str = "SERVICES";
    /// `unitOfMeasure` where a caller names none.
    pub const DEFAULT_UNIT: &'static str = "unit";
}

/// The fields that somebody wants changed; a field that is not given stays.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ProductPatch {
    pub name: Option<ProductName>,
    pub unit_price: Option<Price>,
    pub currency: Option<Currency>,
    /// `Some(None)` is null, given.
    pub description: Option<Option<Description>>,
    pub sku: Option<Option<Sku>>,
    pub tax_rate: Option<Option<TaxRate>>,
    pub kind: Option<Kind>,
    pub unit_of_measure: Option<UnitOfMeasure>,
}

impl ProductPatch {
    pub fn apply(self, old: ProductFields) -> ProductFields {
        ProductFields {
            name: self.name.unwrap_or(old.name),
            unit_price: self.unit_price.unwrap_or(old.unit_price),
            currency: self.currency.unwrap_or(old.currency),
            description: self.description.unwrap_or(old.description),
            sku: self.sku.unwrap_or(old.sku),
            tax_rate: self.tax_rate.unwrap_or(old.tax_rate),
            kind: self.kind.unwrap_or(old.kind),
            unit_of_measure: self.unit_of_measure.unwrap_or(old.unit_of_measure),
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Product {
    pub id: ProductId,
    pub fields: ProductFields,
    pub status: Status,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
}

/// Which products a list holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum StatusFilter {
    #[default]
    Active,
    Archived,
    All,
}

impl StatusFilter {
    /// The one status it lets through; `None` for all.
    pub fn status(self) -> Option<Status> {
        match self {
            Self::Active => Some(Status::Active),
            Self::Archived => Some(Status::Archived),
            Self::All => None,
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "active" => Some(Self::Active),
            "archived" => Some(Self::Archived),
            "all" => Some(Self::All),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn currencies_are_iso_4217_in_either_case() {
        assert_eq!(Currency::parse("eur").unwrap().code(), "EUR");
        assert_eq!(Currency::parse("Jpy").unwrap().code(), "JPY");
        for text in ["", "EU", "EURO", "XYZ", " EUR", "978", "\u{212a}RW"] {
            assert_eq!(Currency::parse(text), Err(CurrencyError), "{text}");
        }
    }
}
