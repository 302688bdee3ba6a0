//! The database itself: what it refuses, and that both engines are alike.

mod methods;
mod methods_of_people;
mod migration_parity;
mod refusals;
