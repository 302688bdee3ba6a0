//! The networks from which a key may be used

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use thin_vec::ThinVec;

/// The networks that a key may be used from. Empty: from any address. The length is kept with the networks, so that a key
/// without any, as most are, takes one pointer for them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct AllowedNetworks(ThinVec<IpNet>);

/// Why a text is not a list of networks.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NetworksError {
    /// An entry is neither an address nor a network.
    #[error("{0:?} is not an address or a network such as 203.0.113.0/24 or 2001:db8::/32")]
    Invalid(String),
    /// Bits behind the prefix are set, so that the network which is meant is unclear.
    #[error(
        "{given} has bits set after its prefix: write {network} for the network, or {address} for the single address"
    )]
    HostBits {
        /// As it was typed.
        given: String,
        /// The network without those bits.
        network: IpNet,
        /// The address alone.
        address: IpAddr,
    },
    /// A prefix of 0 bits matches each address.
    #[error("{0} allows every address: leave the list empty instead")]
    Everything(String),
    /// A network of IPv4-mapped addresses that reaches beyond them.
    #[error("{0} mixes IPv4 and IPv6: write the IPv4 network on its own")]
    Mixed(String),
    /// More than [`AllowedNetworks::MAX`].
    #[error("a key has at most {} allowed networks", AllowedNetworks::MAX)]
    TooMany,
}

impl AllowedNetworks {
    /// Most networks of one key.
    pub const MAX: usize = 50;

    /// Reads networks in CIDR notation and single addresses, separated by commas or white space. A repeated network counts
    /// once. IPv4-mapped IPv6 networks become IPv4 ones, because the address of a client is compared in that form.
    ///
    /// # Errors
    ///
    /// [`NetworksError`] for the first entry that is at fault.
    pub fn parse(text: &str) -> Result<Self, NetworksError> {
        let mut networks = ThinVec::new();
        for entry in text.split(|c: char| c == ',' || c.is_whitespace()).filter(|entry| !entry.is_empty()) {
            let network = parse_network(entry)?;
            if !networks.contains(&network) {
                networks.push(network);
            }
        }
        if networks.len() > Self::MAX {
            return Err(NetworksError::TooMany);
        }
        networks.shrink_to_fit();
        Ok(Self(networks))
    }

    /// Whether every address is allowed.
    pub fn is_any(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether a client at `address` is allowed. An IPv4-mapped IPv6 address counts as the IPv4 address.
    pub fn contains(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.is_any() || self.0.iter().any(|network| network.contains(&address))
    }

    /// The networks, in the order in which they were given.
    pub fn iter(&self) -> impl Iterator<Item = &IpNet> {
        self.0.iter()
    }
}

/// The networks as [`AllowedNetworks::parse`] reads them, separated by commas; empty for any address.
impl fmt::Display for AllowedNetworks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (nth, network) in self.0.iter().enumerate() {
            write!(f, "{}{network}", if nth == 0 { "" } else { ", " })?;
        }
        Ok(())
    }
}

fn parse_network(entry: &str) -> Result<IpNet, NetworksError> {
    let invalid = || NetworksError::Invalid(entry.to_owned());
    let network = match entry.parse::<IpAddr>() {
        Ok(address) => IpNet::from(address),
        Err(_) => entry.parse::<IpNet>().map_err(|_| invalid())?,
    };
    let network = match network {
        IpNet::V6(mapped) if mapped.addr().to_ipv4_mapped().is_some() => {
            let length = mapped.prefix_len().checked_sub(96).ok_or_else(|| NetworksError::Mixed(entry.to_owned()))?;
            let address = mapped.addr().to_ipv4_mapped().ok_or_else(invalid)?;
            IpNet::V4(Ipv4Net::new(address, length).map_err(|_| invalid())?)
        }
        // A shorter prefix would include IPv4-mapped addresses, which are never compared in that form.
        IpNet::V6(wide) if wide.prefix_len() > 0 && wide.trunc() != wide => return Err(host_bits(entry, network)),
        IpNet::V6(wide) if wide.prefix_len() > 0 && wide.contains(&MAPPED) => {
            return Err(NetworksError::Mixed(entry.to_owned()));
        }
        network => network,
    };
    if network.prefix_len() == 0 {
        return Err(NetworksError::Everything(entry.to_owned()));
    }
    if network.trunc() != network {
        return Err(host_bits(entry, network));
    }
    Ok(network)
}

/// `::ffff:0:0/96`, the IPv4-mapped addresses (RFC 4291, section 2.5.5.2).
const MAPPED: Ipv6Net = Ipv6Net::new_assert(Ipv6Addr::new(0, 0, 0, 0, 0, 0xffff, 0, 0), 96);

fn host_bits(entry: &str, network: IpNet) -> NetworksError {
    NetworksError::HostBits { given: entry.to_owned(), network: network.trunc(), address: network.addr() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Result<String, String> {
        AllowedNetworks::parse(text).map(|networks| networks.to_string()).map_err(|error| error.to_string())
    }

    #[test]
    fn networks_and_addresses_are_read_in_any_list() {
        for (text, list) in [
            ("", ""),
            (" , ", ""),
            ("203.0.113.7", "203.0.113.7/32"),
            ("203.0.113.0/24,2001:db8::/32", "203.0.113.0/24, 2001:db8::/32"),
            ("203.0.113.0/24\r\n2001:DB8::1\n", "203.0.113.0/24, 2001:db8::1/128"),
            ("10.0.0.0/8, 10.0.0.0/8 10.0.0.0/8", "10.0.0.0/8"),
            ("::ffff:10.0.0.0/104", "10.0.0.0/8"),
            ("::ffff:203.0.113.7", "203.0.113.7/32"),
        ] {
            assert_eq!(parsed(text).as_deref(), Ok(list), "{text:?}");
        }
    }

    #[test]
    fn an_entry_that_is_unclear_is_refused_with_what_to_write() {
        for (text, message) in [
            ("office", "\"office\" is not an address or a network such as 203.0.113.0/24 or 2001:db8::/32"),
            ("10.0.0.0/33", "\"10.0.0.0/33\" is not an address or a network such as 203.0.113.0/24 or 2001:db8::/32"),
            ("010.0.0.1", "\"010.0.0.1\" is not an address or a network such as 203.0.113.0/24 or 2001:db8::/32"),
            ("fe80::1%eth0", "\"fe80::1%eth0\" is not an address or a network such as 203.0.113.0/24 or 2001:db8::/32"),
            (
                "10.0.0.5/8",
                "10.0.0.5/8 has bits set after its prefix: write 10.0.0.0/8 for the network, or 10.0.0.5 for the single address",
            ),
            (
                "2001:db8::1/32",
                "2001:db8::1/32 has bits set after its prefix: write 2001:db8::/32 for the network, or 2001:db8::1 for the single address",
            ),
            ("0.0.0.0/0", "0.0.0.0/0 allows every address: leave the list empty instead"),
            ("::/0", "::/0 allows every address: leave the list empty instead"),
            ("::ffff:0:0/96", "::ffff:0:0/96 allows every address: leave the list empty instead"),
            ("::ffff:0:0/95", "::ffff:0:0/95 mixes IPv4 and IPv6: write the IPv4 network on its own"),
            ("::/8", "::/8 mixes IPv4 and IPv6: write the IPv4 network on its own"),
        ] {
            assert_eq!(parsed(text).unwrap_err(), message, "{text:?}");
        }
        let many = |n: usize| (0..n).map(|i| format!("10.0.{i}.0/24")).collect::<Vec<_>>().join(",");
        assert!(parsed(&many(50)).is_ok());
        assert_eq!(parsed(&many(51)).unwrap_err(), "a key has at most 50 allowed networks");
        assert!(parsed(&format!("{},10.0.0.0/24", many(50))).is_ok(), "a repeated network counts once");
    }

    #[test]
    fn a_client_is_compared_by_its_canonical_address() {
        let networks = AllowedNetworks::parse("10.0.0.0/8 2001:db8::/32").unwrap();
        for (address, allowed) in [
            ("10.255.0.1", true),
            ("::ffff:10.0.0.1", true),
            ("11.0.0.1", false),
            ("2001:db8:ffff::1", true),
            ("2001:db9::1", false),
        ] {
            assert_eq!(networks.contains(address.parse().unwrap()), allowed, "{address}");
        }
        assert!(AllowedNetworks::default().contains("192.0.2.1".parse().unwrap()));
    }
}
