//! Finds tokens in any text: a log line, a header, a diff.

use crate::token::{Brand, RawToken, TokenError};

/// Finds every text in `bytes` that begins like a token, in order: the tokens, and what is wrong with the others.
///
/// Quotes, `Bearer`, `KEY=`, a comma or a line end around a token do not matter, and the bytes need not be UTF-8. A text
/// that begins with a brand and a mode but is no token was cut or mistyped, so its error is worth showing.
pub fn find_tokens<'a>(bytes: &'a [u8], brand: &'a Brand) -> impl Iterator<Item = Result<RawToken, TokenError>> + 'a {
    let mut at = 0;
    std::iter::from_fn(move || {
        while at < bytes.len() {
            let rest = &bytes[at..];
            if !RawToken::begins(rest, brand) {
                at += 1;
                continue;
            }
            let length = rest.iter().take_while(|b| b.is_ascii_alphanumeric() || **b == b'_').count();
            let whole = RawToken::parse(&rest[..length.min(RawToken::len(brand))], brand);
            at += if whole.is_ok() { RawToken::len(brand) } else { 1 };
            return Some(whole);
        }
        None
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIVE: &str = "pk_live_0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ4d72RB";
    const TEST: &str = "pk_test_0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ3KwFxC";

    fn found(text: &[u8]) -> Vec<Result<String, TokenError>> {
        let brand = Brand::parse("pk").unwrap();
        find_tokens(text, &brand).map(|token| token.map(|token| token.expose().to_owned())).collect()
    }

    #[test]
    fn tokens_are_found_whatever_is_around_them() {
        for text in [
            LIVE.to_owned(),
            format!("  {LIVE}\n"),
            format!("\"{LIVE}\","),
            format!("KEY={LIVE}"),
            format!("curl -H 'Authorization: Bearer {LIVE}' https://keys.example.com"),
            format!("https://keys.example.com/?token={LIVE}&x=1"),
            format!("xpk_live_{LIVE}"),
            format!("{LIVE}_suffix"),
        ] {
            assert!(found(text.as_bytes()).contains(&Ok(LIVE.to_owned())), "{text}");
        }
        assert_eq!(found(format!("a={LIVE};b={TEST}{LIVE}").as_bytes()), [LIVE, TEST, LIVE].map(|t| Ok(t.to_owned())));
        assert_eq!(found(&[&[0xff, 0xfe][..], TEST.as_bytes(), &[0xff]].concat()), [Ok(TEST.to_owned())]);
    }

    #[test]
    fn what_only_begins_like_a_token_has_an_error() {
        assert_eq!(found(b"nothing here"), []);
        assert_eq!(found(&LIVE.as_bytes()[..49]), [Err(TokenError::Length)]);
        assert_eq!(found(LIVE.replace("RB", "RX").as_bytes()), [Err(TokenError::Checksum)]);
        assert_eq!(found(b"pk_live_..."), [Err(TokenError::Length)]);
    }
}
