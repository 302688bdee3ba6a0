//! Accounts: a person with what an operator has to know before giving them something.

use super::email::Email;
use super::person::Person;
use super::role::Role;
use super::team::Team;
use super::timestamp::Timestamp;

/// A person's account and the teams that they are in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// The person.
    pub person: Person,
    /// When the account was created.
    pub created_at: Timestamp,
    /// The address that the person asked for. It counts once a one-time link for it was used.
    pub pending_email: Option<Email>,
    /// The living teams of the person, by slug, and the role in each.
    pub teams: Vec<(Team, Role)>,
}
