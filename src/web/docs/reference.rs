//! The API reference: one section for each operation, from the same description as `openapi.json`.

use std::sync::LazyLock;

use pulldown_cmark::{Parser, html};
use serde_json::{Map, Value, json};

use super::article::{Section, tabbed};
use super::snippets::{Call, Language, highlight};
use crate::web::api::operations::{COMMON_ERRORS, Operation, operations};
use crate::web::openapi;

/// A parameter, or a field of the body.
pub(super) struct Field {
    pub name: String,
    /// `path`, `query`, `header` or `body`.
    pub place: &'static str,
    pub kind: String,
    pub required: bool,
    /// HTML.
    pub text: String,
    /// The values it can have, where they are few.
    pub choices: Vec<String>,
    pub default: String,
}

/// An operation as the page shows it.
pub(super) struct Entry {
    pub id: &'static str,
    pub summary: &'static str,
    pub method: &'static str,
    pub class: String,
    pub path: &'static str,
    pub needs_write: bool,
    /// HTML.
    pub description: String,
    pub parameters: Vec<Field>,
    pub body: Vec<Field>,
    /// The body that *Try it* starts with; empty for none.
    pub sample: String,
    pub success: u16,
    /// What a successful response is.
    pub answer: &'static str,
    /// HTML of the body of a successful response.
    pub response: String,
    /// Status and codes of the errors.
    pub errors: Vec<(u16, Vec<&'static str>)>,
    call: Call,
}

impl Entry {
    /// The example request with a tab for each language.
    pub(super) fn example(&self, language: Language) -> String {
        tabbed(&self.call, language, &format!("example-{}", self.id))
    }
}

static DOCUMENT: LazyLock<Value> = LazyLock::new(|| openapi::document(None));

pub(super) static ENTRIES: LazyLock<Vec<Entry>> = LazyLock::new(|| operations().into_iter().map(entry).collect());

/// The errors of every operation, once for the page.
pub(super) static COMMON: LazyLock<Vec<(u16, Vec<&'static str>)>> = LazyLock::new(|| by_status(COMMON_ERRORS));

/// The operations for the search.
pub(super) static SECTIONS: LazyLock<Vec<Section>> = LazyLock::new(|| {
    let section = |operation: Operation| Section {
        anchor: operation.id.to_owned(),
        heading: operation.summary.to_owned(),
        text: format!("{} {} {}", operation.method, operation.path, operation.description),
    };
    operations().into_iter().map(section).collect()
});

fn by_status(codes: &[crate::web::error::ErrorCode]) -> Vec<(u16, Vec<&'static str>)> {
    let mut all: std::collections::BTreeMap<u16, Vec<&'static str>> = std::collections::BTreeMap::new();
    for code in codes {
        all.entry(code.status()).or_default().push(code.code());
    }
    all.into_iter().collect()
}

fn entry(operation: Operation) -> Entry {
    let described = &DOCUMENT["paths"][operation.path][operation.method.to_lowercase()];
    let parameters = described["parameters"].as_array().map(Vec::as_slice).unwrap_or_default();
    let parameters = parameters.iter().map(|parameter| {
        let place = ["path", "query", "header"].into_iter().find(|place| parameter["in"] == *place);
        field(
            parameter["name"].as_str().unwrap_or_default(),
            place.unwrap_or("query"),
            &parameter["schema"],
            parameter["required"] == true,
            parameter["description"].as_str().unwrap_or_default(),
        )
    });
    let schema = operation.body.map(|name| &DOCUMENT["components"]["schemas"][name]);
    let body = schema.map_or_else(Vec::new, |schema| {
        let required = |name: &str| schema["required"].as_array().is_some_and(|names| names.iter().any(|n| n == name));
        let properties = schema["properties"].as_object().into_iter().flatten();
        properties
            .map(|(name, schema)| {
                let schema = resolved(schema);
                let text = schema["description"].as_str().unwrap_or_default();
                field(name, "body", schema, required(name), text)
            })
            .collect()
    });
    let sample = match operation.body {
        Some("ProductCreation") => r#"{"name": "Cup anemometer", "unitPrice": 249.5, "currency": "EUR"}"#.to_owned(),
        Some(_) => r#"{"unitPrice": 259}"#.to_owned(),
        None => String::new(),
    };
    let (success, schema) = operation.success;
    let answer = operation.answer();
    Entry {
        id: operation.id,
        summary: operation.summary,
        method: operation.method,
        class: operation.method.to_lowercase(),
        path: operation.path,
        needs_write: operation.method != "GET",
        description: inline(operation.description),
        parameters: parameters.collect(),
        body,
        success,
        answer,
        response: highlight(&format!("{:#}\n", sample_of(&DOCUMENT["components"]["schemas"][schema]))),
        errors: by_status(operation.errors),
        call: call(&operation, &sample),
        sample,
    }
}

fn call(operation: &Operation, sample: &str) -> Call {
    let query = if operation.query.is_empty() { "" } else { "?limit=2" };
    let mut headers = vec![("Authorization".to_owned(), "Bearer $TOKEN".to_owned())];
    if !sample.is_empty() {
        headers.push(("Content-Type".to_owned(), "application/json".to_owned()));
    }
    Call {
        method: operation.method.to_owned(),
        url: format!("$KEYHOUSE_URL{}{query}", operation.path.replace("{id}", "$ID")),
        headers,
        body: (!sample.is_empty()).then(|| sample.to_owned()),
    }
}

fn field(name: &str, place: &'static str, schema: &Value, required: bool, text: &str) -> Field {
    let kind = match &schema["type"] {
        Value::Array(kinds) => kinds.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(" or "),
        kind => kind.as_str().unwrap_or("string").to_owned(),
    };
    let choices: Vec<String> =
        schema["enum"].as_array().into_iter().flatten().filter_map(|v| v.as_str().map(str::to_owned)).collect();
    let number = |name: &str| schema[name].as_f64().map(|n| n.to_string());
    let mut facts = Vec::new();
    // The descriptions of the body's fields have their limits.
    let has_limits = place == "body";
    match (number("minLength"), number("maxLength")) {
        _ if has_limits => {}
        (Some(min), Some(max)) => facts.push(format!("{min} to {max} characters.")),
        (None, Some(max)) => facts.push(format!("At most {max} characters.")),
        _ => {}
    }
    if let (false, Some(min), Some(max)) = (has_limits, number("minimum"), number("maximum")) {
        facts.push(format!("{min} to {max}."));
    }
    if !choices.is_empty() && choices.len() < 10 {
        facts.push(format!("One of {}.", choices.iter().map(|c| format!("`{c}`")).collect::<Vec<_>>().join(", ")));
    }
    facts.push(sentence(text));
    let default = match &schema["default"] {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    if !default.is_empty() {
        facts.push(format!("Default: `{default}`."));
    }
    let text = facts.into_iter().filter(|fact| !fact.is_empty()).collect::<Vec<_>>().join(" ");
    let choices = if choices.len() < 10 { choices } else { Vec::new() };
    Field { name: name.to_owned(), place, kind, required, text: inline(&text), choices, default }
}

/// A text with a capital letter at its beginning and a period at its end; empty if it is empty.
fn sentence(text: &str) -> String {
    let mut chars = text.chars();
    let Some(first) = chars.next() else { return String::new() };
    let period = if text.ends_with('.') { "" } else { "." };
    first.to_uppercase().chain(chars).chain(period.chars()).collect()
}

/// One paragraph of Markdown as HTML without the paragraph.
fn inline(markdown: &str) -> String {
    let mut out = String::new();
    html::push_html(&mut out, Parser::new(markdown));
    out.trim().trim_start_matches("<p>").trim_end_matches("</p>").to_owned()
}

fn resolved(schema: &Value) -> &Value {
    match schema["$ref"].as_str().and_then(|reference| reference.strip_prefix('#')) {
        Some(pointer) => DOCUMENT.pointer(pointer).unwrap_or(schema),
        None => schema,
    }
}

/// A value that fits the schema, from its examples.
fn sample_of(schema: &Value) -> Value {
    let schema = resolved(schema);
    if let Some(example) = schema["examples"].get(0) {
        return example.clone();
    }
    if let Some(properties) = schema["properties"].as_object() {
        return properties.iter().map(|(name, schema)| (name.clone(), sample_of(schema))).collect::<Map<_, _>>().into();
    }
    if schema["type"] == "array" {
        return json!([sample_of(&schema["items"])]);
    }
    if let Some(first) = schema["enum"].get(0) {
        return first.clone();
    }
    match schema["type"].as_str() {
        Some("boolean") => json!(false),
        Some("string") if schema["pattern"].as_str().is_some_and(|pattern| pattern.starts_with("^key_")) => {
            json!("key_01kav9ft0028t5cy4tqkff04hm")
        }
        Some("string") if schema["format"] == "date-time" => json!("2026-11-24T09:30:00.000Z"),
        Some("string") => json!("pk_test_AbC"),
        _ => Value::Null,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_operation_has_an_entry_with_a_response() {
        assert_eq!(ENTRIES.len(), operations().len());
        for entry in ENTRIES.iter() {
            assert!(entry.response.contains("data"), "{}", entry.id);
            assert!(entry.example(Language::Go).contains("http.NewRequest"), "{}", entry.id);
        }
        let create = ENTRIES.iter().find(|entry| entry.id == "createProduct").unwrap();
        let required: Vec<_> = create.body.iter().filter(|field| field.required).map(|field| &field.name).collect();
        assert_eq!(required, ["name", "unitPrice", "currency"]);
    }

    #[test]
    fn the_text_of_a_field_is_sentences_that_have_its_limits_once() {
        let entry = |id: &str| ENTRIES.iter().find(|entry| entry.id == id).unwrap();
        let text = |fields: &[Field], name: &str| fields.iter().find(|field| field.name == name).unwrap().text.clone();
        let create = entry("createProduct");
        assert_eq!(text(&create.body, "name"), "1 to 255 characters.");
        assert!(text(&create.body, "unitPrice").starts_with("A number from 0 to 999999999.9999"), "capitalized");
        assert!(text(&entry("listProducts").parameters, "limit").starts_with("1 to 100. Maximum number of products"));
    }
}
