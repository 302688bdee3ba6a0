//! Permissions: which role may do what, and the proof that an actor has a permission.

use std::marker::PhantomData;

use keyhouse_token::Mode;

use super::audit::{AuditActor, SERVER};
use super::auth::Tenant;
use super::ids::{PersonId, SessionId, TeamId};
use super::person::Person;
use super::role::Role;
use super::team::{Member, Team};

/// Something that some roles may do. The implementations below are the only table of roles and permissions.
pub trait Permission: Send + Sync + 'static {
    /// Whether a member with this role has the permission.
    fn allowed_for(role: Role) -> bool;
}

macro_rules! permissions {
    ($($(#[$doc:meta])* $name:ident: $role:ident => $allowed:expr;)*) => {
        $(
            $(#[$doc])*
            #[derive(Debug, Clone, Copy)]
            pub struct $name;

            impl Permission for $name {
                fn allowed_for($role: Role) -> bool {
                    $allowed
                }
            }
        )*
    };
}

permissions! {
    /// Create, change, revoke and find keys.
    ManageKeys: role => role.administers();
    /// Rename the team; invite, change and remove members; read the audit log.
    ManageTeam: role => role.administers();
    /// Transfer the team to another member, or delete it.
    OwnTeam: role => matches!(role, Role::Owner);
    /// Create, change, archive and restore products.
    EditProducts: role => role.edits();
    /// View the products; leave the team.
    ViewTeam: _role => true;
}

/// The source that the audit log has for changes made on the command line.
pub const SHELL: &str = "shell";

/// Who acts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Actor {
    /// A member of the team. Role and session are read again in the write's transaction.
    Member {
        /// The member's account.
        person: PersonId,
        /// The member's name.
        name: String,
        /// The session of the browser; `None` if the command line acts as the member.
        session: Option<SessionId>,
    },
    /// The command line. Its user has access to the database, so every permission is granted.
    Shell {
        /// The operating system's user name.
        user: String,
    },
    /// A report that a token was found in public. Having the token is the proof, so no person is needed.
    LeakReport {
        /// What reported it: `GitHub`, `GitLab`, `report page`.
        reporter: String,
    },
    /// The server itself.
    Server,
}

impl Actor {
    /// The actor as the audit log records it.
    pub fn by(&self) -> AuditActor {
        match self {
            Self::Member { person, name, .. } => AuditActor { person: Some(*person), name: name.clone() },
            Self::Shell { user } => AuditActor { person: None, name: format!("Command line ({user})") },
            Self::LeakReport { reporter } => AuditActor { person: None, name: format!("Leak report ({reporter})") },
            Self::Server => AuditActor::server(),
        }
    }
}

/// Proof that an actor had a permission in a team when it was checked. A write checks again under the team's lock.
#[derive(Debug, Clone)]
pub struct Permit<P> {
    actor: Actor,
    team: TeamId,
    source: String,
    permission: PhantomData<P>,
}

/// Permits managing the team's keys.
pub type KeyAdmin = Permit<ManageKeys>;
/// Permits managing the team and its members.
pub type TeamAdmin = Permit<ManageTeam>;
/// Permits what only the owner may do.
pub type TeamOwner = Permit<OwnTeam>;
/// Permits changing products.
pub type Editor = Permit<EditProducts>;
/// Permits what every member may do.
pub type TeamMember = Permit<ViewTeam>;

/// The actor does not have the permission: 403.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the member's role does not allow this")]
pub struct Forbidden;

impl<P: Permission> Permit<P> {
    /// A permit for the command line, which has every permission in every team.
    pub fn shell(user: &str, team: TeamId) -> Self {
        Self::new(Actor::Shell { user: user.to_owned() }, team, SHELL)
    }

    /// A permit for a member who acts from `source` without a session: [`SHELL`], or a test.
    ///
    /// # Errors
    ///
    /// [`Forbidden`] if the member's role does not have the permission.
    pub fn member(member: &Member, source: &str) -> Result<Self, Forbidden> {
        if !P::allowed_for(member.role) {
            return Err(Forbidden);
        }
        let actor = Actor::Member { person: member.person, name: member.name.clone(), session: None };
        Ok(Self::new(actor, member.team, source))
    }

    /// A permit for what the server does by itself.
    pub fn server(team: TeamId) -> Self {
        Self::new(Actor::Server, team, SERVER)
    }

    fn new(actor: Actor, team: TeamId, source: &str) -> Self {
        Self { actor, team, source: source.to_owned(), permission: PhantomData }
    }

    /// Who acts.
    pub fn actor(&self) -> &Actor {
        &self.actor
    }

    /// The team.
    pub fn team(&self) -> TeamId {
        self.team
    }

    /// The team's data of one mode. Every permission includes viewing products, so any permit gives it.
    pub fn tenant(&self, mode: Mode) -> Tenant {
        Tenant::new(self.team, mode)
    }

    /// The client's address, or [`SHELL`], for the audit log.
    pub fn source(&self) -> &str {
        &self.source
    }
}

impl KeyAdmin {
    /// A permit to end or pause keys of a team whose token was reported as leaked, from the client address `source`.
    pub fn leak_report(reporter: &str, source: &str, team: TeamId) -> Self {
        Self::new(Actor::LeakReport { reporter: reporter.to_owned() }, team, source)
    }
}

/// A signed-in person's membership in a team, read for one request.
#[derive(Debug, Clone)]
pub struct Membership {
    /// The team.
    pub team: Team,
    /// The person's role in it.
    pub role: Role,
    /// The person.
    pub person: Person,
    /// The session of the request.
    pub session: SessionId,
    /// The client's address.
    pub client_ip: String,
}

impl Membership {
    /// A permit for the person in this team.
    ///
    /// # Errors
    ///
    /// [`Forbidden`] if the role does not have the permission.
    pub fn permit<P: Permission>(&self) -> Result<Permit<P>, Forbidden> {
        if !P::allowed_for(self.role) {
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
    fn each_permission_belongs_to_its_roles() {
        use Role::{Admin, Manager, Member, Owner};
        fn holders<P: Permission>() -> Vec<Role> {
            Role::ALL.into_iter().filter(|role| P::allowed_for(*role)).collect()
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
