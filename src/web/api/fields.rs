//! Reads a product's fields from a JSON object, guided by the domain's list of fields.
//!
//! All errors of a body are collected, so that a client can correct them in one go.

use std::collections::HashSet;

use keyhouse_domain::field::FieldInput;
use keyhouse_domain::product::{FIELDS, ProductFields, ProductPatch};
use serde_json::value::RawValue;

use super::super::error::{ApiError, ErrorCode, ErrorDetail};
use super::super::json::RawObject;

/// Unknown fields that are named in an error, so that its length is bounded by our list and not by the request.
pub(in crate::web) const UNKNOWN_MAX: usize = 20;

/// What an object holds under one field's name.
enum Member {
    Absent,
    Once(Box<RawValue>),
    Repeated,
}

/// The fields of a new product, absent ones filled with their defaults.
///
/// # Errors
///
/// `validation_failed` with every unknown, repeated, missing or invalid field.
pub(crate) fn new_product(object: RawObject) -> Result<ProductFields, ApiError> {
    let patch = read(object, WhenAbsent::Default)?;
    ProductFields::new(patch).map_err(|error| ApiError::new(ErrorCode::InternalError).with_source(error))
}

/// The fields of a change: only those that are given.
///
/// # Errors
///
/// `validation_failed` with every unknown, repeated or invalid field.
pub(crate) fn product_patch(object: RawObject) -> Result<ProductPatch, ApiError> {
    read(object, WhenAbsent::Unchanged)
}

/// What becomes of a field that the object does not have.
#[derive(Clone, Copy, PartialEq, Eq)]
enum WhenAbsent {
    Default,
    Unchanged,
}

fn read(object: RawObject, absent: WhenAbsent) -> Result<ProductPatch, ApiError> {
    let mut members = FIELDS.iter().map(|_| Member::Absent).collect::<Vec<_>>();
    let mut unknown = Vec::new();
    for (name, value) in object.0 {
        match FIELDS.iter().position(|spec| spec.name == name) {
            None => unknown.push(name),
            Some(place) => {
                members[place] = match members[place] {
                    Member::Absent => Member::Once(value),
                    Member::Once(_) | Member::Repeated => Member::Repeated,
                };
            }
        }
    }
    let mut patch = ProductPatch::default();
    let mut details = Vec::new();
    for (spec, member) in FIELDS.iter().zip(&members) {
        let result = match member {
            Member::Once(value) => spec.read(&mut patch, input(value)),
            Member::Absent if absent == WhenAbsent::Default => spec.read_default(&mut patch),
            Member::Absent => Ok(()),
            Member::Repeated => {
                details.push(ErrorDetail::new(spec.name, "must be given once"));
                Ok(())
            }
        };
        if let Err(error) = result {
            details.push(ErrorDetail::new(spec.name, error.to_string()));
        }
    }
    let mut named = HashSet::new();
    for name in &unknown {
        if named.len() < UNKNOWN_MAX && named.insert(name) {
            details.push(ErrorDetail::new(name, "is not a field of a product"));
        }
    }
    if details.is_empty() { Ok(patch) } else { Err(ApiError::fields(details)) }
}

/// Classifies a JSON value by its first byte; the parser has already checked its grammar.
fn input(value: &RawValue) -> FieldInput<'_> {
    let text = value.get();
    match text.as_bytes()[0] {
        // An escape may name a lone surrogate, which is no Unicode text and can't be stored.
        b'"' => serde_json::from_str(text).map_or(FieldInput::InvalidText, FieldInput::Text),
        b'-' | b'0'..=b'9' => FieldInput::Number(text),
        b'n' => FieldInput::Null,
        _ => FieldInput::Other,
    }
}
