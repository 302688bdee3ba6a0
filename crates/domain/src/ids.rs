//! Identifiers: one type per noun, so that the compiler rejects one id in place of another.
//!
//! All of them sort by time. A product's id is a UUID (version 7), as the public API promises; the others are a prefix and
//! a lower-case ULID. The database and the log have the same text.

use std::fmt;
use std::str::FromStr;

use ulid::{ULID_LEN, Ulid};
use uuid::Uuid;

/// The text is not an id of the expected kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not an ID of this kind")]
pub struct NotAnId;

/// The value that an id is made from. The application's id generator makes one for each id.
#[derive(Debug, Clone, Copy)]
pub struct IdSeed {
    /// Milliseconds since 1970-01-01T00:00:00Z; the low 48 bits count.
    pub ms: u64,
    /// Random bits; the low 80 count.
    pub random: u128,
}

macro_rules! ulid_id {
    ($(#[$doc:meta])* $name:ident, $prefix:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(u64, u64);

        impl $name {
            /// Makes an id.
            pub fn new(seed: IdSeed) -> Self {
                Self::from_ulid(Ulid::from_parts(seed.ms, seed.random))
            }

            /// Two halves need an alignment of 8 bytes, and a `Ulid` one of 16, which would make each cached key larger.
            fn from_ulid(ulid: Ulid) -> Self {
                let (high, low) = ulid.into();
                Self(high, low)
            }

            /// The id's text, all of it ASCII.
            pub fn to_ascii(self) -> [u8; $prefix.len() + ULID_LEN] {
                let mut ulid = [0; ULID_LEN];
                Ulid::from((self.0, self.1)).array_to_str(&mut ulid).make_ascii_lowercase();
                let mut text = [0; $prefix.len() + ULID_LEN];
                let (prefix, rest) = text.split_at_mut($prefix.len());
                prefix.copy_from_slice($prefix.as_bytes());
                rest.copy_from_slice(&ulid);
                text
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(std::str::from_utf8(&self.to_ascii()).map_err(|_| fmt::Error)?)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        impl FromStr for $name {
            type Err = NotAnId;

            fn from_str(text: &str) -> Result<Self, NotAnId> {
                let body = text.strip_prefix($prefix).ok_or(NotAnId)?;
                let id = Self::from_ulid(Ulid::from_string(body).map_err(|_| NotAnId)?);
                // An id has one spelling: capitals and Crockford's look-alikes (`o` for `0`) are refused.
                if id.to_string() == text { Ok(id) } else { Err(NotAnId) }
            }
        }
    };
}

ulid_id!(
    /// A team.
    TeamId,
    "team_"
);
ulid_id!(
    /// A person's account, in whichever teams they are.
    PersonId,
    "per_"
);
ulid_id!(
    /// An API key. Not a secret.
    KeyId,
    "key_"
);
ulid_id!(
    /// An entry of the audit log.
    AuditId,
    "aud_"
);
ulid_id!(
    /// A browser's session. This is not the secret in the cookie.
    SessionId,
    "ses_"
);
ulid_id!(
    /// A one-time link. This is not the secret code in it.
    LinkId,
    "lnk_"
);
ulid_id!(
    /// A node: a serving process. Each start makes another one.
    NodeId,
    "node_"
);
ulid_id!(
    /// One HTTP request, as responses, pages and the log name it.
    RequestId,
    "req_"
);

/// A product: a version 7 UUID in lower case with hyphens.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ProductId(Uuid);

impl ProductId {
    /// Makes an id.
    pub fn new(seed: IdSeed) -> Self {
        // A version 7 UUID has room for 74 random bits. Leaving out the low 6 of the 80 keeps the order.
        let bits = seed.random >> 6;
        let mut bytes = [0; 10];
        bytes[..2].copy_from_slice(&(((bits >> 62) & 0xfff) as u16).to_be_bytes());
        bytes[2..].copy_from_slice(&((bits & ((1 << 62) - 1)) as u64).to_be_bytes());
        Self(uuid::Builder::from_unix_timestamp_millis(seed.ms, &bytes).into_uuid())
    }
}

impl fmt::Display for ProductId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self.0.as_hyphenated(), f)
    }
}

impl fmt::Debug for ProductId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for ProductId {
    type Err = NotAnId;

    /// Accepts capitals, because many tools write UUIDs so. Refuses braces, `urn:uuid:` and missing hyphens.
    fn from_str(text: &str) -> Result<Self, NotAnId> {
        let id = Uuid::try_parse(text).map_err(|_| NotAnId)?;
        if text.len() == 36 { Ok(Self(id)) } else { Err(NotAnId) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SEED: IdSeed = IdSeed { ms: 1_764_000_000_000, random: 0x1234_5678_9abc_def0_1234 };

    #[test]
    fn an_id_parses_what_it_displays() {
        let key = KeyId::new(SEED);
        assert_eq!(key.to_string(), "key_01kav9ft0028t5cy4tqkff04hm");
        assert_eq!(key.to_string().parse(), Ok(key));
        let product = ProductId::new(SEED);
        assert_eq!(product.to_string(), "019ab697-e800-7123-9159-e26af37bc048");
        assert_eq!(product.to_string().parse(), Ok(product));
    }

    #[test]
    fn other_spellings_are_refused() {
        for text in [
            "",
            "key_",
            "team_01kasnjn004hmasy4tqvr14d1m",
            "key_01KASNJN004HMASY4TQVR14D1M",
            "key_o1kasnjn004hmasy4tqvr14d1m",
        ] {
            assert_eq!(text.parse::<KeyId>(), Err(NotAnId), "{text}");
        }
        for text in ["", "x", "{019ab359-5400-7234-99e2-6af37bc048d0}", "019ab3595400723499e26af37bc048d0"] {
            assert_eq!(text.parse::<ProductId>(), Err(NotAnId), "{text}");
        }
    }

    #[test]
    fn a_later_seed_makes_a_greater_product_id() {
        let later = IdSeed { random: SEED.random + 64, ..SEED };
        assert!(ProductId::new(later) > ProductId::new(SEED));
        assert!(ProductId::new(later).to_string() > ProductId::new(SEED).to_string());
    }
}
