//! Teams, the people in them, and what each may do.

use std::fmt;
use std::str::FromStr;

use super::audit::By;
use super::ids::{PersonId, TeamId};
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

    /// What a person is called before they have said so: the part before the `@`.
    pub fn local_part(&self) -> &str {
        self.0.split_once('@').map_or(&*self.0, |(name, _)| name)
    }
}

impl fmt::Display for Email {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What a member may do. Exactly one owner per team.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Role {
    Owner,
    Admin,
    Manager,
    Member,
}

impl Role {
    pub const ALL: [Self; 4] = [Self::Owner, Self::Admin, Self::Manager, Self::Member];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Owner => "owner",
            Self::Admin => "admin",
            Self::Manager => "manager",
            Self::Member => "member",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.as_str() == text)
    }

    /// Whether this role may create, rename and revoke its team's keys.
    pub const fn manages_keys(self) -> bool {
        matches!(self, Self::Owner | Self::Admin)
    }
}

/// The origin of deeds done on the machine's own command line.
pub const SHELL: &str = "shell";

/// Somebody who acts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Actor {
    /// A member of the team acted on; what their role allows is read again at the write.
    Member { person: PersonId, name: String },
    /// The machine's own user, who holds the database anyway.
    Shell { user: String },
}

impl Actor {
    /// How the actor is written down.
    pub fn by(&self) -> By {
        match self {
            Self::Member { person, name } => By { person: Some(*person), name: name.clone() },
            Self::Shell { user } => By { person: None, name: format!("Command line ({user})") },
        }
    }
}

/// Proof that an actor may manage the keys of a team. Believed only until the write, which looks again.
#[derive(Debug, Clone)]
pub struct KeyAdmin {
    actor: Actor,
    team: TeamId,
    origin: String,
}

/// The member's role does not allow managing keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("only an owner or admin of the team manages its keys")]
pub struct NotKeyAdmin;

impl KeyAdmin {
    /// The shell may do everything on every team.
    pub fn shell(user: &str, team: TeamId) -> Self {
        Self { actor: Actor::Shell { user: user.to_owned() }, team, origin: SHELL.to_owned() }
    }

    /// A member who acts from `origin`: a client's address, or [`SHELL`].
    pub fn member(member: &Member, origin: &str) -> Result<Self, NotKeyAdmin> {
        if !member.role.manages_keys() {
            return Err(NotKeyAdmin);
        }
        let actor = Actor::Member { person: member.person, name: member.name.clone() };
        Ok(Self { actor, team: member.team, origin: origin.to_owned() })
    }

    pub fn actor(&self) -> &Actor {
        &self.actor
    }

    pub fn team(&self) -> TeamId {
        self.team
    }

    /// Where the deed comes from, as the audit log notes it.
    pub fn origin(&self) -> &str {
        &self.origin
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

    #[test]
    fn email_addresses_have_two_halves() {
        assert_eq!(Email::parse(" Ada@Example.com ").unwrap().canonical(), "ada@example.com");
        assert_eq!(Email::parse("ada@example.com").unwrap().local_part(), "ada");
        for text in ["", "ada", "@example.com", "ada@", "a b@example.com", "a@b@c", "a\u{0}@b"] {
            assert_eq!(Email::parse(text), Err(EmailError), "{text}");
        }
    }

    #[test]
    fn owners_and_admins_manage_keys() {
        let managing: Vec<_> = Role::ALL.into_iter().filter(|role| role.manages_keys()).collect();
        assert_eq!(managing, [Role::Owner, Role::Admin]);
        for role in Role::ALL {
            assert_eq!(Role::parse(role.as_str()), Some(role));
        }
    }
}
