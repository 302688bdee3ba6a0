//! People, who sign in.

pub use super::email::{Email, EmailError, EmailLookup};
use super::ids::PersonId;
pub use super::name::PersonName;

/// A person. An invited one exists from the moment they join.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Person {
    /// The account's id.
    pub id: PersonId,
    /// The address that signs in. It was either given by an operator or confirmed by a one-time link.
    pub email: Email,
    /// What the person is called.
    pub name: PersonName,
    /// `false` until the person has chosen a password by a one-time link.
    pub has_password: bool,
}
