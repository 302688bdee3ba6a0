//! People: what they are called and where they are reached.

use std::fmt;

use super::ids::PersonId;
use super::text::{self, NameError};

/// Somebody with an account, or who will have one once they choose a password.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Person {
    pub id: PersonId,
    pub email: Email,
    pub name: PersonName,
    pub has_password: bool,
}

/// What a person is called: 1 to 100 characters after trimming, no control characters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PersonName(String);

impl PersonName {
    pub const MAX: usize = 100;

    pub fn parse(text: &str) -> Result<Self, NameError> {
        text::name(text, Self::MAX).map(Self)
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for PersonName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// An e-mail address as its owner writes it. Two that differ in case are the same person's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Email(String);

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not an e-mail address (expected name@host, at most 254 characters, no spaces)")]
pub struct EmailError;

impl Email {
    /// One `@` with something on both sides and nothing invisible: whether post arrives is not ours to judge.
    pub fn parse(text: &str) -> Result<Self, EmailError> {
        let text = text.trim();
        let plain = |c: char| !c.is_control() && !c.is_whitespace() && c != '@';
        match text.split_once('@') {
            Some((name, host))
                if !name.is_empty()
                    && !host.is_empty()
                    && text.len() <= 254
                    && name.chars().chain(host.chars()).all(plain) =>
            {
                Ok(Self(text.to_owned()))
            }
            _ => Err(EmailError),
        }
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The form that is looked up and kept unique.
    pub fn canonical(&self) -> String {
        self.0.to_lowercase()
    }

    /// What a person is called before they have said so: the part before the `@`, as far as a name goes.
    pub fn as_name(&self) -> PersonName {
        PersonName(self.local_part().chars().take(PersonName::MAX).collect())
    }

    /// The part before the `@`.
    pub fn local_part(&self) -> &str {
        self.0.split_once('@').map_or(&*self.0, |(name, _)| name)
    }
}

impl fmt::Display for Email {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn email_addresses_have_two_halves() {
        assert_eq!(Email::parse(" Ada@Example.com ").unwrap().canonical(), "ada@example.com");
        assert_eq!(Email::parse("ada@example.com").unwrap().local_part(), "ada");
        let long = Email::parse(&format!("{}@example.com", "a".repeat(120))).unwrap();
        assert_eq!(PersonName::parse(long.as_name().as_str()), Ok(long.as_name()), "a name that is one");
        for text in ["", "ada", "@example.com", "ada@", "a b@example.com", "a@b@c", "a\u{0}@b"] {
            assert_eq!(Email::parse(text), Err(EmailError), "{text}");
        }
    }
}
