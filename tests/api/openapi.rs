//! The OpenAPI document: what client generators need beyond a valid document.

use std::collections::BTreeSet;

use keyhouse::web::openapi::document;
use keyhouse_domain::public_url::PublicUrl;
use serde_json::Value;

/// Calls `visit` with each value of the document and its JSON pointer.
fn walk(value: &Value, pointer: &str, visit: &mut impl FnMut(&str, &Value)) {
    visit(pointer, value);
    match value {
        Value::Object(members) => {
            for (name, value) in members {
                walk(value, &format!("{pointer}/{name}"), visit);
            }
        }
        Value::Array(items) => {
            for (n, value) in items.iter().enumerate() {
                walk(value, &format!("{pointer}/{n}"), visit);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

fn walk_document(mut visit: impl FnMut(&str, &Value)) {
    walk(&document(None), "", &mut visit);
}

/// PCRE, which PHP uses, has no `\u`: a generated model would refuse every text.
#[test]
fn patterns_are_portable() {
    let mut patterns = 0;
    walk_document(|pointer, value| {
        if pointer.ends_with("/pattern") {
            patterns += 1;
            let pattern = value.as_str().unwrap();
            assert!(
                !pattern.contains(r"\u") && !pattern.contains(r"\p") && !pattern.contains("(?"),
                "{pointer}: {pattern}"
            );
        }
    });
    assert!(patterns > 5);
}

/// Without a format, generators make 32-bit floats of prices and 32-bit integers of times.
#[test]
fn every_number_has_a_format() {
    walk_document(|pointer, value| {
        let types = match &value["type"] {
            Value::String(one) => vec![one.as_str()],
            Value::Array(several) => several.iter().filter_map(Value::as_str).collect(),
            _ => return,
        };
        let formats: &[&str] = match types[0] {
            "number" => &["double"],
            "integer" => &["int32", "int64"],
            _ => return,
        };
        assert!(formats.contains(&value["format"].as_str().unwrap_or_default()), "{pointer}: {value}");
    });
}

#[test]
fn ids_are_uuids_in_paths_and_in_responses() {
    let document = document(None);
    let mut paths = 0;
    for (path, item) in document["paths"].as_object().unwrap() {
        for operation in item.as_object().unwrap().values().filter(|_| path.contains("{id}")) {
            let id = operation["parameters"].as_array().unwrap().iter().find(|parameter| parameter["name"] == "id");
            assert_eq!(id.unwrap()["schema"]["format"], "uuid", "{path}");
            paths += 1;
        }
    }
    assert_eq!(paths, 4);
    assert_eq!(document["components"]["schemas"]["Product"]["properties"]["id"]["format"], "uuid");
}

/// A model that refuses an unknown property or value breaks on the first one that is added to a response.
#[test]
fn responses_are_open_and_requests_closed() {
    let document = document(None);
    for (name, schema) in document["components"]["schemas"].as_object().unwrap() {
        let is_request = ["ProductCreation", "ProductChange"].contains(&name.as_str());
        walk(schema, name, &mut |pointer, value| {
            if value["type"] == "object" {
                assert_eq!(value["additionalProperties"], !is_request, "{pointer}");
            }
        });
    }
    let error = &document["components"]["schemas"]["Error"]["properties"]["error"]["properties"];
    let currency = &document["components"]["schemas"]["Product"]["properties"]["currency"];
    for open in [&error["code"], &error["type"], currency] {
        assert!(open["enum"].is_null() && open["x-extensible-enum"].as_array().unwrap().len() > 3, "{open}");
    }
}

#[test]
fn every_component_is_used() {
    let (mut defined, mut used) = (BTreeSet::new(), BTreeSet::new());
    walk_document(|pointer, value| {
        let parts: Vec<_> = pointer.split('/').collect();
        if let ["", "components", kind @ ("schemas" | "headers"), name] = parts[..] {
            defined.insert(format!("#/components/{kind}/{name}"));
        }
        if let Some(reference) = value["$ref"].as_str() {
            used.insert(reference.to_owned());
        }
    });
    assert_eq!(defined, used);
}

#[test]
fn the_first_server_is_the_public_url() {
    let url = PublicUrl::parse("https://keys.example.com").unwrap();
    let with_url = document(Some(&url));
    assert_eq!((&with_url["servers"][0]["url"], &with_url["servers"][1]["url"]), (&url.as_str().into(), &"/".into()));
    assert_eq!(with_url["info"]["contact"]["url"], url.as_str());
    assert_eq!(document(None)["servers"][0]["url"], "/");
    for tag in with_url["tags"].as_array().unwrap() {
        assert!(!tag["description"].as_str().unwrap().is_empty(), "{tag}");
    }
}

/// Go names the constructor of `Product` `NewProduct`, so a schema of that name does not compile.
#[test]
fn no_schema_has_the_name_of_another_ones_constructor() {
    let document = document(None);
    let schemas = document["components"]["schemas"].as_object().unwrap();
    for name in schemas.keys() {
        assert!(!schemas.contains_key(&format!("New{name}")), "{name}");
    }
}
