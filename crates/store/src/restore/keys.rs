//! Keys and tokens that a restored backup would bring back. Backups may be older than a column: what is missing counts as NULL

use std::collections::HashMap;

use super::comparison::{Database, Returning, ReturningKind, has_column};
use crate::statement::{Statement, sql, sql_text};
use keyhouse_domain::timestamp::Timestamp;

#[derive(sqlx::FromRow)]
struct Key {
    id: String,
    prefix: Option<String>,
    name: Option<String>,
    team_id: String,
    revoked_at: Option<i64>,
    revoked_by_name: Option<String>,
    ended_at: Option<i64>,
    expires_at: Option<i64>,
    paused_at: Option<i64>,
    paused_until: Option<i64>,
    allowed_networks: Option<String>,
}

#[derive(sqlx::FromRow)]
struct Token {
    hash: Vec<u8>,
    key_id: String,
    number: i64,
    prefix: String,
    created_at: i64,
    first_used_at: Option<i64>,
    ends_at: Option<i64>,
    overlap_ms: Option<i64>,
}

/// The columns of keys that are younger than the first release, with their types.
const YOUNGER: [(&str, &str); 5] = [
    ("ended_at", "BIGINT"),
    ("expires_at", "BIGINT"),
    ("paused_at", "BIGINT"),
    ("paused_until", "BIGINT"),
    ("allowed_networks", "TEXT"),
];

/// Which of the younger parts of the schema a database has.
struct Schema {
    columns: Vec<&'static str>,
    has_tokens: bool,
}

impl Schema {
    async fn of(database: &mut Database) -> sqlx::Result<Self> {
        let mut columns = Vec::new();
        for (column, _) in YOUNGER {
            if has_column(database, "keys", column).await? {
                columns.push(column);
            }
        }
        Ok(Self { columns, has_tokens: has_column(database, "key_tokens", "hash").await? })
    }

    fn has(&self, column: &str) -> bool {
        self.columns.contains(&column)
    }

    /// Selects keys; `condition` takes each younger column that is there.
    fn select(&self, condition: &str) -> Statement {
        let prefix = if self.has_tokens {
            "(SELECT prefix FROM key_tokens WHERE key_id = keys.id ORDER BY number DESC LIMIT 1) AS prefix"
        } else {
            "prefix"
        };
        let younger = YOUNGER.map(|(column, kind)| match self.has(column) {
            true => column.to_owned(),
            false => format!("CAST(NULL AS {kind}) AS {column}"),
        });
        let younger = younger.join(", ");
        sql_text(format!(
            "SELECT id, {prefix}, name, team_id, revoked_at, revoked_by_name, {younger} FROM keys WHERE {condition} \
             ORDER BY team_id, id"
        ))
    }
}

/// Keys that are active in the backup and are not, or only under stricter conditions, in the database that is there.
pub(super) async fn keys(
    backup: &mut Database,
    current: &mut Database,
    slug: impl Fn(&str) -> Option<String>,
) -> sqlx::Result<Vec<Returning>> {
    let (old, new) = (Schema::of(backup).await?, Schema::of(current).await?);
    let restricted: Vec<_> = new.columns.iter().map(|column| format!(" OR {column} IS NOT NULL")).collect();
    let now: Vec<Key> = current.all(new.select(&format!("revoked_at IS NOT NULL{}", restricted.concat()))).await?;
    let mut now: HashMap<String, Key> = now.into_iter().map(|key| (key.id.clone(), key)).collect();
    let active = if old.has("ended_at") { "ended_at IS NULL" } else { "revoked_at IS NULL" };
    let active: Vec<Key> = backup.all(old.select(active)).await?;
    let mut returning = Vec::new();
    for key in &active {
        let Some((kind, ended_at, carry_over)) = now.remove(&key.id).and_then(|now| taken_away(key, &now, &old)) else {
            continue;
        };
        returning.push(entry(key, kind, ended_at, carry_over, &slug));
    }
    if new.has_tokens {
        let gone: Vec<_> =
            returning.iter().filter(|one| one.kind == ReturningKind::Key).map(|one| one.subject.clone()).collect();
        for (key, ends_at, carry_over) in tokens(backup, current, &active, &old).await? {
            let one = entry(key, ReturningKind::Token, Some(ends_at), carry_over, &slug);
            if !gone.contains(&one.subject) {
                returning.push(one);
            }
        }
    }
    Ok(returning)
}

fn entry(
    key: &Key,
    kind: ReturningKind,
    ended_at: Option<i64>,
    carry_over: Vec<Statement>,
    slug: &impl Fn(&str) -> Option<String>,
) -> Returning {
    let name = key.name.as_ref().map(|name| format!(" \"{name}\"")).unwrap_or_default();
    Returning {
        kind,
        subject: format!("{}...{name}, {}", key.prefix.as_deref().unwrap_or_default(), key.id),
        team: slug(&key.team_id),
        ended_at: ended_at.map(Timestamp::from_ms),
        carry_over,
    }
}

/// What a key that is active in the backup has lost since: the kind, when, and the statements that take it away again.
fn taken_away(key: &Key, now: &Key, old: &Schema) -> Option<(ReturningKind, Option<i64>, Vec<Statement>)> {
    if let Some(ended_at) = now.revoked_at.or(now.ended_at) {
        let by = now.revoked_by_name.clone().unwrap_or_else(|| "Restore (expired)".to_owned());
        return Some((ReturningKind::Key, Some(ended_at), vec![revoke(&key.id, ended_at, by, old)]));
    }
    if let (Some(paused_at), None) = (now.paused_at, key.paused_at) {
        let pause = if old.has("paused_at") {
            let update = sql("UPDATE keys SET paused_at = $2, paused_until = $3 WHERE id = $1");
            update.bind(&key.id).bind(paused_at).bind(now.paused_until)
        } else {
            revoke(&key.id, paused_at, "Restore (paused)".to_owned(), old)
        };
        return Some((ReturningKind::Pause, Some(paused_at), vec![pause]));
    }
    let ends_earlier = now.expires_at.is_some_and(|at| key.expires_at.is_none_or(|before| at < before));
    let is_narrower = now.allowed_networks.is_some() && now.allowed_networks != key.allowed_networks;
    if !ends_earlier && !is_narrower {
        return None;
    }
    let conditions = if old.has("expires_at") && old.has("allowed_networks") {
        let update = sql("UPDATE keys SET expires_at = $2, allowed_networks = $3 WHERE id = $1");
        update.bind(&key.id).bind(now.expires_at).bind(now.allowed_networks.clone())
    } else {
        revoke(&key.id, now.expires_at.unwrap_or(0), "Restore (conditions)".to_owned(), old)
    };
    Some((ReturningKind::Conditions, None, vec![conditions]))
}

/// Who revoked it may have joined after the backup, so only the name is carried over.
fn revoke(id: &str, at: i64, by: String, old: &Schema) -> Statement {
    let update = match old.has("ended_at") {
        true => "UPDATE keys SET revoked_at = $2, revoked_by_name = $3, ended_at = $2 WHERE id = $1",
        false => "UPDATE keys SET revoked_at = $2, revoked_by_name = $3 WHERE id = $1",
    };
    sql(update).bind(id).bind(at).bind(by)
}

/// The current tokens of the backup that a rotation has replaced since, each with its key, its end, and the statements that
/// rotate the key in the backup too.
async fn tokens<'a>(
    backup: &mut Database,
    current: &mut Database,
    active: &'a [Key],
    old: &Schema,
) -> sqlx::Result<Vec<(&'a Key, i64, Vec<Statement>)>> {
    let select = sql(
        "SELECT hash, key_id, number, prefix, created_at, first_used_at, ends_at, overlap_ms FROM key_tokens \
                      WHERE key_id IN (SELECT key_id FROM key_tokens WHERE ends_at IS NOT NULL) ORDER BY key_id, number",
    );
    let mut rotated: HashMap<String, Vec<Token>> = HashMap::new();
    for token in current.all::<Token>(select).await? {
        rotated.entry(token.key_id.clone()).or_default().push(token);
    }
    let held = match old.has_tokens {
        true => sql("SELECT key_id, hash FROM key_tokens WHERE ends_at IS NULL"),
        false => sql("SELECT id, token_hash FROM keys WHERE revoked_at IS NULL"),
    };
    let held: HashMap<String, Vec<u8>> = backup.all::<(String, Vec<u8>)>(held).await?.into_iter().collect();
    let mut replaced = Vec::new();
    for key in active {
        let (Some(tokens), Some(hash)) = (rotated.get(&key.id), held.get(&key.id)) else { continue };
        let former = tokens.iter().find(|token| token.hash == *hash);
        let Some((former, ends_at)) = former.and_then(|token| Some((token, token.ends_at?))) else { continue };
        let carry_over = if old.has_tokens {
            let end = sql("UPDATE key_tokens SET ends_at = $2, overlap_ms = $3 WHERE hash = $1");
            let end = end.bind(former.hash.as_slice()).bind(ends_at).bind(former.overlap_ms);
            let newer = tokens.iter().filter(|token| token.number > former.number);
            std::iter::once(end).chain(newer.map(insert)).collect()
        } else {
            vec![revoke(&key.id, ends_at, "Restore (rotated)".to_owned(), old)]
        };
        replaced.push((key, ends_at, carry_over));
    }
    Ok(replaced)
}

fn insert(token: &Token) -> Statement {
    sql("INSERT INTO key_tokens (hash, key_id, number, prefix, created_at, first_used_at, ends_at, overlap_ms) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8)")
    .bind(token.hash.as_slice())
    .bind(&token.key_id)
    .bind(token.number)
    .bind(&token.prefix)
    .bind(token.created_at)
    .bind(token.first_used_at)
    .bind(token.ends_at)
    .bind(token.overlap_ms)
}
