//! Teams and who is in them.

use std::collections::HashMap;

use super::App;
use crate::domain::audit::AuditEvent;
use crate::domain::ids::{PersonId, TeamId};
use crate::domain::team::{Actor, Email, Member, Role, SHELL, Team, TeamName, TeamRef};
use crate::store::{NewMember, NewTeam, StoreError};

#[derive(Debug, thiserror::Error)]
pub enum AddMemberError {
    #[error("no such team")]
    NoSuchTeam,
    #[error("this person is in the team already, or the team has an owner already")]
    Taken,
    #[error(transparent)]
    Store(StoreError),
}

impl App {
    /// Makes a team with its owner, from the machine's shell.
    pub async fn create_team(&self, user: &str, name: &TeamName, owner: &Email) -> Result<Team, StoreError> {
        let owner = self.newcomer(owner, Role::Owner);
        let new = NewTeam { id: TeamId::new(self.ids.seed()), name, owner };
        self.store.insert_team(new, &self.shell_stamp(user)).await
    }

    /// Adds a member with a role, from the machine's shell.
    pub async fn add_member(&self, user: &str, team: &Team, email: &Email, role: Role) -> Result<(), AddMemberError> {
        match self.store.insert_member(team.id, self.newcomer(email, role), &self.shell_stamp(user)).await {
            Ok(true) => Ok(()),
            Ok(false) => Err(AddMemberError::NoSuchTeam),
            Err(StoreError::Conflict(_)) => Err(AddMemberError::Taken),
            Err(error) => Err(AddMemberError::Store(error)),
        }
    }

    /// All teams by slug, each with the number of its active keys.
    pub async fn teams(&self) -> Result<Vec<(Team, u32)>, StoreError> {
        let counts: HashMap<_, _> = self.store.active_key_counts().await?.into_iter().collect();
        let teams = self.store.teams().await?;
        Ok(teams
            .into_iter()
            .map(|team| {
                let n = counts.get(&team.id).copied().unwrap_or(0);
                (team, n)
            })
            .collect())
    }

    pub async fn team(&self, team: &TeamRef) -> Result<Option<Team>, StoreError> {
        self.store.team(team).await
    }

    pub async fn members_of(&self, team: &Team) -> Result<Vec<Member>, StoreError> {
        self.store.members(team.id).await
    }

    pub async fn member_by_email(&self, team: &Team, email: &Email) -> Result<Option<Member>, StoreError> {
        self.store.member_by_email(team.id, email).await
    }

    /// A team's newest audit events, newest first.
    pub async fn audit_of(&self, team: &Team, limit: u32) -> Result<Vec<AuditEvent>, StoreError> {
        self.store.audit_events(team.id, limit).await
    }

    fn newcomer<'a>(&self, email: &'a Email, role: Role) -> NewMember<'a> {
        NewMember { person: PersonId::new(self.ids.seed()), email, name: email.local_part(), role }
    }

    fn shell_stamp(&self, user: &str) -> crate::domain::audit::Stamp {
        self.stamp(Actor::Shell { user: user.to_owned() }.by(), SHELL)
    }
}
