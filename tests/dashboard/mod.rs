//! The pages, as a browser without JavaScript sees them.

mod assets;
mod auth_flows;
mod catalog;
mod forms;
mod guesses;
mod http_conformance;
mod key_actions;
mod key_page;
mod keys;
mod leaks;
mod races;
mod team;

pub(crate) use test_support::dashboard::{PASSWORD, between, faults, link_in};
