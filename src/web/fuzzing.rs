//! Entry points for the fuzz targets under `fuzz/`: the parsers of untrusted bytes. Only with the feature `testing`.

use std::net::IpAddr;

use axum::http::{HeaderMap, HeaderValue, header};

use super::api::fields;
use super::api::operations::QueryParameter;
use super::extract;
use super::json::RawObject;
use super::middleware::{authenticate, client_ip};
use keyhouse_domain::product::{ProductFields, ProductPatch};
use keyhouse_token::{Brand, RawToken};

fn headers(name: &'static str, lines: &[&[u8]]) -> Option<HeaderMap> {
    let mut headers = HeaderMap::new();
    for line in lines {
        headers.append(name, HeaderValue::from_bytes(line).ok()?);
    }
    Some(headers)
}

/// The token of these Authorization headers; `None` if they hold no well-formed one.
pub fn authorization(lines: &[&[u8]]) -> Option<String> {
    let headers = headers(header::AUTHORIZATION.as_str(), lines)?;
    let credential = authenticate::credential_in(&headers, &header::AUTHORIZATION).ok()?;
    let token = RawToken::parse(credential, &Brand::parse("pk").ok()?).ok()?;
    Some(token.expose().to_owned())
}

pub fn new_product(bytes: &[u8]) -> Option<ProductFields> {
    fields::new_product(RawObject::parse(bytes).ok()?).ok()
}

pub fn product_patch(bytes: &[u8]) -> Option<ProductPatch> {
    fields::product_patch(RawObject::parse(bytes).ok()?).ok()
}

/// Reads a query string for the parameters of `GET /api/v1/products`.
pub fn query(text: &str) {
    let query = extract::Query::from_text(text);
    for parameter in QueryParameter::ALL {
        let _parsed = query.get(parameter.name());
    }
}

/// The client's address behind `peer`, with 10.0.0.0/8 as the trusted proxies.
pub fn client(peer: IpAddr, lines: &[&[u8]]) -> IpAddr {
    let proxies = ["10.0.0.0/8".parse().expect("a network")];
    headers("x-forwarded-for", lines).map_or(peer, |headers| client_ip::address(peer, &headers, &proxies))
}
