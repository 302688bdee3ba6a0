//! Who is in a team, and with which role

use super::App;
use keyhouse_domain::ids::PersonId;
use keyhouse_domain::permission::{TeamAdmin, TeamMember, TeamOwner};
use keyhouse_domain::person::{Email, PersonName};
use keyhouse_domain::role::Role;
use keyhouse_domain::team::Team;
use keyhouse_store::NewMember;

pub use keyhouse_store::{AddMemberError, ChangeMemberError};

impl App {
    /// Adds a member without an invitation, from the command line.
    ///
    /// # Errors
    ///
    /// See [`AddMemberError`].
    pub async fn add_member(&self, user: &str, team: &Team, email: &Email, role: Role) -> Result<(), AddMemberError> {
        self.add_member_named(user, team, (email, email.as_name()), role).await
    }

    /// As [`App::add_member`]; a new account gets this name.
    ///
    /// # Errors
    ///
    /// See [`AddMemberError`].
    pub async fn add_member_named(
        &self,
        user: &str,
        team: &Team,
        (email, name): (&Email, PersonName),
        role: Role,
    ) -> Result<(), AddMemberError> {
        self.store.add_member(team.id, self.new_member((email, name), role), &self.shell_context(user)).await
    }

    pub(crate) fn new_member<'a>(&self, (email, name): (&'a Email, PersonName), role: Role) -> NewMember<'a> {
        NewMember { person: PersonId::new(self.ids.seed()), email, name, role }
    }

    /// Gives a member another role, never the owner's. With `was`, only if the member has that role.
    ///
    /// # Errors
    ///
    /// See [`ChangeMemberError`].
    pub async fn change_role(
        &self,
        admin: &TeamAdmin,
        person: PersonId,
        role: Role,
        was: Option<Role>,
    ) -> Result<(), ChangeMemberError> {
        self.store.change_role(admin, person, role, was, &self.audit_context(admin)).await
    }

    /// Removes a member from the team. The keys they created stay active, unless they are to be revoked with it.
    ///
    /// # Errors
    ///
    /// See [`ChangeMemberError`].
    pub async fn remove_member(
        &self,
        admin: &TeamAdmin,
        person: PersonId,
        revoke_keys: bool,
    ) -> Result<(), ChangeMemberError> {
        self.store.remove_member(admin, person, revoke_keys, &self.audit_context(admin)).await
    }

    /// Removes the member from the team at their own request.
    ///
    /// # Errors
    ///
    /// See [`ChangeMemberError`].
    pub async fn leave_team(&self, member: &TeamMember) -> Result<(), ChangeMemberError> {
        self.store.leave_team(member, &self.audit_context(member)).await
    }

    /// Makes another member the owner; the owner becomes an admin.
    ///
    /// # Errors
    ///
    /// See [`ChangeMemberError`].
    pub async fn transfer_ownership(&self, owner: &TeamOwner, to: PersonId) -> Result<(), ChangeMemberError> {
        self.store.transfer_ownership(owner, to, &self.audit_context(owner)).await
    }
}
