//! A product's fields, from the text of a JSON object: every fault is found before any is told.

use std::collections::HashSet;

use serde_json::value::RawValue;

use super::super::error::{ApiError, ErrorCode, FieldFault};
use super::super::json::Object;
use keyhouse_domain::price::{Price, TaxRate};
use keyhouse_domain::product::{Currency, Kind, ProductFields, ProductPatch, UnitOfMeasure};
use keyhouse_domain::text::Text;

/// The fields that a caller may give.
const ORDER: [&str; 8] = ["name", "unitPrice", "currency", "description", "sku", "taxRate", "type", "unitOfMeasure"];

/// Unknown fields that are named, so that an answer is never much longer than what was asked.
const UNKNOWN_MAX: usize = 20;

/// What an object says of one field.
enum Given<T> {
    Absent,
    Null,
    Value(T),
    /// Already among the faults.
    Faulty,
}

/// An object whose fields are taken one by one; whatever is left at the end is unknown.
struct Reader {
    members: Vec<(String, Box<RawValue>)>,
    faults: Vec<FieldFault>,
}

/// The fields of a new product, defaults filled in.
pub(crate) fn new_product(object: Object) -> Result<ProductFields, ApiError> {
    let mut reader = Reader { members: object.0, faults: Vec::new() };
    let name = reader.text("name");
    let name = reader.required("name", name);
    let unit_price = reader.read("unitPrice", price);
    let unit_price = reader.required("unitPrice", unit_price);
    let currency = reader.read("currency", currency);
    let currency = reader.required("currency", currency);
    let description = reader.text("description").or_null();
    let sku = reader.text("sku").or_null();
    let tax_rate = reader.read("taxRate", tax_rate).or_null();
    let kind = reader.text("type").or_default(|| Kind::parse(ProductFields::DEFAULT_KIND.to_owned()));
    let kind = reader.required("type", kind);
    let unit = reader.text("unitOfMeasure").or_default(|| UnitOfMeasure::parse(ProductFields::DEFAULT_UNIT.to_owned()));
    let unit = reader.required("unitOfMeasure", unit);
    reader.finish()?;
    // No fault was found, so nothing is missing.
    let all = || {
        Some(ProductFields {
            name: name?,
            unit_price: unit_price?,
            currency: currency?,
            description: description?,
            sku: sku?,
            tax_rate: tax_rate?,
            kind: kind?,
            unit_of_measure: unit?,
        })
    };
    all().ok_or_else(|| {
        ApiError::new(ErrorCode::InternalError).with_source("a field without a value and without a fault")
    })
}

/// The fields of a change: only those that are given.
pub(crate) fn product_patch(object: Object) -> Result<ProductPatch, ApiError> {
    let mut reader = Reader { members: object.0, faults: Vec::new() };
    let name = reader.text("name");
    let unit_price = reader.read("unitPrice", price);
    let currency = reader.read("currency", currency);
    let description = reader.text("description");
    let sku = reader.text("sku");
    let tax_rate = reader.read("taxRate", tax_rate);
    let kind = reader.text("type");
    let unit = reader.text("unitOfMeasure");
    let patch = ProductPatch {
        name: reader.if_given("name", name),
        unit_price: reader.if_given("unitPrice", unit_price),
        currency: reader.if_given("currency", currency),
        description: description.given_or_null(),
        sku: sku.given_or_null(),
        tax_rate: tax_rate.given_or_null(),
        kind: reader.if_given("type", kind),
        unit_of_measure: reader.if_given("unitOfMeasure", unit),
    };
    reader.finish()?;
    Ok(patch)
}

impl<T> Given<T> {
    /// For a field that may be null, and is where it is absent.
    fn or_null(self) -> Option<Option<T>> {
        match self {
            Self::Absent | Self::Null => Some(None),
            Self::Value(value) => Some(Some(value)),
            Self::Faulty => None,
        }
    }

    /// For a change of a field that may be null: absent is no change.
    fn given_or_null(self) -> Option<Option<T>> {
        match self {
            Self::Absent | Self::Faulty => None,
            Self::Null => Some(None),
            Self::Value(value) => Some(Some(value)),
        }
    }

    fn or_default<E>(self, default: impl FnOnce() -> Result<T, E>) -> Self {
        match self {
            Self::Absent => default().map_or(Self::Absent, Self::Value),
            given => given,
        }
    }
}

impl Reader {
    fn fault(&mut self, field: &str, message: impl Into<String>) {
        self.faults.push(FieldFault { field: field.to_owned(), message: message.into() });
    }

    fn read<T>(&mut self, field: &str, parse: impl FnOnce(&RawValue) -> Result<T, String>) -> Given<T> {
        let Some(place) = self.members.iter().position(|(name, _)| name == field) else { return Given::Absent };
        let (_, value) = self.members.remove(place);
        let before = self.members.len();
        self.members.retain(|(name, _)| name != field);
        if self.members.len() < before {
            self.fault(field, "must be given once");
            return Given::Faulty;
        }
        if value.get() == "null" {
            return Given::Null;
        }
        match parse(&value) {
            Ok(value) => Given::Value(value),
            Err(message) => {
                self.fault(field, message);
                Given::Faulty
            }
        }
    }

    fn text<const MIN: usize, const MAX: usize>(&mut self, field: &str) -> Given<Text<MIN, MAX>> {
        self.read(field, |value| Text::parse(string(value)?).map_err(|error| error.to_string()))
    }

    fn required<T>(&mut self, field: &str, given: Given<T>) -> Option<T> {
        match given {
            Given::Value(value) => return Some(value),
            Given::Absent => self.fault(field, "is required"),
            Given::Null => self.fault(field, "must not be null"),
            Given::Faulty => {}
        }
        None
    }

    /// For a change of a field that may not be null: absent is no change.
    fn if_given<T>(&mut self, field: &str, given: Given<T>) -> Option<T> {
        match given {
            Given::Absent => None,
            given => self.required(field, given),
        }
    }

    /// Unknown members are faults as well, the first of them named, each once.
    fn finish(mut self) -> Result<(), ApiError> {
        let mut unknown = HashSet::new();
        for (name, _) in std::mem::take(&mut self.members) {
            if unknown.len() < UNKNOWN_MAX && unknown.insert(name.clone()) {
                self.fault(&name, "is not a field of a product");
            }
        }
        // In the order of the documentation, however they were found.
        self.faults.sort_by_key(|fault| ORDER.iter().position(|field| *field == fault.field).unwrap_or(ORDER.len()));
        if self.faults.is_empty() { Ok(()) } else { Err(ApiError::fields(self.faults)) }
    }
}

/// A JSON string that is real Unicode: a lone surrogate has no meaning and no place in a database.
fn string(value: &RawValue) -> Result<String, String> {
    if !value.get().starts_with('"') {
        return Err("must be a string".to_owned());
    }
    serde_json::from_str(value.get()).map_err(|_| "must be valid Unicode text".to_owned())
}

fn price(value: &RawValue) -> Result<Price, String> {
    Price::parse(value.get()).map_err(|error| error.to_string())
}

fn tax_rate(value: &RawValue) -> Result<TaxRate, String> {
    TaxRate::parse(value.get()).map_err(|error| error.to_string())
}

fn currency(value: &RawValue) -> Result<Currency, String> {
    Currency::parse(&string(value)?).map_err(|error| error.to_string())
}
