//! The database itself: what it refuses, and that both engines are alike.

mod refusals;
mod statements;
mod statements_of_people;
mod twins;
