//! The store: each of its methods, what the database itself refuses, and that both engines are alike.

mod accounts;
mod connection;
mod digests;
mod first_release;
mod fixture;
mod identity;
mod key_lifecycle;
mod keys;
mod leaks;
mod links;
mod members;
mod migration_parity;
mod nodes;
mod operations;
mod people;
mod plans;
mod products;
mod refusals;
mod teams;
mod upgrade;
mod usage;
