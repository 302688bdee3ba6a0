//! Who is in a team, and as what.

use super::App;
use keyhouse_domain::ids::PersonId;
use keyhouse_domain::permission::{TeamAdmin, TeamMember, TeamOwner};
use keyhouse_domain::person::Email;
use keyhouse_domain::role::Role;
use keyhouse_domain::team::{Member, Team};
use keyhouse_store::{MemberChanged, NewMember, StoreError};

#[derive(Debug, thiserror::Error)]
pub enum AddMemberError {
    #[error("no such team")]
    NoSuchTeam,
    #[error("this person is in the team already, or the team has an owner already")]
    Taken,
    #[error(transparent)]
    Store(StoreError),
}

#[derive(Debug, thiserror::Error)]
pub enum ChangeMemberError {
    #[error("there is no such member")]
    NoSuchMember,
    #[error("the owner can be neither changed nor removed, and can't leave: hand the team over first, or delete it")]
    IsOwner,
    #[error("the member's role does not allow this, or no longer")]
    Forbidden,
    #[error(transparent)]
    Store(#[from] StoreError),
}

fn changed(changed: MemberChanged) -> Result<(), ChangeMemberError> {
    match changed {
        MemberChanged::Done => Ok(()),
        MemberChanged::NoSuchMember => Err(ChangeMemberError::NoSuchMember),
        MemberChanged::IsOwner => Err(ChangeMemberError::IsOwner),
        MemberChanged::Forbidden => Err(ChangeMemberError::Forbidden),
    }
}

impl App {
    /// Adds a member with a role at once, from the machine's shell.
    pub async fn add_member(&self, user: &str, team: &Team, email: &Email, role: Role) -> Result<(), AddMemberError> {
        match self.store.insert_member(team.id, self.newcomer(email, role), &self.shell_context(user)).await {
            Ok(true) => Ok(()),
            Ok(false) => Err(AddMemberError::NoSuchTeam),
            Err(StoreError::Conflict(_)) => Err(AddMemberError::Taken),
            Err(error) => Err(AddMemberError::Store(error)),
        }
    }

    pub(crate) fn newcomer<'a>(&self, email: &'a Email, role: Role) -> NewMember<'a> {
        NewMember { person: PersonId::new(self.ids.seed()), email, name: email.as_name(), role }
    }

    /// All of a team's members, the owner first.
    pub async fn members_of(&self, team: &Team) -> Result<Vec<Member>, StoreError> {
        self.store.members(team.id).await
    }

    /// Up to `limit` members by address, below `after`, whose name or address holds `search`.
    pub async fn members_page(
        &self,
        team: &Team,
        search: &str,
        after: Option<&Email>,
        limit: u32,
    ) -> Result<Vec<Member>, StoreError> {
        self.store.members_page(team.id, search, after, limit).await
    }

    /// Those who may be asked for access: the owner first, five at most.
    pub async fn admins_of(&self, team: &Team) -> Result<Vec<Member>, StoreError> {
        self.store.admins(team.id).await
    }

    pub async fn member(&self, team: &Team, person: PersonId) -> Result<Option<Member>, StoreError> {
        self.store.member(team.id, person).await
    }

    pub async fn member_by_email(&self, team: &Team, email: &Email) -> Result<Option<Member>, StoreError> {
        self.store.member_by_email(team.id, email).await
    }

    pub async fn member_count(&self, team: &Team) -> Result<u64, StoreError> {
        self.store.member_count(team.id).await
    }

    /// Gives a member another role, never the owner's.
    pub async fn change_role(&self, admin: &TeamAdmin, person: PersonId, role: Role) -> Result<(), ChangeMemberError> {
        changed(self.store.change_role(admin, person, role, &self.audit_context(admin)).await?)
    }

    /// Takes a member out of the team. Their keys go on working, unless they are to be revoked with it.
    pub async fn remove_member(
        &self,
        admin: &TeamAdmin,
        person: PersonId,
        revoke_keys: bool,
    ) -> Result<(), ChangeMemberError> {
        changed(self.store.remove_member(admin, person, revoke_keys, &self.audit_context(admin)).await?)
    }

    pub async fn leave_team(&self, member: &TeamMember, person: PersonId) -> Result<(), ChangeMemberError> {
        changed(self.store.leave_team(member, person, &self.audit_context(member)).await?)
    }

    /// Makes another member the owner; the owner becomes an admin.
    pub async fn transfer_ownership(&self, owner: &TeamOwner, to: PersonId) -> Result<(), ChangeMemberError> {
        changed(self.store.transfer_ownership(owner, to, &self.audit_context(owner)).await?)
    }
}
