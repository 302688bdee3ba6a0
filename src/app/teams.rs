//! Teams: create, rename and delete them

use std::collections::HashMap;

use super::App;
use keyhouse_domain::api_key::ListedKey;
use keyhouse_domain::ids::TeamId;
use keyhouse_domain::permission::{TeamAdmin, TeamOwner};
use keyhouse_domain::person::{Email, PersonName};
use keyhouse_domain::role::Role;
use keyhouse_domain::team::{Team, TeamName};
use keyhouse_store::{NewTeam, StoreError};

pub use keyhouse_store::ChangeTeamError;

impl App {
    /// Creates a team with its owner, from the command line.
    ///
    /// # Errors
    ///
    /// Any [`StoreError`] of a write.
    pub async fn create_team(&self, user: &str, name: &TeamName, owner: &Email) -> Result<Team, StoreError> {
        self.create_team_owned_by(user, name, (owner, owner.as_name())).await
    }

    /// As [`App::create_team`]; a new account gets this name.
    ///
    /// # Errors
    ///
    /// Any [`StoreError`] of a write.
    pub async fn create_team_owned_by(
        &self,
        user: &str,
        name: &TeamName,
        owner: (&Email, PersonName),
    ) -> Result<Team, StoreError> {
        let owner = self.new_member(owner, Role::Owner);
        let new = NewTeam { id: TeamId::new(self.ids.seed()), name, owner };
        self.store.create_team(new, &self.shell_context(user)).await
    }

    /// All teams by slug, each with the number of its active keys.
    ///
    /// # Errors
    ///
    /// Any [`StoreError`] of a read.
    pub async fn teams(&self) -> Result<Vec<(Team, u32)>, StoreError> {
        let counts: HashMap<_, _> = self.queries().active_key_counts(self.clock.now()).await?.into_iter().collect();
        let teams = self.queries().teams().await?;
        let counted = |team: Team| {
            let count = counts.get(&team.id).copied().unwrap_or(0);
            (team, count)
        };
        Ok(teams.into_iter().map(counted).collect())
    }

    /// Gives a team another name. With `was`, only if the team has that name.
    ///
    /// # Errors
    ///
    /// See [`ChangeTeamError`].
    pub async fn rename_team(
        &self,
        admin: &TeamAdmin,
        name: &TeamName,
        was: Option<&str>,
    ) -> Result<(), ChangeTeamError> {
        self.store.rename_team(admin, name, was, &self.audit_context(admin)).await
    }

    /// Deletes the team and its memberships for good and revokes its keys; returns the keys that were active.
    ///
    /// # Errors
    ///
    /// See [`ChangeTeamError`].
    pub async fn delete_team(&self, owner: &TeamOwner) -> Result<Vec<ListedKey>, ChangeTeamError> {
        self.store.delete_team(owner, &self.audit_context(owner)).await
    }
}
