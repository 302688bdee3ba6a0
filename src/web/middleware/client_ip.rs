//! The client's address: the peer's, or what a trusted proxy says it is. Limits, the log and last used know a client by it.

use std::net::{IpAddr, SocketAddr};

use axum::http::{HeaderMap, HeaderName};
use ipnet::IpNet;

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// Reads `X-Forwarded-For` if the peer is a trusted proxy: from the right, the first address that is not one.
///
/// An entry that is not an address ends the search: what stands to its left may have been written by anyone.
pub(crate) fn address(peer: IpAddr, headers: &HeaderMap, trusted: &[IpNet]) -> IpAddr {
    let is_proxy = |addr: IpAddr| trusted.iter().any(|net| net.contains(&addr));
    let mut client = peer.to_canonical();
    if !is_proxy(client) {
        return client;
    }
    let lines: Vec<&[u8]> = headers.get_all(&FORWARDED_FOR).iter().map(|value| value.as_bytes()).collect();
    for entry in lines.join(&b","[..]).rsplit(|&b| b == b',') {
        let entry = entry.trim_ascii();
        if entry.is_empty() {
            continue;
        }
        let Some(addr) = std::str::from_utf8(entry).ok().and_then(parse) else { break };
        client = addr.to_canonical();
        if !is_proxy(client) {
            break;
        }
    }
    client
}

/// Whether a request looks as if it came through a proxy that is missing in `trusted_proxies`: it has `X-Forwarded-For`,
/// and its peer, an address of this machine or of a private network, is not listed.
pub(crate) fn is_unlisted_proxy(peer: IpAddr, headers: &HeaderMap, trusted: &[IpNet]) -> bool {
    let peer = peer.to_canonical();
    let is_local = match peer {
        IpAddr::V4(peer) => peer.is_loopback() || peer.is_private() || peer.is_link_local(),
        IpAddr::V6(peer) => peer.is_loopback() || peer.is_unique_local() || peer.is_unicast_link_local(),
    };
    is_local && headers.contains_key(&FORWARDED_FOR) && !trusted.iter().any(|net| net.contains(&peer))
}

/// Parses an address as proxies write it: plain, with a port, or in brackets.
fn parse(entry: &str) -> Option<IpAddr> {
    let bracketed = || entry.strip_prefix('[')?.strip_suffix(']')?.parse().ok();
    let with_port = || Some(entry.parse::<SocketAddr>().ok()?.ip());
    entry.parse().ok().or_else(with_port).or_else(bracketed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_trusted_proxy_names_the_client() {
        let trusted: Vec<IpNet> = vec!["10.0.0.0/8".parse().unwrap(), "::1/128".parse().unwrap()];
        for (peer, forwarded, client) in [
            ("203.0.113.9", "198.51.100.1", "203.0.113.9"),
            ("10.0.0.1", "198.51.100.1", "198.51.100.1"),
            ("10.0.0.1", "192.0.2.66, 198.51.100.1", "198.51.100.1"),
            ("10.0.0.1", "198.51.100.1, 10.0.0.2", "198.51.100.1"),
            ("10.0.0.1", "198.51.100.1, garbage, 10.0.0.2", "10.0.0.2"),
            ("10.0.0.1", "", "10.0.0.1"),
            ("10.0.0.1", "198.51.100.1,", "198.51.100.1"),
            ("10.0.0.1", "198.51.100.1:4711", "198.51.100.1"),
            ("10.0.0.1", "[2001:db8::1]", "2001:db8::1"),
            ("10.0.0.1", "[2001:db8::1]:99", "2001:db8::1"),
            ("::ffff:10.0.0.1", "2001:db8::7", "2001:db8::7"),
            ("::1", "10.0.0.3", "10.0.0.3"),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert("x-forwarded-for", forwarded.parse().unwrap());
            let found = address(peer.parse().unwrap(), &headers, &trusted);
            assert_eq!(found.to_string(), client, "{peer} {forwarded}");
        }
    }

    #[test]
    fn a_local_peer_with_the_header_that_is_not_listed_looks_like_a_forgotten_proxy() {
        let trusted: Vec<IpNet> = vec!["10.0.0.0/8".parse().unwrap()];
        let mut headers = HeaderMap::new();
        assert!(!is_unlisted_proxy("127.0.0.1".parse().unwrap(), &headers, &trusted), "no header");
        headers.insert("x-forwarded-for", "198.51.100.1".parse().unwrap());
        for (peer, is_unlisted) in [
            ("127.0.0.1", true),
            ("::1", true),
            ("192.168.7.1", true),
            ("::ffff:172.16.0.1", true),
            ("169.254.1.1", true),
            ("fd00::1", true),
            ("fe80::1", true),
            ("10.1.2.3", false),
            ("203.0.113.7", false),
            ("2001:db8::1", false),
        ] {
            assert_eq!(is_unlisted_proxy(peer.parse().unwrap(), &headers, &trusted), is_unlisted, "{peer}");
        }
    }

    #[test]
    fn repeated_headers_are_one_list() {
        let mut headers = HeaderMap::new();
        headers.append("x-forwarded-for", "192.0.2.1".parse().unwrap());
        headers.append("x-forwarded-for", "192.0.2.2".parse().unwrap());
        let trusted = ["10.0.0.0/8".parse().unwrap()];
        assert_eq!(address("10.0.0.1".parse().unwrap(), &headers, &trusted).to_string(), "192.0.2.2");
    }
}
