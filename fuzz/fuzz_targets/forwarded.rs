//! `X-Forwarded-For`, one header per line: only a trusted proxy's header counts, and the result is a trusted proxy's
//! address only if there is no other.
#![no_main]

use keyhouse::web::fuzzing;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let lines: Vec<&[u8]> = bytes.split(|&b| b == b'\n').collect();
    let stranger = "203.0.113.7".parse().unwrap();
    assert_eq!(fuzzing::client(stranger, &lines), stranger);
    let client = fuzzing::client("10.0.0.1".parse().unwrap(), &lines);
    let text = client.to_string();
    let said = String::from_utf8_lossy(bytes);
    let spelled = |entry: &str| {
        let entry = entry.trim();
        let bare = entry.strip_prefix('[').and_then(|entry| entry.strip_suffix(']')).unwrap_or(entry);
        let with_port = entry.parse::<std::net::SocketAddr>().map(|addr| addr.ip());
        bare.parse::<std::net::IpAddr>().or(with_port).is_ok_and(|addr| addr.to_canonical() == client)
    };
    assert!(text == "10.0.0.1" || said.split(['\n', ',']).any(spelled), "{text} is nobody's word");
});
