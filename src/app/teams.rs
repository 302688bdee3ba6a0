//! Teams: made, renamed, ended; and what was done in them.

use std::collections::HashMap;

use super::App;
use crate::domain::audit::{AuditEvent, AuditFilter};
use crate::domain::ids::{AuditId, PersonId, TeamId};
use crate::domain::key::ListedKey;
use crate::domain::person::Email;
use crate::domain::role::{Role, TeamAdmin, TeamOwner};
use crate::domain::team::{Team, TeamName, TeamRef};
use crate::store::{NewTeam, StoreError};

#[derive(Debug, thiserror::Error)]
pub enum ChangeTeamError {
    #[error("the member's role does not allow this, or no longer")]
    NotAllowed,
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl App {
    /// Makes a team with its owner, from the machine's shell.
    pub async fn create_team(&self, user: &str, name: &TeamName, owner: &Email) -> Result<Team, StoreError> {
        let owner = self.newcomer(owner, Role::Owner);
        let new = NewTeam { id: TeamId::new(self.ids.seed()), name, owner };
        self.store.insert_team(new, &self.shell_stamp(user)).await
    }

    /// All teams by slug, each with the number of its active keys.
    pub async fn teams(&self) -> Result<Vec<(Team, u32)>, StoreError> {
        let counts: HashMap<_, _> = self.store.active_key_counts(None).await?.into_iter().collect();
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

    pub async fn rename_team(&self, admin: &TeamAdmin, name: &TeamName) -> Result<(), ChangeTeamError> {
        let done = self.store.rename_team(admin, name, &self.stamp_for(admin)).await?;
        done.then_some(()).ok_or(ChangeTeamError::NotAllowed)
    }

    /// Ends the team, its memberships and its keys; says which keys. Nothing brings it back.
    pub async fn delete_team(&self, owner: &TeamOwner) -> Result<Vec<ListedKey>, ChangeTeamError> {
        self.store.delete_team(owner, &self.stamp_for(owner)).await?.ok_or(ChangeTeamError::NotAllowed)
    }

    /// The teams a person is in, each with their role.
    pub async fn teams_of(&self, person: PersonId) -> Result<Vec<(Team, Role)>, StoreError> {
        self.store.teams_of(person).await
    }

    /// A team's events that pass the filter, newest first, below `before`.
    pub async fn audit_of(
        &self,
        team: &Team,
        filter: &AuditFilter,
        before: Option<AuditId>,
        limit: u32,
    ) -> Result<Vec<AuditEvent>, StoreError> {
        self.store.audit_events(team.id, filter, before, limit).await
    }
}
