//! WORDS. What things are called and how they are judged: no async, no clock, no dice, no HTTP, no SQL.
//!
//! A value of these types has already been judged; the other rooms never look again.

pub mod audit;
pub mod grant;
pub mod idempotency;
pub mod ids;
pub mod key;
pub mod page;
pub mod password;
pub mod person;
pub mod price;
pub mod product;
pub mod rate;
pub mod role;
pub mod secret;
pub mod session;
pub mod site;
pub mod team;
pub mod text;
pub mod timestamp;
pub mod token;
