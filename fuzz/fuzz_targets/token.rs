//! Tokens: an accepted token has the documented form and parses again to itself.
#![no_main]

use keyhouse_token::{Brand, RawToken, TokenPrefix};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let brand = Brand::parse("pk").unwrap();
    if let Ok(token) = RawToken::parse(bytes, &brand) {
        assert_eq!(token.expose().as_bytes(), bytes);
        assert_eq!(bytes.len(), 50);
        assert!(bytes.starts_with(b"pk_live_") || bytes.starts_with(b"pk_test_"));
        assert_eq!(TokenPrefix::from_stored(token.prefix().as_str()), Some(token.prefix()));
        assert_eq!(RawToken::parse(bytes, &brand).unwrap().hash(), token.hash());
    }
});
