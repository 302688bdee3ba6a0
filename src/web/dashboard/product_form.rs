//! The form of a product: its inputs are the domain's list of fields.

use std::collections::HashMap;

use serde::Deserialize;

use super::forms::FieldErrors;
use keyhouse_domain::field::{Control, FieldError, FieldType, Presence};
use keyhouse_domain::product::{FIELDS, FieldSpec, ProductFields, ProductPatch};

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct ProductForm {
    /// `updatedAt` of the product that the form was opened with, in milliseconds.
    pub version: String,
    /// `archive` or `restore`; empty to save the fields.
    #[serde(rename = "do")]
    pub action: String,
    /// What the inputs hold, by the fields' names.
    #[serde(flatten)]
    values: HashMap<String, String>,
}

impl ProductForm {
    pub(super) fn of(fields: &ProductFields) -> Self {
        let values =
            FIELDS.iter().map(|spec| (spec.name.to_owned(), spec.value(fields).as_text().to_owned())).collect();
        Self { values, ..Self::default() }
    }

    /// The fields, or `None` and what is wrong with them. An empty input is an absent field.
    pub(super) fn validate(&self, errors: &mut FieldErrors) -> Option<ProductFields> {
        let mut patch = ProductPatch::default();
        for spec in FIELDS {
            // Browsers send line ends as CRLF.
            let value = self.value(spec).replace("\r\n", "\n");
            let text = if spec.control == Control::Lines { value.as_str() } else { value.trim() };
            let result = if value.trim().is_empty() {
                spec.read_default(&mut patch)
            } else {
                spec.read(&mut patch, spec.value_type.input(text))
            };
            // The error's text is about JSON; a person left an input empty.
            let result = result.map_err(|error| match error {
                FieldError::Missing => format!("Enter a {}", spec.label.to_lowercase()),
                error => error.to_string(),
            });
            errors.check(spec.name, result);
        }
        // A missing field is among the errors already.
        ProductFields::new(patch).ok().filter(|_| errors.is_empty())
    }

    /// The inputs by rows of the form: two neighbours of half its width share one.
    pub(super) fn rows(&self) -> Vec<Vec<Input<'_>>> {
        let is_half = |spec: &FieldSpec| match spec.control {
            Control::Half | Control::HalfCode => true,
            Control::Line | Control::Lines => false,
        };
        let mut rows = Vec::new();
        let mut rest = FIELDS;
        while !rest.is_empty() {
            let width = if rest.len() > 1 && rest[..2].iter().all(is_half) { 2 } else { 1 };
            let (row, others) = rest.split_at(width);
            rows.push(row.iter().map(|spec| Input { spec, value: self.value(spec) }).collect());
            rest = others;
        }
        rows
    }

    fn value(&self, spec: &FieldSpec) -> &str {
        self.values.get(spec.name).map_or("", String::as_str)
    }
}

/// An input of the form and what it holds.
pub(super) struct Input<'a> {
    pub(super) spec: &'static FieldSpec,
    pub(super) value: &'a str,
}

impl Input<'_> {
    pub(super) fn is_number(&self) -> bool {
        matches!(self.spec.value_type, FieldType::Decimal { .. })
    }

    pub(super) fn is_code(&self) -> bool {
        self.spec.control == Control::HalfCode
    }

    pub(super) fn is_multiline(&self) -> bool {
        self.spec.control == Control::Lines
    }

    pub(super) fn is_required(&self) -> bool {
        self.spec.presence == Presence::Required
    }

    /// What an empty input stands for, shown in its place.
    pub(super) fn placeholder(&self) -> &'static str {
        match self.spec.presence {
            Presence::Default(text) => text,
            Presence::Required | Presence::Nullable => "",
        }
    }

    /// The id of the hint; empty if there is none.
    pub(super) fn hint_id(&self) -> String {
        if self.spec.hint.is_empty() { String::new() } else { format!("{}-hint", self.spec.name) }
    }
}
