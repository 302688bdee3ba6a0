//! `Authorization` headers, one per line: a token is accepted only from a single header, after `Bearer` and spaces.
#![no_main]

use keyhouse::web::fuzzing;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let lines: Vec<&[u8]> = bytes.split(|&b| b == b'\n').collect();
    if let Some(token) = fuzzing::authorization(&lines) {
        assert_eq!(lines.len(), 1);
        let value = lines[0];
        assert!(value[..7].eq_ignore_ascii_case(b"bearer "));
        let rest = value[6..].iter().skip_while(|&&b| b == b' ').copied().collect::<Vec<_>>();
        assert_eq!(rest, token.as_bytes());
    }
});
