//! Teams: made, renamed, ended; and what was done in them.

use std::collections::HashMap;

use super::App;
use keyhouse_domain::api_key::ListedKey;
use keyhouse_domain::audit::{AuditEvent, AuditFilter};
use keyhouse_domain::ids::{AuditId, PersonId, TeamId};
use keyhouse_domain::permission::{TeamAdmin, TeamOwner};
use keyhouse_domain::person::Email;
use keyhouse_domain::role::Role;
use keyhouse_domain::team::{Team, TeamName, TeamRef};
use keyhouse_store::{NewTeam, StoreError};

#[derive(Debug, thiserror::Error)]
pub enum ChangeTeamError {
    #[error("the member's role does not allow this, or no longer")]
    Forbidden,
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl App {
    /// Makes a team with its owner, from the machine's shell.
    pub async fn create_team(&self, user: &str, name: &TeamName, owner: &Email) -> Result<Team, StoreError> {
        let owner = self.newcomer(owner, Role::Owner);
        let new = NewTeam { id: TeamId::new(self.ids.seed()), name, owner };
        self.store.insert_team(new, &self.shell_context(user)).await
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
        let done = self.store.rename_team(admin, name, &self.audit_context(admin)).await?;
        done.then_some(()).ok_or(ChangeTeamError::Forbidden)
    }

    /// Ends the team, its memberships and its keys; says which keys. Nothing brings it back.
    pub async fn delete_team(&self, owner: &TeamOwner) -> Result<Vec<ListedKey>, ChangeTeamError> {
        self.store.delete_team(owner, &self.audit_context(owner)).await?.ok_or(ChangeTeamError::Forbidden)
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
