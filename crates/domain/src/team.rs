//! Teams and who is in them.

use std::fmt;
use std::str::FromStr;

use super::ids::{PersonId, TeamId};
use super::person::Email;
use super::role::Role;
use super::text::{self, NameError};
use super::timestamp::Timestamp;

/// A team's name: 1 to 100 characters after trimming, no control characters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TeamName(String);

impl TeamName {
    pub const MAX: usize = 100;

    pub fn parse(text: &str) -> Result<Self, NameError> {
        text::name(text, Self::MAX).map(Self)
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The words of the name in `a-z0-9-`, at most 40 characters; `team` where nothing is left of it.
    pub fn slug(&self) -> Slug {
        let mut text = slug::slugify(&self.0);
        text.truncate(Slug::MAX - "-9999".len());
        let text = text.trim_matches('-');
        Slug(if text.is_empty() { "team".to_owned() } else { text.to_owned() })
    }
}

/// A team's place in addresses: `a-z0-9-`, unique.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Slug(String);

impl Slug {
    const MAX: usize = 40;

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The `n`th to want this slug: `acme`, `acme-2`, `acme-3`.
    pub fn numbered(&self, n: u32) -> Self {
        if n < 2 { self.clone() } else { Self(format!("{}-{n}", self.0)) }
    }

    /// Reads back what was stored.
    pub fn from_stored(text: String) -> Option<Self> {
        let fits = (1..=Self::MAX).contains(&text.len())
            && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
        fits.then_some(Self(text))
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Team {
    pub id: TeamId,
    pub slug: Slug,
    pub name: TeamName,
    pub created_at: Timestamp,
}

/// A person in a team.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    pub team: TeamId,
    pub person: PersonId,
    pub email: Email,
    pub name: String,
    pub role: Role,
    pub joined_at: Timestamp,
}

/// How a team is named on the command line and in addresses: by its slug or by its id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TeamRef {
    Id(TeamId),
    Slug(String),
}

impl FromStr for TeamRef {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(text.parse().map_or_else(|_| Self::Slug(text.to_owned()), Self::Id))
    }
}

impl fmt::Display for TeamRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Id(id) => id.fmt(f),
            Self::Slug(slug) => f.write_str(slug),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slugs_are_plain_and_never_empty() {
        let slug = |name: &str| TeamName::parse(name).unwrap().slug().0;
        assert_eq!(slug("Ærø & Sons, Ltd."), "aero-sons-ltd");
        assert_eq!(slug("!!!"), "team");
        assert!(slug(&"very long name ".repeat(6)).len() <= 35);
        assert_eq!(TeamName::parse("Acme").unwrap().slug().numbered(1).as_str(), "acme");
        assert_eq!(TeamName::parse("Acme").unwrap().slug().numbered(3).as_str(), "acme-3");
    }
}
