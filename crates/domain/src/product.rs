//! A product of a team's catalog, and the list of its fields.

use super::currency::Currency;
use super::field::{Control, Field, FieldError, FieldInput, FieldType, FieldValue, Presence};
use super::ids::ProductId;
use super::price::{Price, TaxRate};
use super::text::Text;
use super::timestamp::Timestamp;

/// The name.
pub type ProductName = Text<1, 255>;
/// The description.
pub type Description = Text<0, 2000>;
/// Unique within team and mode, archived products included, compared byte by byte.
pub type Sku = Text<1, 100>;
/// The product's type, in the client's own words. `type` is a keyword of Rust.
pub type Kind = Text<1, 50>;
/// The unit that the price is for, such as `hour`.
pub type UnitOfMeasure = Text<1, 50>;

/// A field of a product that clients write.
#[derive(Debug, Clone, Copy)]
pub struct FieldSpec {
    /// Name in JSON and in the dashboard's form.
    pub name: &'static str,
    /// Label in the form.
    pub label: &'static str,
    /// What an absent field means on creation.
    pub presence: Presence,
    /// JSON text of a typical value.
    pub example: &'static str,
    /// What the type and its limits do not say; empty if they say everything.
    pub note: &'static str,
    /// Help text of the form; may be empty.
    pub hint: &'static str,
    /// The form control.
    pub control: Control,
    /// What the field may hold.
    pub value_type: FieldType,
    read: fn(&mut ProductPatch, FieldInput<'_>) -> Result<(), FieldError>,
    value: fn(&ProductFields) -> FieldValue<'_>,
}

/// A required field that is absent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0} is required")]
pub struct MissingField(&'static str);

/// What most rows of the table leave out.
const DEFAULTS: FieldSpec = FieldSpec {
    name: "",
    label: "",
    presence: Presence::Required,
    example: "null",
    note: "",
    hint: "",
    control: Control::Line,
    value_type: FieldType::Currency,
    read: |_, _| Ok(()),
    value: |_| FieldValue::Null,
};

/// Generates [`ProductFields`], [`ProductPatch`] and [`FIELDS`] from one list, so that a new field is one new row.
macro_rules! product_fields {
    ($($field:ident: $Type:ty = $name:literal { $($key:ident: $value:expr),* $(,)? })*) => {
        /// What clients write of a product: everything but its id, its status and its times.
        #[derive(Debug, Clone, PartialEq, Eq)]
        pub struct ProductFields {
            $(
                #[doc = concat!("The field `", $name, "`.")]
                pub $field: $Type,
            )*
        }

        /// New values of some fields; `None` leaves a field as it is.
        #[derive(Debug, Clone, Default, PartialEq, Eq)]
        pub struct ProductPatch {
            $(
                #[doc = concat!("A new value of the field `", $name, "`.")]
                pub $field: Option<$Type>,
            )*
        }

        impl ProductPatch {
            /// The fields after the change.
            pub fn apply(self, old: ProductFields) -> ProductFields {
                ProductFields { $($field: self.$field.unwrap_or(old.$field),)* }
            }

            /// This patch, and `other` where this one leaves a field as it is.
            fn or(self, other: Self) -> Self {
                Self { $($field: self.$field.or(other.$field),)* }
            }

            fn complete(self) -> Result<ProductFields, MissingField> {
                Ok(ProductFields { $($field: self.$field.ok_or(MissingField($name))?,)* })
            }
        }

        /// The fields that clients write, in the order of the documentation. The JSON reader, the OpenAPI document, the
        /// dashboard's form and the guide are made from this list or tested against it.
        pub const FIELDS: &[FieldSpec] = &[$(
            FieldSpec {
                name: $name,
                value_type: <$Type as Field>::TYPE,
                read: |patch, input| {
                    patch.$field = Some(Field::read(input)?);
                    Ok(())
                },
                value: |fields| Field::value(&fields.$field),
                $($key: $value,)*
                ..DEFAULTS
            },
        )*];
    };
}

product_fields! {
    name: ProductName = "name" {
        label: "Name",
        example: r#""Cup anemometer""#,
    }
    unit_price: Price = "unitPrice" {
        label: "Unit price",
        example: "249.5",
        note: "exact: more decimal places are refused, not rounded",
        hint: "Up to 4 decimal places",
        control: Control::Half,
    }
    currency: Currency = "currency" {
        label: "Currency",
        example: r#""EUR""#,
        note: "lowercase is accepted; responses use uppercase",
        hint: "Three letters: EUR, USD",
        control: Control::Half,
    }
    description: Option<Description> = "description" {
        label: "Description",
        presence: Presence::Nullable,
        example: r#""Three-cup rotor""#,
        control: Control::Lines,
    }
    sku: Option<Sku> = "sku" {
        label: "SKU",
        presence: Presence::Nullable,
        example: r#""ANE-100""#,
        note: "unique within a team and mode, including archived products; case-sensitive",
        control: Control::HalfCode,
    }
    tax_rate: Option<TaxRate> = "taxRate" {
        label: "Tax rate, %",
        presence: Presence::Nullable,
        example: "19",
        note: "in percent",
        control: Control::Half,
    }
    kind: Kind = "type" {
        label: "Type",
        presence: Presence::Default("SERVICES"),
        example: r#""GOODS""#,
        note: "any text",
        control: Control::Half,
    }
    unit_of_measure: UnitOfMeasure = "unitOfMeasure" {
        label: "Unit of measure",
        presence: Presence::Default("unit"),
        example: r#""piece""#,
        control: Control::Half,
    }
}

impl FieldSpec {
    /// Reads a value into a patch.
    ///
    /// # Errors
    ///
    /// [`FieldError`] if the field can't hold the value; the patch is then unchanged.
    pub fn read(&self, patch: &mut ProductPatch, input: FieldInput<'_>) -> Result<(), FieldError> {
        (self.read)(patch, input)
    }

    /// Reads what an absent field stands for when a product is created.
    ///
    /// # Errors
    ///
    /// [`FieldError::Missing`] if the field is required.
    pub fn read_default(&self, patch: &mut ProductPatch) -> Result<(), FieldError> {
        match self.presence {
            Presence::Required => Err(FieldError::Missing),
            Presence::Nullable => self.read(patch, FieldInput::Null),
            Presence::Default(text) => self.read(patch, self.value_type.input(text)),
        }
    }

    /// The field's value, to show.
    pub fn value<'a>(&self, fields: &'a ProductFields) -> FieldValue<'a> {
        (self.value)(fields)
    }

    /// Whether `null` is a value of the field.
    pub fn is_nullable(&self) -> bool {
        self.presence == Presence::Nullable
    }

    /// Type, limits and note in words.
    pub fn description(&self) -> String {
        let null = if self.is_nullable() { ", or null" } else { "" };
        let separator = if self.note.is_empty() { "" } else { "; " };
        format!("{}{null}{separator}{}", self.value_type.limits(), self.note)
    }
}

impl ProductFields {
    /// The fields of a new product, absent ones filled with their defaults.
    ///
    /// # Errors
    ///
    /// [`MissingField`] if a required field is absent.
    pub fn new(given: ProductPatch) -> Result<Self, MissingField> {
        let mut defaults = ProductPatch::default();
        for spec in FIELDS {
            // A required field has no default: if it is absent, `complete` reports it.
            let _required = spec.read_default(&mut defaults);
        }
        given.or(defaults).complete()
    }
}

/// Whether a product is offered. Archived products stay readable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// Offered.
    Active,
    /// Hidden from the default list; can be restored.
    Archived,
}

impl Status {
    /// Both statuses.
    pub const ALL: [Self; 2] = [Self::Active, Self::Archived];

    /// The name in JSON, in queries and in the database.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Archived => "archived",
        }
    }

    /// Reads the name of [`Status::as_str`].
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.as_str() == text)
    }
}

/// A product.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Product {
    /// Its id, which also orders the list: newer ids are greater.
    pub id: ProductId,
    /// What clients write.
    pub fields: ProductFields,
    /// Whether it is offered.
    pub status: Status,
    /// When it was created.
    pub created_at: Timestamp,
    /// When a field or the status last changed.
    pub updated_at: Timestamp,
}

/// Which products a list holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum StatusFilter {
    /// Active products.
    #[default]
    Active,
    /// Archived products.
    Archived,
    /// All products.
    All,
}

impl StatusFilter {
    /// Every filter.
    pub const ALL: [Self; 3] = [Self::Active, Self::Archived, Self::All];

    /// The status of the listed products; `None` for products of every status.
    pub fn status(self) -> Option<Status> {
        match self {
            Self::Active => Some(Status::Active),
            Self::Archived => Some(Status::Archived),
            Self::All => None,
        }
    }

    /// The name in queries.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Active => Status::Active.as_str(),
            Self::Archived => Status::Archived.as_str(),
            Self::All => "all",
        }
    }

    /// Reads the name of [`StatusFilter::as_str`].
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|filter| filter.as_str() == text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_of_the_field_table_agrees_with_its_type() {
        for spec in FIELDS {
            let mut patch = ProductPatch::default();
            let null = spec.read(&mut patch, FieldInput::Null);
            assert_eq!(null.is_ok(), spec.is_nullable(), "{}", spec.name);
            let default = spec.read_default(&mut patch);
            assert_eq!(default.is_ok(), spec.presence != Presence::Required, "{}", spec.name);
            let example = spec.example.trim_matches('"');
            assert_eq!(spec.read(&mut patch, spec.value_type.input(example)), Ok(()), "{}", spec.name);
        }
    }

    #[test]
    fn a_new_product_needs_its_required_fields_alone() {
        let given = ProductPatch {
            name: ProductName::parse("Vane".into()).ok(),
            unit_price: Price::parse("1.5").ok(),
            currency: Currency::parse("EUR").ok(),
            ..ProductPatch::default()
        };
        let fields = ProductFields::new(given.clone()).unwrap();
        let shown: Vec<_> = FIELDS.iter().map(|spec| spec.value(&fields).as_text().to_owned()).collect();
        assert_eq!(shown, ["Vane", "1.5", "EUR", "", "", "", "SERVICES", "unit"]);
        let without_currency = ProductPatch { currency: None, ..given };
        assert_eq!(ProductFields::new(without_currency), Err(MissingField("currency")));
    }
}
