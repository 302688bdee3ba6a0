//! What a process takes of the machine.

use test_support::TestDatabase;
use test_support::process::{ServerProcess, status};

/// Each network gets 30 guesses, so the attempts come from several, through a trusted proxy.
#[test]
fn forty_wrong_sign_ins_grow_the_resident_memory_by_at_most_48_mb() {
    let database = TestDatabase::folder();
    let settings = [("KEYHOUSE_TRUSTED_PROXIES", "127.0.0.1")];
    let server = ServerProcess::start_with(&database, "serve", "warn", &settings);
    let body = "email=absent%40example.com&password=wrong";
    let sign_in = |network: usize| {
        let request = format!(
            "POST /sign-in HTTP/1.1\r\nHost: a\r\nSec-Fetch-Site: same-origin\r\nX-Forwarded-For: 198.51.{network}.1\r\n\
             Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
            body.len()
        );
        status(&server.send(request.as_bytes()))
    };
    let before = server.resident_kib();
    for attempt in 0..40 {
        assert_eq!(sign_in(attempt), 422, "attempt {attempt}");
    }
    let grown = server.resident_kib().saturating_sub(before);
    assert!(grown <= 48 * 1024, "{grown} KiB");
}
