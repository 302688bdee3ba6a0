//! Searches of lists. Rows are read in batches and compared here, so that both engines find the same whatever their
//! collation; on connections that nothing else uses, for a limited time.

use std::time::Duration;

use tokio::time::{Instant, timeout_at};

use crate::db::AnyRow;
use crate::members::MemberRow;
use crate::product_rows::{COLUMNS, ProductRow, below};
use crate::statement::{Statement, sql, sql_text};
use crate::{Queries, Result};
use keyhouse_domain::auth::Tenant;
use keyhouse_domain::ids::TeamId;
use keyhouse_domain::pagination::{Cursor, Limit};
use keyhouse_domain::product::{Product, Status, StatusFilter};
use keyhouse_domain::search::{Found, SearchTerm};
use keyhouse_domain::team::Member;

/// Rows that are read at once: a round trip is then short beside the time it takes to compare them.
const BATCH: u32 = 500;

#[derive(sqlx::FromRow)]
struct ProductText {
    id: String,
    name: String,
    sku: Option<String>,
}

/// Rows that match, the position after which the rest begins, and whether the time was over.
struct Scan<R> {
    rows: Vec<R>,
    next: Option<String>,
    is_cut_short: bool,
}

impl Queries {
    /// A page of the products whose name or SKU contains the term, newest first.
    ///
    /// # Errors
    ///
    /// Any [`StoreError`](crate::StoreError) of a read.
    pub async fn search_products(
        &self,
        tenant: &Tenant,
        filter: StatusFilter,
        term: &SearchTerm,
        after: Option<Cursor>,
        limit: Limit,
        budget: Duration,
    ) -> Result<Found<Product, Cursor>> {
        let batch = |after: &str| {
            sql("SELECT id, name, sku FROM products \
                 WHERE (team_id, mode) >= ($1, $2) AND (team_id, mode, id) < ($1, $2, $3) AND ($5 = '' OR status = $5) \
                 ORDER BY team_id DESC, mode DESC, id DESC LIMIT $4")
            .bind(tenant.team())
            .bind(tenant.mode().as_str())
            .bind(after)
            .bind(BATCH)
            .bind(filter.status().map_or("", Status::as_str))
        };
        let id = |row: &ProductText| row.id.clone();
        let matches = |row: &ProductText| term.is_in(&row.name) || row.sku.as_ref().is_some_and(|sku| term.is_in(sku));
        let scan = self.scan(budget, limit, below(after), batch, id, matches).await?;
        let ids: Vec<_> = scan.rows.into_iter().map(|row| row.id).collect();
        Ok(Found {
            items: self.products_by_id(tenant, &ids).await?,
            next: scan.next.and_then(|id| Cursor::parse(&id)),
            is_cut_short: scan.is_cut_short,
        })
    }

    /// A page of the team's members whose name or address contains the term, by canonical address,
    /// below `after`; empty for the first page.
    ///
    /// # Errors
    ///
    /// Any [`StoreError`](crate::StoreError) of a read.
    pub async fn search_members(
        &self,
        team: TeamId,
        term: &SearchTerm,
        after: &str,
        limit: Limit,
        budget: Duration,
    ) -> Result<Found<Member, String>> {
        let batch = |after: &str| crate::members::page_after(team, after, BATCH);
        let address = |row: &MemberRow| row.email_canonical.clone();
        let matches = |row: &MemberRow| term.is_in(&row.name) || term.is_in(&row.email);
        let scan = self.scan(budget, limit, after.to_owned(), batch, address, matches).await?;
        Ok(Found {
            items: scan.rows.into_iter().map(Member::try_from).collect::<Result<_>>()?,
            next: scan.next,
            is_cut_short: scan.is_cut_short,
        })
    }

    /// Reads a list batch by batch from the position `after` on, until a page of rows matches, the list ends or the time is
    /// over.
    async fn scan<R: AnyRow>(
        &self,
        budget: Duration,
        limit: Limit,
        mut after: String,
        batch: impl Fn(&str) -> Statement,
        position: impl Fn(&R) -> String,
        matches: impl Fn(&R) -> bool,
    ) -> Result<Scan<R>> {
        let deadline = Instant::now() + budget;
        let wanted = usize::from(limit.get());
        let mut rows: Vec<R> = Vec::new();
        loop {
            let next = |rows: &[R]| rows.last().map(&position);
            // Also between the batches: one that is ready at once is not timed out.
            let read = if Instant::now() >= deadline {
                None
            } else {
                timeout_at(deadline, self.searches.fetch_all::<R>(batch(&after))).await.ok()
            };
            let Some(read) = read else {
                return Ok(Scan { rows, next: Some(after), is_cut_short: true });
            };
            let read = read?;
            let is_end = read.len() < BATCH as usize;
            for row in read {
                after = position(&row);
                if matches(&row) {
                    if rows.len() == wanted {
                        let next = next(&rows);
                        return Ok(Scan { rows, next, is_cut_short: false });
                    }
                    rows.push(row);
                }
            }
            if is_end {
                return Ok(Scan { rows, next: None, is_cut_short: false });
            }
        }
    }

    /// The tenant's products of these ids, newest first.
    async fn products_by_id(&self, tenant: &Tenant, ids: &[String]) -> Result<Vec<Product>> {
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let places: Vec<_> = (3..3 + ids.len()).map(|n| format!("${n}")).collect();
        let select = format!(
            "SELECT {COLUMNS} FROM products WHERE team_id = $1 AND mode = $2 AND id IN ({}) ORDER BY id DESC",
            places.join(", ")
        );
        let select = sql_text(select).bind(tenant.team()).bind(tenant.mode().as_str());
        let select = ids.iter().fold(select, |select, id| select.bind(id));
        let rows: Vec<ProductRow> = self.searches.fetch_all(select).await?;
        rows.into_iter().map(Product::try_from).collect()
    }
}
