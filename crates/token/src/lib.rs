//! API tokens: format, checksum and hash. No async and no database, so that other programs can embed it.
//!
//! A token is `pk_live_` or `pk_test_` (the brand `pk` is a setting), 36 random characters of `0-9A-Za-z`, and 6 characters
//! of CRC-32 in base 62.

#![warn(missing_docs)]

mod mode;
mod scan;
mod token;

pub use mode::Mode;
pub use scan::find_tokens;
pub use token::{Brand, BrandError, RawToken, TokenError, TokenHash, TokenPrefix};
