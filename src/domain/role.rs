//! What members may do: roles, the rights they hold, and the proof that one holds a right.

use std::marker::PhantomData;

use super::audit::By;
use super::grant::Tenant;
use super::ids::{PersonId, SessionId, TeamId};
use super::key::Mode;
use super::session::Person;
use super::team::{Member, Team};

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
    /// Those that can be given; ownership is handed over instead.
    pub const GIVEN: [Self; 3] = [Self::Admin, Self::Manager, Self::Member];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Owner => "owner",
            Self::Admin => "admin",
            Self::Manager => "manager",
            Self::Member => "member",
        }
    }

    /// As people read it.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Owner => "Owner",
            Self::Admin => "Admin",
            Self::Manager => "Manager",
            Self::Member => "Member",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.as_str() == text)
    }

    /// One that can be given to somebody.
    pub fn parse_given(text: &str) -> Option<Self> {
        Self::GIVEN.into_iter().find(|role| role.as_str() == text)
    }

    /// Whether this role may create, rename and revoke its team's keys, and manage its settings and members.
    pub const fn administers(self) -> bool {
        matches!(self, Self::Owner | Self::Admin)
    }

    /// Whether this role may change the catalog.
    pub const fn edits(self) -> bool {
        matches!(self, Self::Owner | Self::Admin | Self::Manager)
    }
}

/// Something that some roles may do. The one table of roles and rights is the implementations below.
pub trait Right: Send + Sync + 'static {
    fn is_held_by(role: Role) -> bool;
}

macro_rules! rights {
    ($($(#[$doc:meta])* $name:ident: $role:ident => $held:expr;)*) => {
        $(
            $(#[$doc])*
            #[derive(Debug, Clone, Copy)]
            pub struct $name;

            impl Right for $name {
                fn is_held_by($role: Role) -> bool {
                    $held
                }
            }
        )*
    };
}

rights! {
    /// Create, rename, revoke and find keys.
    ManageKeys: role => role.administers();
    /// Rename the team; invite, change and remove members; read the audit log.
    ManageTeam: role => role.administers();
    /// Hand the team over, or delete it.
    OwnTeam: role => matches!(role, Role::Owner);
    /// Change the catalog.
    EditProducts: role => role.edits();
    /// See the catalog; leave.
    TakePart: _role => true;
}

/// The origin of deeds done on the machine's own command line.
pub const SHELL: &str = "shell";

/// Somebody who acts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Actor {
    /// A member of the team acted on, in a browser's session or named by the shell; role and session are read again at
    /// the write.
    Member { person: PersonId, name: String, session: Option<SessionId> },
    /// The machine's own user, who holds the database anyway.
    Shell { user: String },
}

impl Actor {
    /// How the actor is written down.
    pub fn by(&self) -> By {
        match self {
            Self::Member { person, name, .. } => By { person: Some(*person), name: name.clone() },
            Self::Shell { user } => By { person: None, name: format!("Command line ({user})") },
        }
    }
}

/// Proof that an actor holds a right in a team. Believed only until the write, which looks again.
#[derive(Debug, Clone)]
pub struct Permit<R> {
    actor: Actor,
    team: TeamId,
    origin: String,
    right: PhantomData<R>,
}

pub type KeyAdmin = Permit<ManageKeys>;
pub type TeamAdmin = Permit<ManageTeam>;
pub type TeamOwner = Permit<OwnTeam>;
pub type Editor = Permit<EditProducts>;
pub type Participant = Permit<TakePart>;

/// The member's role does not hold the right.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the member's role does not allow this")]
pub struct NotAllowed;

impl<R: Right> Permit<R> {
    /// The shell may do everything in every team.
    pub fn shell(user: &str, team: TeamId) -> Self {
        Self::new(Actor::Shell { user: user.to_owned() }, team, SHELL)
    }

    /// A member who acts from `origin` without a browser: [`SHELL`], or a test.
    pub fn member(member: &Member, origin: &str) -> Result<Self, NotAllowed> {
        if !R::is_held_by(member.role) {
            return Err(NotAllowed);
        }
        let actor = Actor::Member { person: member.person, name: member.name.clone(), session: None };
        Ok(Self::new(actor, member.team, origin))
    }

    fn new(actor: Actor, team: TeamId, origin: &str) -> Self {
        Self { actor, team, origin: origin.to_owned(), right: PhantomData }
    }

    pub fn actor(&self) -> &Actor {
        &self.actor
    }

    pub fn team(&self) -> TeamId {
        self.team
    }

    /// The team's world of one mode: whoever holds any right in a team may see its catalog.
    pub fn tenant(&self, mode: Mode) -> Tenant {
        Tenant::of_member(self.team, mode)
    }

    /// Where the deed comes from, as the audit log notes it.
    pub fn origin(&self) -> &str {
        &self.origin
    }
}

/// A person's place in a team, as one request of their browser has it.
#[derive(Debug, Clone)]
pub struct Seat {
    pub team: Team,
    pub role: Role,
    pub person: Person,
    pub session: SessionId,
    /// The client's address.
    pub origin: String,
}

impl Seat {
    pub fn permit<R: Right>(&self) -> Result<Permit<R>, NotAllowed> {
        if !R::is_held_by(self.role) {
            return Err(NotAllowed);
        }
        let name = self.person.name.as_str().to_owned();
        let actor = Actor::Member { person: self.person.id, name, session: Some(self.session) };
        Ok(Permit::new(actor, self.team.id, &self.origin))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roles_times_rights() {
        use Role::{Admin, Manager, Member, Owner};
        fn holders<R: Right>() -> Vec<Role> {
            Role::ALL.into_iter().filter(|role| R::is_held_by(*role)).collect()
        }
        assert_eq!(holders::<ManageKeys>(), [Owner, Admin]);
        assert_eq!(holders::<ManageTeam>(), [Owner, Admin]);
        assert_eq!(holders::<OwnTeam>(), [Owner]);
        assert_eq!(holders::<EditProducts>(), [Owner, Admin, Manager]);
        assert_eq!(holders::<TakePart>(), [Owner, Admin, Manager, Member]);
        for role in Role::ALL {
            assert_eq!(Role::parse(role.as_str()), Some(role));
            assert_eq!(Role::parse_given(role.as_str()).is_some(), role != Owner);
        }
    }
}
