//! Keys ⇄ rows. Every function that changes a key's record goes through the team's lock and the change counter.

use crate::{Result, Store, Tx, corrupt, on, record};
use keyhouse_domain::api_key::{ACTIVE_KEYS_MAX, ApiKey, KeyName, KeyState, LastUse, ListedKey, REVOKED_SHOWN_FOR};
use keyhouse_domain::audit::{Action, AuditActor, AuditContext};
use keyhouse_domain::ids::{KeyId, PersonId, TeamId};
use keyhouse_domain::permission::KeyAdmin;
use keyhouse_domain::scope::Scope;
use keyhouse_domain::timestamp::Timestamp;
use keyhouse_token::Mode;
use keyhouse_token::{TokenHash, TokenPrefix};

/// What a new key's row holds. The token is not among it.
#[derive(Debug)]
pub struct NewRow<'a> {
    pub key: &'a ApiKey,
    pub hash: TokenHash,
    pub name: &'a KeyName,
}

/// What became of a creation.
#[derive(Debug, PartialEq, Eq)]
pub enum Inserted {
    Done,
    /// There is a key of this id: the same form was sent before.
    Exists,
    /// The team has its ten active keys.
    LimitReached,
    /// The actor may not manage this team's keys, or no longer.
    Forbidden,
}

/// What became of a renaming.
#[derive(Debug, PartialEq, Eq)]
pub enum Renamed {
    Done,
    NoSuchKey,
    /// A revoked key can't be renamed.
    Revoked,
    Forbidden,
}

/// What became of a revocation.
#[derive(Debug, PartialEq, Eq)]
pub enum Revoked {
    Done,
    /// It was before; nothing changed.
    Already,
    NoSuchKey,
    Forbidden,
}

/// The answer to "whose token is this?", and how far the database had come when it gave it: all in one statement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// Revoked ones too; `None`: no key has this token.
    pub key: Option<ApiKey>,
    pub seq: i64,
    pub epoch: String,
}

record!(FoundRow {
    seq: i64,
    epoch: String,
    id: Option<String>,
    team_id: Option<String>,
    prefix: Option<String>,
    mode: Option<String>,
    scope: Option<String>,
    created_at: Option<i64>,
    revoked_at: Option<i64>,
    revoked_by: Option<String>,
    revoked_by_name: Option<String>,
});

record!(KeyRow {
    id: String,
    team_id: String,
    prefix: String,
    mode: String,
    scope: String,
    created_at: i64,
    revoked_at: Option<i64>,
    revoked_by: Option<String>,
    revoked_by_name: Option<String>,
});

record!(ListedRow {
    id: String,
    team_id: String,
    prefix: String,
    name: Option<String>,
    mode: String,
    scope: String,
    created_at: i64,
    created_by: Option<String>,
    created_by_name: String,
    revoked_at: Option<i64>,
    revoked_by: Option<String>,
    revoked_by_name: Option<String>,
    last_used_at: Option<i64>,
    last_used_from: Option<String>,
    creator_is_member: i64,
});

/// A key as its team's list shows it, by whatever condition.
macro_rules! listed {
    ($condition:literal) => {
        concat!(
            "SELECT id, team_id, prefix, name, mode, scope, created_at, created_by, created_by_name, revoked_at, \
             revoked_by, revoked_by_name, last_used_at, last_used_from, (SELECT count(*) FROM members \
             WHERE members.team_id = keys.team_id AND person_id = created_by) AS creator_is_member FROM keys LEFT JOIN key_usage ON key_id = id ",
            $condition
        )
    };
}

impl Store {
    /// The key with this token. One look-up on a unique index.
    pub async fn key_by_hash(&self, hash: &TokenHash) -> Result<Found> {
        self.check_file()?;
        self.admit.note_wait(&self.waits.admit);
        let row: FoundRow = on!(&self.admit, db => sqlx::query_as(
            "SELECT changes.seq, epoch, keys.id, team_id, prefix, mode, scope, created_at, revoked_at, revoked_by, \
             revoked_by_name FROM changes LEFT JOIN keys ON token_hash = $1")
            .bind(hash.as_bytes()).fetch_one(db).await?);
        Ok(Found { seq: row.seq, epoch: row.epoch.clone(), key: row.key()?.map(ApiKey::try_from).transpose()? })
    }

    /// One key, whatever its team and state.
    pub async fn key(&self, id: KeyId) -> Result<Option<ListedKey>> {
        let row: Option<ListedRow> = on!(&self.reads, db => sqlx::query_as(
            listed!("WHERE id = $1"))
            .bind(id.to_string()).fetch_optional(db).await?);
        row.map(ListedKey::try_from).transpose()
    }

    /// A team's keys, newest first: the active ones, and those revoked less than 90 days before `now`.
    pub async fn keys_of_team(&self, team: TeamId, now: Timestamp) -> Result<Vec<ListedKey>> {
        let rows: Vec<ListedRow> = on!(&self.reads, db => sqlx::query_as(
            listed!("WHERE team_id = $1 AND (revoked_at IS NULL OR revoked_at > $2) ORDER BY created_at DESC, id DESC"))
            .bind(team.to_string()).bind(now.minus(REVOKED_SHOWN_FOR).ms()).fetch_all(db).await?);
        rows.into_iter().map(ListedKey::try_from).collect()
    }

    /// Writes a new key if the team has fewer than ten active ones: exact, however many ask at once.
    pub async fn insert_key_within_cap(
        &self,
        admin: &KeyAdmin,
        new: NewRow<'_>,
        context: &AuditContext,
    ) -> Result<Inserted> {
        let mut tx = self.begin().await?;
        if !tx.lock_and_authorize(admin, context.at).await? {
            return Ok(Inserted::Forbidden);
        }
        let known: Option<i64> = on!(&mut tx.0, db =>
            sqlx::query_scalar("SELECT slot FROM keys WHERE id = $1")
                .bind(new.key.id.to_string()).fetch_optional(&mut **db).await?);
        if known.is_some() {
            return Ok(Inserted::Exists);
        }
        let taken: Vec<i64> = on!(&mut tx.0, db =>
            sqlx::query_scalar("SELECT slot FROM keys WHERE team_id = $1 AND revoked_at IS NULL")
                .bind(admin.team().to_string()).fetch_all(&mut **db).await?);
        let Some(slot) = (1..=i64::from(ACTIVE_KEYS_MAX)).find(|slot| !taken.contains(slot)) else {
            return Ok(Inserted::LimitReached);
        };
        let seq = tx.bump_change_seq().await?;
        let key = new.key;
        on!(&mut tx.0, db => sqlx::query(
            "INSERT INTO keys (id, team_id, token_hash, prefix, name, mode, scope, slot, created_at, \
                               created_by, created_by_name, seq) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)")
            .bind(key.id.to_string()).bind(key.team.to_string()).bind(new.hash.as_bytes())
            .bind(key.prefix.as_str()).bind(new.name.as_str()).bind(key.mode.as_str()).bind(key.scope.as_str())
            .bind(slot).bind(key.created_at.ms())
            .bind(context.by.person.map(|p| p.to_string())).bind(&context.by.name).bind(seq)
            .execute(&mut **db).await?.rows_affected());
        let detail = format!("{} \"{}\", {}", key.prefix, new.name, key.scope.label());
        tx.audit(&context.event(0, key.team, Action::KeyCreated, key.id, detail)).await?;
        tx.commit().await?;
        Ok(Inserted::Done)
    }

    pub async fn rename_key(
        &self,
        admin: &KeyAdmin,
        id: KeyId,
        name: &KeyName,
        context: &AuditContext,
    ) -> Result<Renamed> {
        let mut tx = self.begin().await?;
        if !tx.lock_and_authorize(admin, context.at).await? {
            return Ok(Renamed::Forbidden);
        }
        let Some(old) = tx.key_of_team(admin.team(), id).await? else { return Ok(Renamed::NoSuchKey) };
        if !old.key.is_active() {
            return Ok(Renamed::Revoked);
        }
        let seq = tx.bump_change_seq().await?;
        on!(&mut tx.0, db => sqlx::query("UPDATE keys SET name = $2, seq = $3 WHERE id = $1 AND revoked_at IS NULL")
            .bind(id.to_string()).bind(name.as_str()).bind(seq).execute(&mut **db).await?.rows_affected());
        let old_name = old.name.as_ref().map_or("", KeyName::as_str);
        let detail = format!("{} \"{old_name}\" to \"{name}\"", old.key.prefix);
        tx.audit(&context.event(0, admin.team(), Action::KeyRenamed, id, detail)).await?;
        tx.commit().await?;
        Ok(Renamed::Done)
    }

    pub async fn revoke_key(&self, admin: &KeyAdmin, id: KeyId, context: &AuditContext) -> Result<Revoked> {
        let mut tx = self.begin().await?;
        if !tx.lock_and_authorize(admin, context.at).await? {
            return Ok(Revoked::Forbidden);
        }
        let Some(old) = tx.key_of_team(admin.team(), id).await? else { return Ok(Revoked::NoSuchKey) };
        if !old.key.is_active() {
            tx.invalidate_local_cache();
            return Ok(Revoked::Already);
        }
        let seq = tx.bump_change_seq().await?;
        tx.revoke(&old, seq, context, 0).await?;
        tx.commit().await?;
        Ok(Revoked::Done)
    }

    /// Revokes all that are active, in one transaction. `None`: the actor may not.
    pub async fn revoke_all_keys(&self, admin: &KeyAdmin, context: &AuditContext) -> Result<Option<Vec<ListedKey>>> {
        let mut tx = self.begin().await?;
        if !tx.lock_and_authorize(admin, context.at).await? {
            return Ok(None);
        }
        let revoked = tx.revoke_where(admin.team(), None, context, 0).await?;
        tx.commit().await?;
        Ok(Some(revoked))
    }

    /// Clears the names of up to `batch` keys that were revoked 90 days before `now`; says how many it cleared.
    ///
    /// Harmless if several nodes do it at once. The id, the hash and the audit log stay: the token is refused for good.
    pub async fn redact_revoked_key_names(&self, now: Timestamp, batch: u32) -> Result<u64> {
        Ok(on!(&self.writes, db => sqlx::query(
            "UPDATE keys SET name = NULL WHERE id IN (SELECT id FROM keys \
             WHERE revoked_at IS NOT NULL AND name IS NOT NULL AND revoked_at <= $1 LIMIT $2)")
            .bind(now.minus(REVOKED_SHOWN_FOR).ms()).bind(i64::from(batch)).execute(db).await?.rows_affected()))
    }
}

impl Tx {
    pub(crate) async fn is_active(&mut self, id: KeyId) -> Result<bool> {
        let active: i64 = on!(&mut self.0, db =>
            sqlx::query_scalar("SELECT count(*) FROM keys WHERE id = $1 AND revoked_at IS NULL")
                .bind(id.to_string()).fetch_one(&mut **db).await?);
        Ok(active == 1)
    }

    async fn key_of_team(&mut self, team: TeamId, id: KeyId) -> Result<Option<ListedKey>> {
        let row: Option<ListedRow> = on!(&mut self.0, db => sqlx::query_as(
            listed!("WHERE id = $1 AND team_id = $2"))
            .bind(id.to_string()).bind(team.to_string()).fetch_optional(&mut **db).await?);
        row.map(ListedKey::try_from).transpose()
    }

    /// Revokes a team's active keys, or those that one person made; under the team's lock. The events are numbered from
    /// `nth` on.
    pub(crate) async fn revoke_where(
        &mut self,
        team: TeamId,
        creator: Option<PersonId>,
        context: &AuditContext,
        nth: u16,
    ) -> Result<Vec<ListedKey>> {
        let rows: Vec<ListedRow> = on!(&mut self.0, db => sqlx::query_as(
            listed!("WHERE team_id = $1 AND revoked_at IS NULL AND ($2 IS NULL OR created_by = $2) ORDER BY id DESC"))
            .bind(team.to_string()).bind(creator.map(|person| person.to_string())).fetch_all(&mut **db).await?);
        let active = rows.into_iter().map(ListedKey::try_from).collect::<Result<Vec<_>>>()?;
        self.invalidate_local_cache();
        if !active.is_empty() {
            let seq = self.bump_change_seq().await?;
            for (nth, key) in (nth..).zip(&active) {
                self.revoke(key, seq, context, nth).await?;
            }
        }
        Ok(active)
    }

    /// Only the columns of the revocation are touched, and only where there is none yet.
    async fn revoke(&mut self, key: &ListedKey, seq: i64, context: &AuditContext, nth: u16) -> Result<()> {
        on!(&mut self.0, db => sqlx::query(
            "UPDATE keys SET revoked_at = $2, revoked_by = $3, revoked_by_name = $4, seq = $5 \
             WHERE id = $1 AND revoked_at IS NULL")
            .bind(key.key.id.to_string()).bind(context.at.ms()).bind(context.by.person.map(|p| p.to_string()))
            .bind(&context.by.name).bind(seq).execute(&mut **db).await?.rows_affected());
        let name = key.name.as_ref().map_or("", KeyName::as_str);
        let detail = format!("{} \"{name}\"", key.key.prefix);
        self.audit(&context.event(nth, key.key.team, Action::KeyRevoked, key.key.id, detail)).await
    }
}

impl FoundRow {
    /// All of a key's columns, or none.
    fn key(self) -> Result<Option<KeyRow>> {
        let Some(id) = self.id else { return Ok(None) };
        let bad = || corrupt("keys", &id);
        Ok(Some(KeyRow {
            team_id: self.team_id.ok_or_else(bad)?,
            prefix: self.prefix.ok_or_else(bad)?,
            mode: self.mode.ok_or_else(bad)?,
            scope: self.scope.ok_or_else(bad)?,
            created_at: self.created_at.ok_or_else(bad)?,
            revoked_at: self.revoked_at,
            revoked_by: self.revoked_by,
            revoked_by_name: self.revoked_by_name,
            id,
        }))
    }
}

impl TryFrom<KeyRow> for ApiKey {
    type Error = crate::StoreError;

    fn try_from(row: KeyRow) -> Result<Self> {
        let bad = || corrupt("keys", &row.id);
        let state = match (row.revoked_at, &row.revoked_by_name) {
            (None, None) => KeyState::Active,
            (Some(at), Some(name)) => {
                let person = row.revoked_by.as_deref().map(str::parse).transpose().map_err(|_| bad())?;
                KeyState::Revoked { at: Timestamp::from_ms(at), by: AuditActor { person, name: name.clone() } }
            }
            _ => return Err(bad()),
        };
        Ok(Self {
            id: row.id.parse().map_err(|_| bad())?,
            team: row.team_id.parse().map_err(|_| bad())?,
            prefix: TokenPrefix::from_stored(&row.prefix).ok_or_else(bad)?,
            mode: Mode::parse(&row.mode).ok_or_else(bad)?,
            scope: Scope::parse(&row.scope).ok_or_else(bad)?,
            created_at: Timestamp::from_ms(row.created_at),
            state,
        })
    }
}

impl TryFrom<ListedRow> for ListedKey {
    type Error = crate::StoreError;

    fn try_from(row: ListedRow) -> Result<Self> {
        let bad = || corrupt("keys", &row.id);
        let name = row.name.as_deref().map(KeyName::parse).transpose().map_err(|_| bad())?;
        let person = row.created_by.as_deref().map(str::parse).transpose().map_err(|_| bad())?;
        let last_use = row.last_used_at.map(Timestamp::from_ms).zip(row.last_used_from);
        let key = ApiKey::try_from(KeyRow {
            id: row.id,
            team_id: row.team_id,
            prefix: row.prefix,
            mode: row.mode,
            scope: row.scope,
            created_at: row.created_at,
            revoked_at: row.revoked_at,
            revoked_by: row.revoked_by,
            revoked_by_name: row.revoked_by_name,
        })?;
        Ok(Self {
            key,
            name,
            creator_has_left: person.is_some() && row.creator_is_member == 0,
            creator: AuditActor { person, name: row.created_by_name },
            last_use: last_use.map(|(at, from)| LastUse { at, from }),
        })
    }
}
