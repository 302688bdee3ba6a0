//! The public API, call by call.

mod credentials;
mod manners;
mod products;
