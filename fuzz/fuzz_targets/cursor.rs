//! Query strings: an accepted limit is in range, and an accepted cursor is one spelling of one id.
#![no_main]

use keyhouse_domain::pagination::{Cursor, Limit};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    if let Some(cursor) = Cursor::parse(text) {
        assert_eq!(cursor.product().to_string(), text.to_ascii_lowercase());
    }
    if let Some(limit) = Limit::parse(text) {
        assert!((1..=100).contains(&limit.get()));
        assert_eq!(text.trim_start_matches('0'), limit.get().to_string());
    }
    keyhouse::web::fuzzing::query(text);
});
