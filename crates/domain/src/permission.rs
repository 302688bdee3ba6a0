//! What roles may do, and the proof that an actor may do it.

use std::marker::PhantomData;

use keyhouse_token::Mode;

use super::audit::AuditActor;
use super::auth::Tenant;
use super::ids::{PersonId, SessionId, TeamId};
use super::person::Person;
use super::role::Role;
use super::team::{Member, Team};

/// Something that some roles may do. The one table of roles and rights is the implementations below.
pub trait Permission: Send + Sync + 'static {
    fn allowed_for(role: Role) -> bool;
}

macro_rules! rights {
    ($($(#[$doc:meta])* $name:ident: $role:ident => $held:expr;)*) => {
        $(
            $(#[$doc])*
            #[derive(Debug, Clone, Copy)]
            pub struct $name;

            impl Permission for $name {
                fn allowed_for($role: Role) -> bool {
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
    ViewTeam: _role => true;
}

/// The source of deeds done on the machine's own command line.
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
    pub fn by(&self) -> AuditActor {
        match self {
            Self::Member { person, name, .. } => AuditActor { person: Some(*person), name: name.clone() },
            Self::Shell { user } => AuditActor { person: None, name: format!("Command line ({user})") },
        }
    }
}

/// Proof that an actor holds a right in a team. Believed only until the write, which looks again.
#[derive(Debug, Clone)]
pub struct Permit<R> {
    actor: Actor,
    team: TeamId,
    source: String,
    right: PhantomData<R>,
}

pub type KeyAdmin = Permit<ManageKeys>;
pub type TeamAdmin = Permit<ManageTeam>;
pub type TeamOwner = Permit<OwnTeam>;
pub type Editor = Permit<EditProducts>;
pub type TeamMember = Permit<ViewTeam>;

/// The member's role does not hold the right.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the member's role does not allow this")]
pub struct Forbidden;

impl<R: Permission> Permit<R> {
    /// The shell may do everything in every team.
    pub fn shell(user: &str, team: TeamId) -> Self {
        Self::new(Actor::Shell { user: user.to_owned() }, team, SHELL)
    }

    /// A member who acts from `source` without a browser: [`SHELL`], or a test.
    pub fn member(member: &Member, source: &str) -> Result<Self, Forbidden> {
        if !R::allowed_for(member.role) {
            return Err(Forbidden);
        }
        let actor = Actor::Member { person: member.person, name: member.name.clone(), session: None };
        Ok(Self::new(actor, member.team, source))
    }

    fn new(actor: Actor, team: TeamId, source: &str) -> Self {
        Self { actor, team, source: source.to_owned(), right: PhantomData }
    }

    pub fn actor(&self) -> &Actor {
        &self.actor
    }

    pub fn team(&self) -> TeamId {
        self.team
    }

    /// The team's world of one mode: whoever holds any right in a team may see its catalog.
    pub fn tenant(&self, mode: Mode) -> Tenant {
        Tenant::new(self.team, mode)
    }

    /// Where the deed comes from, as the audit log notes it.
    pub fn source(&self) -> &str {
        &self.source
    }
}

/// A person's place in a team, as one request of their browser has it.
#[derive(Debug, Clone)]
pub struct Membership {
    pub team: Team,
    pub role: Role,
    pub person: Person,
    pub session: SessionId,
    /// The client's address.
    pub client_ip: String,
}

impl Membership {
    pub fn permit<R: Permission>(&self) -> Result<Permit<R>, Forbidden> {
        if !R::allowed_for(self.role) {
            return Err(Forbidden);
        }
        let name = self.person.name.as_str().to_owned();
        let actor = Actor::Member { person: self.person.id, name, session: Some(self.session) };
        Ok(Permit::new(actor, self.team.id, &self.client_ip))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roles_times_rights() {
        use Role::{Admin, Manager, Member, Owner};
        fn holders<R: Permission>() -> Vec<Role> {
            Role::ALL.into_iter().filter(|role| R::allowed_for(*role)).collect()
        }
        assert_eq!(holders::<ManageKeys>(), [Owner, Admin]);
        assert_eq!(holders::<ManageTeam>(), [Owner, Admin]);
        assert_eq!(holders::<OwnTeam>(), [Owner]);
        assert_eq!(holders::<EditProducts>(), [Owner, Admin, Manager]);
        assert_eq!(holders::<ViewTeam>(), [Owner, Admin, Manager, Member]);
        for role in Role::ALL {
            assert_eq!(Role::parse(role.as_str()), Some(role));
            assert_eq!(Role::parse_given(role.as_str()).is_some(), role != Owner);
        }
    }
}
