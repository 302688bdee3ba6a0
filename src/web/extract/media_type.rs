//! The media type of a request's body, parsed as RFC 9110 sections 5.6.6 and 8.3.1 define it.

use axum::http::{HeaderMap, header};

/// Optional white space around a `;`.
const OWS: [char; 2] = [' ', '\t'];

/// Whether the one `Content-Type` header names this media type, in UTF-8 if it names a charset.
///
/// JSON gives `charset` no meaning (RFC 8259 section 11), but a client that names another encoding would have its text
/// misread.
pub(in crate::web) fn is_media_type(headers: &HeaderMap, essence: &str) -> bool {
    let mut values = headers.get_all(header::CONTENT_TYPE).iter();
    let (Some(value), None) = (values.next(), values.next()) else { return false };
    let Some((named, parameters)) = value.to_str().ok().and_then(parse) else { return false };
    let mut charsets = parameters.iter().filter(|(name, _)| name.eq_ignore_ascii_case("charset"));
    named.eq_ignore_ascii_case(essence) && charsets.all(|(_, charset)| charset.eq_ignore_ascii_case("utf-8"))
}

/// Splits a media type into `type/subtype` and its parameters, values unquoted. `None` if the syntax is wrong.
fn parse(text: &str) -> Option<(&str, Vec<(&str, String)>)> {
    let (essence, mut rest) = text.split_at(text.find(';').unwrap_or(text.len()));
    let mut parameters = Vec::new();
    while !rest.is_empty() {
        rest = rest.strip_prefix(';')?.trim_start_matches(OWS);
        if rest.is_empty() || rest.starts_with(';') {
            // `parameters = *( OWS ";" OWS [ parameter ] )`: a parameter may be empty.
            continue;
        }
        let (name, after_name) = token(rest)?;
        let after_equals = after_name.strip_prefix('=')?;
        let (value, after_value) = match after_equals.strip_prefix('"') {
            Some(quoted) => quoted_string(quoted)?,
            None => token(after_equals).map(|(value, rest)| (value.to_owned(), rest))?,
        };
        parameters.push((name, value));
        rest = after_value.trim_start_matches(OWS);
    }
    Some((essence.trim_end_matches(OWS), parameters))
}

/// Splits off a token, which has at least one character.
fn token(text: &str) -> Option<(&str, &str)> {
    let is_token = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c);
    let end = text.find(|c| !is_token(c)).unwrap_or(text.len());
    (end > 0).then(|| text.split_at(end))
}

/// Splits off the rest of a quoted string, after its opening quote.
fn quoted_string(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut chars = text.char_indices();
    while let Some((place, c)) = chars.next() {
        match c {
            '"' => return Some((value, &text[place + 1..])),
            '\\' => value.push(chars.next()?.1),
            c => value.push(c),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn is_json(values: &[&str]) -> bool {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(header::CONTENT_TYPE, HeaderValue::from_str(value).unwrap());
        }
        is_media_type(&headers, "application/json")
    }

    #[test]
    fn every_spelling_that_rfc_9110_allows_is_accepted() {
        for value in [
            "application/json",
            "Application/JSON",
            "application/json ; charset=utf-8",
            "application/json\t;\tcharset=UTF-8 \t; a=b",
            "application/json;",
            "application/json ; ",
            "application/json;;; charset=utf-8;",
            "application/json;charset=\"utf-8\"",
            "application/json;charset=\"\\u\\tf-8\"",
            "application/json;version=\"1;2, \\\"3\\\"\"",
        ] {
            assert!(is_json(&[value]), "{value}");
        }
    }

    #[test]
    fn other_types_charsets_and_syntax_errors_are_refused() {
        for value in [
            "",
            "application",
            "application / json",
            "text/json",
            "application/jsonx",
            "application/json, application/json",
            "application/json;charset",
            "application/json;charset=",
            "application/json;charset = utf-8",
            "application/json;charset=\"utf-8",
            "application/json;charset=utf-8 x",
            "application/json;=utf-8",
            "application/json;charset=utf-16",
            "application/json;charset=utf8",
            "application/json;charset=utf-8;charset=latin1",
            "application/x-www-form-urlencoded",
        ] {
            assert!(!is_json(&[value]), "{value}");
        }
        assert!(!is_json(&[]));
        assert!(!is_json(&["application/json", "application/json"]));
    }
}
