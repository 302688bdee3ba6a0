//! Reading the usage of keys

use crate::error::corrupt;
use crate::statement::{sql, sql_text};
use crate::{Queries, Result};
use keyhouse_domain::ids::{KeyId, RequestId, TeamId};
use keyhouse_domain::timestamp::Timestamp;
use keyhouse_domain::usage::{CallFilter, DailyCalls, Outcome, RecordedCall, SeenAddress, UtcDay};

#[derive(sqlx::FromRow)]
struct DayRow {
    key_id: String,
    day: i64,
    outcome: String,
    calls: i64,
}

#[derive(sqlx::FromRow)]
struct AddressRow {
    address: String,
    agent: String,
    first_at: i64,
    last_at: i64,
    calls: i64,
    refused: i64,
    refused_at: Option<i64>,
    accepted_at: Option<i64>,
}

#[derive(sqlx::FromRow)]
struct CallRow {
    key_id: String,
    request_id: String,
    at: i64,
    method: String,
    route: String,
    status: i64,
    outcome: String,
    address: String,
    agent: String,
}

/// Sorts after every request's id as text.
const ABOVE_ALL_IDS: &str = "req_~";

impl Queries {
    /// The calls of a key by day and outcome since a day, in the order of the days.
    ///
    /// # Errors
    ///
    /// Any [`StoreError`](crate::StoreError) of a read.
    pub async fn calls_by_day(&self, key: KeyId, since: UtcDay) -> Result<Vec<DailyCalls>> {
        let select = sql("SELECT key_id, day, outcome, calls FROM key_calls_by_day WHERE key_id = $1 AND day >= $2 \
                          ORDER BY day, outcome")
        .bind(key)
        .bind(since.number());
        let rows: Vec<DayRow> = self.reads.fetch_all(select).await?;
        rows.into_iter().map(DayRow::calls).collect()
    }

    /// As [`Queries::calls_by_day`], for all keys of a team.
    ///
    /// # Errors
    ///
    /// Any [`StoreError`](crate::StoreError) of a read.
    pub async fn calls_by_day_of_team(&self, team: TeamId, since: UtcDay) -> Result<Vec<DailyCalls>> {
        let select = sql("SELECT key_id, day, outcome, calls FROM keys JOIN key_calls_by_day ON key_id = id \
                          WHERE team_id = $1 AND day >= $2 ORDER BY key_id, day, outcome")
        .bind(team)
        .bind(since.number());
        let rows: Vec<DayRow> = self.reads.fetch_all(select).await?;
        rows.into_iter().map(DayRow::calls).collect()
    }

    /// The addresses from which a key's token was sent, the latest first.
    ///
    /// # Errors
    ///
    /// Any [`StoreError`](crate::StoreError) of a read.
    pub async fn addresses_of_key(&self, key: KeyId) -> Result<Vec<SeenAddress>> {
        let select = sql("SELECT address, agent, first_at, last_at, calls, refused, refused_at, accepted_at \
                          FROM key_addresses WHERE key_id = $1 ORDER BY last_at DESC, address, agent")
        .bind(key);
        let rows: Vec<AddressRow> = self.reads.fetch_all(select).await?;
        Ok(rows.into_iter().map(SeenAddress::from).collect())
    }

    /// Up to `limit` recent calls of a team's keys that pass the filter, newest first, below `before` if it is given.
    ///
    /// # Errors
    ///
    /// Any [`StoreError`](crate::StoreError) of a read.
    pub async fn recent_calls(
        &self,
        team: TeamId,
        filter: &CallFilter,
        before: Option<RequestId>,
        limit: u32,
    ) -> Result<Vec<(KeyId, RecordedCall)>> {
        let mut text = "SELECT key_id, request_id, at, method, route, status, outcome, address, agent FROM key_calls \
                        WHERE key_id IN (SELECT id FROM keys WHERE team_id = $1) AND request_id < $2 AND at > $4 \
                            AND status >= $5 AND status < $6"
            .to_owned();
        let (method, route) = filter.route.clone().unzip();
        let method = method.filter(|method| !method.is_empty());
        let conditions = [
            ("key_id", filter.key.map(|key| key.to_string())),
            ("outcome", filter.outcome.map(|outcome| outcome.as_str().to_owned())),
            ("method", method),
            ("route", route),
            ("request_id", filter.request.map(|request| request.to_string())),
            ("address", filter.address.clone()),
        ];
        let mut given = Vec::new();
        for (column, value) in conditions.into_iter().filter_map(|(column, value)| Some((column, value?))) {
            given.push(value);
            text += &format!(" AND {column} = ${}", 6 + given.len());
        }
        text += " ORDER BY request_id DESC LIMIT $3";
        let (least, most) =
            filter.status_class.map_or((0, 1000), |class| (i64::from(class) * 100, i64::from(class) * 100 + 100));
        let select = sql_text(text)
            .bind(team)
            .bind(before.map_or(ABOVE_ALL_IDS.to_owned(), |id| id.to_string()))
            .bind(limit)
            .bind(filter.since.map_or(i64::MIN, Timestamp::ms))
            .bind(least)
            .bind(most);
        let select = given.into_iter().fold(select, |select, value| select.bind(value));
        let rows: Vec<CallRow> = self.reads.fetch_all(select).await?;
        rows.into_iter().map(CallRow::call).collect()
    }
}

impl DayRow {
    fn calls(self) -> Result<DailyCalls> {
        let bad = || corrupt("key_calls_by_day", &self.key_id);
        Ok(DailyCalls {
            key: self.key_id.parse().map_err(|_| bad())?,
            day: UtcDay::from_number(self.day),
            outcome: Outcome::parse(&self.outcome).ok_or_else(bad)?,
            calls: self.calls.unsigned_abs(),
        })
    }
}

impl From<AddressRow> for SeenAddress {
    fn from(row: AddressRow) -> Self {
        Self {
            address: row.address,
            agent: row.agent,
            first_at: Timestamp::from_ms(row.first_at),
            last_at: Timestamp::from_ms(row.last_at),
            calls: row.calls.unsigned_abs(),
            refused: row.refused.unsigned_abs(),
            refused_at: row.refused_at.map(Timestamp::from_ms),
            accepted_at: row.accepted_at.map(Timestamp::from_ms),
        }
    }
}

impl CallRow {
    fn call(self) -> Result<(KeyId, RecordedCall)> {
        let bad = || corrupt("key_calls", &self.request_id);
        let key = self.key_id.parse().map_err(|_| bad())?;
        let call = RecordedCall {
            request: self.request_id.parse().map_err(|_| bad())?,
            at: Timestamp::from_ms(self.at),
            status: u16::try_from(self.status).map_err(|_| bad())?,
            outcome: Outcome::parse(&self.outcome).ok_or_else(bad)?,
            method: self.method,
            route: self.route,
            address: self.address,
            agent: self.agent,
        };
        Ok((key, call))
    }
}
