//! Keyhouse: API keys for a team product, whole.
//!
//! Five rooms. A line of code finds its own by one question:
//!
//! - [`domain`] *names and judges*: tokens, keys, scopes, roles, prices. Pure.
//! - [`app`] *does*: one function per thing that a person or program can ask for.
//! - [`store`] *remembers*: the only room that knows SQL; SQLite and PostgreSQL behind one text.
//! - [`web`] *speaks HTTP*: the public API and, behind the same few layers, everything else with a path.
//! - [`cli`] *speaks shell*: the same deeds from the command line.
//!
//! [`boot`] opens the doors from what [`config`] says. Rooms look down, never up; `tests/it/laws/rooms.rs` sees to it.
//! Start reading at [`domain::key`], then [`app::admit`], then [`web`].

pub mod app;
pub mod boot;
pub mod cli;
pub mod config;
pub mod domain;
pub mod settings;
pub mod store;
pub mod web;
