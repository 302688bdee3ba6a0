//! Searches of lists, one at a time for each person

use std::time::Duration;

use super::App;
use super::infra::keyed_locks::KeyedGuard;
use keyhouse_domain::auth::Tenant;
use keyhouse_domain::ids::{PersonId, TeamId};
use keyhouse_domain::pagination::{Cursor, Limit};
use keyhouse_domain::product::{Product, StatusFilter};
use keyhouse_domain::search::{Found, SEARCH_BUDGET, SearchTerm};
use keyhouse_domain::team::Member;
use keyhouse_store::StoreError;

/// How long a search waits for the person's previous one, which has at most [`SEARCH_BUDGET`].
const WAIT: Duration = Duration::from_secs(1);

/// Why a search found nothing out.
#[derive(Debug, thiserror::Error)]
pub enum SearchError {
    #[error("other searches of this person are running")]
    Busy,
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl App {
    /// A page of the products whose name or SKU contains the term, newest first.
    ///
    /// # Errors
    ///
    /// [`SearchError`].
    pub async fn search_products(
        &self,
        person: PersonId,
        tenant: &Tenant,
        filter: StatusFilter,
        term: &SearchTerm,
        after: Option<Cursor>,
        limit: Limit,
    ) -> Result<Found<Product, Cursor>, SearchError> {
        let _turn = self.search_turn(person).await?;
        Ok(self.queries().search_products(tenant, filter, term, after, limit, SEARCH_BUDGET).await?)
    }

    /// A page of the team's members whose name or address contains the term, below the canonical address `after`.
    ///
    /// # Errors
    ///
    /// [`SearchError`].
    pub async fn search_members(
        &self,
        person: PersonId,
        team: TeamId,
        term: &SearchTerm,
        after: &str,
        limit: Limit,
    ) -> Result<Found<Member, String>, SearchError> {
        let _turn = self.search_turn(person).await?;
        Ok(self.queries().search_members(team, term, after, limit, SEARCH_BUDGET).await?)
    }

    async fn search_turn(&self, person: PersonId) -> Result<KeyedGuard<PersonId>, SearchError> {
        self.searches.lock(person, WAIT).await.ok_or(SearchError::Busy)
    }
}
