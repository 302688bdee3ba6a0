//! Teams and their members.

use std::fmt;
use std::str::FromStr;

use super::conditions::KeyLifetime;
use super::email::Email;
use super::ids::{PersonId, TeamId};
pub use super::name::TeamName;
use super::role::Role;
use super::timestamp::Timestamp;

impl TeamName {
    /// The words of the name in `a-z0-9-`, at most 40 characters; `team` where nothing is left of it.
    pub fn slug(&self) -> Slug {
        let mut text = slug::slugify(self.as_str());
        text.truncate(Slug::MAX - "-9999".len());
        let text = text.trim_matches('-');
        Slug(if text.is_empty() { "team".to_owned() } else { text.to_owned() })
    }
}

/// The name of a team in URLs and on the command line: 1 to 40 characters of `a-z0-9-`, unique among living teams.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Slug(String);

impl Slug {
    const MAX: usize = 40;

    /// The slug as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The slug for the `n`th team that would have this one: `acme`, `acme-2`, `acme-3`.
    pub fn numbered(&self, n: u32) -> Self {
        if n < 2 {
            return self.clone();
        }
        let number = format!("-{n}");
        let room = Self::MAX - number.len();
        Self(self.0.chars().take(room).chain(number.chars()).collect())
    }

    /// Reads a slug from the database. `None` if it never was one.
    pub fn from_stored(text: String) -> Option<Self> {
        let fits = (1..=Self::MAX).contains(&text.len())
            && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
        fits.then_some(Self(text))
    }
}

/// A team, which owns keys and products.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Team {
    /// The team's id.
    pub id: TeamId,
    /// Its name in URLs.
    pub slug: Slug,
    /// Its name for people.
    pub name: TeamName,
    /// When it was created.
    pub created_at: Timestamp,
    /// The maximum lifetime of its new keys; `None`: they need not expire.
    pub key_lifetime: Option<KeyLifetime>,
}

/// A person in a team.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// The team.
    pub team: TeamId,
    /// The person's account.
    pub person: PersonId,
    /// The person's address.
    pub email: Email,
    /// The person's name.
    pub name: String,
    /// The person's role in this team.
    pub role: Role,
    /// When the person joined.
    pub joined_at: Timestamp,
    /// The address that the person has asked for; it counts once its link was used.
    pub pending_email: Option<Email>,
}

/// A team as it is named on the command line and in URLs: by its slug or by its id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TeamRef {
    /// A text that has the form of an id.
    Id(TeamId),
    /// Any other text.
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
        let long = TeamName::parse(&"a".repeat(60)).unwrap().slug();
        for n in [9_999, 10_000, u32::MAX] {
            let numbered = long.numbered(n).0;
            assert!(numbered.ends_with(&format!("a-{n}")), "{numbered}");
            assert!(Slug::from_stored(numbered).is_some(), "the {n}th can be read again");
        }
    }
}
