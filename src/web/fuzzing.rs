//! What reads strangers' bytes, for the fuzz targets under `fuzz/`. Only with the feature `testing`.

use std::net::IpAddr;

use axum::http::{HeaderMap, HeaderValue, header};

use super::api::fields;
use super::extract;
use super::json::Object;
use super::middleware::{authenticate, client_ip};
use keyhouse_domain::product::{ProductFields, ProductPatch};
use keyhouse_token::Brand;

fn headers(name: &'static str, lines: &[&[u8]]) -> Option<HeaderMap> {
    let mut headers = HeaderMap::new();
    for line in lines {
        headers.append(name, HeaderValue::from_bytes(line).ok()?);
    }
    Some(headers)
}

/// The token of these Authorization headers, if there is a good one.
pub fn authorization(lines: &[&[u8]]) -> Option<String> {
    let headers = headers(header::AUTHORIZATION.as_str(), lines)?;
    let token = authenticate::token_in(&headers, &header::AUTHORIZATION, &Brand::parse("pk").ok()?).ok()?;
    Some(token.expose().to_owned())
}

pub fn new_product(bytes: &[u8]) -> Option<ProductFields> {
    fields::new_product(Object::parse(bytes).ok()?).ok()
}

pub fn product_patch(bytes: &[u8]) -> Option<ProductPatch> {
    fields::product_patch(Object::parse(bytes).ok()?).ok()
}

/// Reads a query string for all that the list knows.
pub fn query(text: &str) {
    let query = extract::Query::from_text(text);
    for name in ["status", "limit", "after"] {
        let _judged = query.get(name);
    }
}

/// The client behind `peer`, if 10.0.0.0/8 are the listed proxies.
pub fn client(peer: IpAddr, lines: &[&[u8]]) -> IpAddr {
    let proxies = ["10.0.0.0/8".parse().expect("a network")];
    headers("x-forwarded-for", lines).map_or(peer, |headers| client_ip::address(peer, &headers, &proxies).0)
}
