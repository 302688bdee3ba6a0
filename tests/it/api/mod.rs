//! The public API, call by call.

mod changes;
mod credentials;
mod limits;
mod manners;
mod once;
mod products;
