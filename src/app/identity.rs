//! Signed identity: a JSON Web Token that states the caller of a forwarded call, and the rotation of the keys that sign it.
//!
//! A new key is published [`ANNOUNCED_FOR`] before it signs, and a former one until its last token has expired. So a
//! service that keeps the public keys for at most [`KEYS_MAX_AGE`] finds the key of every token that is valid.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use serde::Serialize;

use super::App;
use super::infra::signing_key::SigningKey;
pub use super::infra::signing_key::{PublicJwk, SealingSecret, SecretTooShort};
use keyhouse_domain::api_key::ApiKey;
use keyhouse_domain::ids::RequestId;
use keyhouse_domain::timestamp::Timestamp;
use keyhouse_store::{IdentityKeyRow, StoreError};

/// How long a token is valid.
pub const TOKEN_LIFETIME: Duration = Duration::from_secs(60);
/// How long services may keep the published keys: the `max-age` of `/.well-known/jwks.json`.
pub const KEYS_MAX_AGE: Duration = Duration::from_secs(5 * 60);
/// How long a key is published before it signs. Longer than [`KEYS_MAX_AGE`], because some libraries ignore that and keep
/// keys for 10 minutes.
pub const ANNOUNCED_FOR: Duration = Duration::from_secs(15 * 60);
/// How long a former key is published after its last signature: a token's life, and a minute for clocks that differ.
pub const PUBLISHED_AFTER: Duration = Duration::from_secs(2 * 60);

/// Signing keys as this node uses them. Clones share them.
#[derive(Debug, Clone)]
pub(crate) struct Identity(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    secret: SealingSecret,
    /// The claim `iss`.
    issuer: String,
    keys: RwLock<Vec<Key>>,
}

/// A stored key, with its private part if this node's secret opens it.
#[derive(Debug, Clone)]
struct Key {
    row: IdentityKeyRow,
    signing: Option<Arc<SigningKey>>,
}

/// What a token states (RFC 7519 section 4.1; `team`, `mode` and `scope` are ours).
#[derive(Debug, Serialize)]
struct Claims<'a> {
    iss: &'a str,
    sub: String,
    team: String,
    mode: &'a str,
    scope: &'a str,
    iat: i64,
    exp: i64,
    jti: String,
}

/// Why there is no signing key to use.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// The setting is off.
    #[error("signed identity is off: set forward_auth.identity_jwt and forward_auth.identity_secret")]
    Off,
    /// The database has keys, and none that may sign now opens with this node's secret.
    #[error(
        "forward_auth.identity_secret does not open the signing keys of this database: use the secret that the other nodes \
         have, or run `keyhouse identity-key rotate --now` with the new one"
    )]
    WrongSecret,
    /// An announced key does not sign yet.
    #[error("a new key has already been published and is used from {0} on; rotate again after that, or use --now")]
    Announced(Timestamp),
    /// The database did not do it.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The outcome of a rotation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rotation {
    /// The new key's id.
    pub kid: String,
    /// When it begins to sign.
    pub signs_from: Timestamp,
    /// How long the former key is published; `None` if it no longer is.
    pub former_published_until: Option<Timestamp>,
}

impl App {
    /// Signs the identity of forwarded calls, in the name of `issuer`. The keys are loaded by [`App::load_identity_keys`].
    pub fn with_identity(self, secret: SealingSecret, issuer: String) -> Self {
        self.identity.get_or_init(|| Identity(Arc::new(Inner { secret, issuer, keys: RwLock::default() })));
        self
    }

    /// Reads the signing keys, and makes the first one if there is none. Does nothing if signed identity is off.
    ///
    /// # Errors
    ///
    /// [`IdentityError::WrongSecret`] if no key that may sign opens with this node's secret; a [`StoreError`].
    pub async fn load_identity_keys(&self) -> Result<(), IdentityError> {
        let Some(identity) = self.identity.get() else { return Ok(()) };
        self.reload_identity_keys().await?;
        if identity.is_empty() {
            let make = |number, known: &[IdentityKeyRow]| {
                known.is_empty().then(|| self.new_identity_key(identity, number, self.clock.now()))
            };
            match self.store.add_identity_key(make, |_| false).await {
                // Another node made it at the same time.
                Ok(_) | Err(StoreError::Conflict(_)) => {}
                Err(error) => return Err(error.into()),
            }
            self.reload_identity_keys().await?;
        }
        identity.signer(self.clock.now()).map(drop).ok_or(IdentityError::WrongSecret)
    }

    /// Reads the signing keys again, so that this node follows a rotation by another process. Returns how many are new.
    ///
    /// # Errors
    ///
    /// Any [`StoreError`] of a read; the keys stay as they were.
    pub async fn reload_identity_keys(&self) -> Result<u64, StoreError> {
        let Some(identity) = self.identity.get() else { return Ok(0) };
        Ok(identity.replace(self.queries().identity_keys().await?))
    }

    /// Makes a new signing key. Without `at_once` it is announced first, and no valid token loses its key. With `at_once`,
    /// for a private key that was stolen, it signs at once, and the other keys are deleted.
    ///
    /// # Errors
    ///
    /// [`IdentityError::Off`], [`IdentityError::Announced`], or a [`StoreError`].
    pub async fn rotate_identity_key(&self, at_once: bool) -> Result<Rotation, IdentityError> {
        let identity = self.identity.get().ok_or(IdentityError::Off)?;
        let now = self.clock.now();
        let mut announced = None;
        let mut is_first = true;
        let make = |number, known: &[IdentityKeyRow]| {
            announced = known.last().map(|last| last.signs_from).filter(|from| *from > now && !at_once);
            is_first = known.is_empty();
            let signs_from = if at_once || is_first { now } else { now.plus(ANNOUNCED_FOR) };
            announced.is_none().then(|| self.new_identity_key(identity, number, signs_from))
        };
        // Otherwise the keys that are not published any more are deleted.
        let known = self.queries().identity_keys().await?;
        let over: Vec<i64> = known.iter().filter(|row| !is_published(row, &known, now)).map(|row| row.number).collect();
        let made = self.store.add_identity_key(make, |row| at_once || over.contains(&row.number)).await?;
        let Some(made) = made else { return Err(IdentityError::Announced(announced.unwrap_or(now))) };
        Ok(Rotation {
            kid: PublicJwk::new(&made.public).kid,
            signs_from: made.signs_from,
            former_published_until: (!at_once && !is_first).then(|| made.signs_from.plus(PUBLISHED_AFTER)),
        })
    }

    fn new_identity_key(&self, identity: &Identity, number: i64, signs_from: Timestamp) -> IdentityKeyRow {
        let (public, sealed) = SigningKey::generate(&self.rng, &identity.0.secret);
        IdentityKeyRow { number, signs_from, public, sealed }
    }

    /// The signed identity of a caller; `None` if it is off.
    ///
    /// # Errors
    ///
    /// [`IdentityError::WrongSecret`] if no key may sign now.
    pub fn sign_identity(&self, key: &ApiKey, request: RequestId) -> Result<Option<String>, IdentityError> {
        let Some(identity) = self.identity.get() else { return Ok(None) };
        let now = self.clock.now();
        let signer = identity.signer(now).ok_or(IdentityError::WrongSecret)?;
        let iat = now.ms().div_euclid(1000);
        Ok(Some(signer.sign(&Claims {
            iss: &identity.0.issuer,
            sub: key.id.to_string(),
            team: key.team.to_string(),
            mode: key.mode.as_str(),
            scope: key.scope.as_str(),
            iat,
            exp: iat + TOKEN_LIFETIME.as_secs().cast_signed(),
            jti: request.to_string(),
        })))
    }

    /// The public keys of all tokens that are valid now or will be soon; none if signed identity is off.
    pub fn published_identity_keys(&self) -> Vec<PublicJwk> {
        let Some(identity) = self.identity.get() else { return Vec::new() };
        let now = self.clock.now();
        let keys = identity.0.keys.read().unwrap_or_else(PoisonError::into_inner);
        let rows: Vec<IdentityKeyRow> = keys.iter().map(|key| key.row.clone()).collect();
        rows.iter().filter(|row| is_published(row, &rows, now)).map(|row| PublicJwk::new(&row.public)).collect()
    }
}

impl Identity {
    fn is_empty(&self) -> bool {
        self.0.keys.read().unwrap_or_else(PoisonError::into_inner).is_empty()
    }

    /// Takes over the rows as they are stored now; returns how many are new. Private keys that are known are kept.
    fn replace(&self, rows: Vec<IdentityKeyRow>) -> u64 {
        let mut keys = self.0.keys.write().unwrap_or_else(PoisonError::into_inner);
        let mut new = 0;
        *keys = rows
            .into_iter()
            .map(|row| match keys.iter().find(|known| known.row == row) {
                Some(known) => known.clone(),
                None => {
                    new += 1;
                    let signing = SigningKey::unseal(&row.public, &row.sealed, &self.0.secret).map(Arc::new);
                    if signing.is_none() {
                        tracing::warn!(
                            number = row.number,
                            "forward_auth.identity_secret does not open a signing key; another one signs"
                        );
                    }
                    Key { row, signing }
                }
            })
            .collect();
        new
    }

    /// The key that signs now: the latest that may, among those that this node's secret opens and that are published.
    fn signer(&self, now: Timestamp) -> Option<Arc<SigningKey>> {
        let keys = self.0.keys.read().unwrap_or_else(PoisonError::into_inner);
        let is_replaced = |key: &Key| keys.iter().any(|later| replaces(&later.row, &key.row, now));
        let mut usable = keys.iter().rev().filter(|key| key.row.signs_from <= now && !is_replaced(key));
        // A node that has the former secret signs with the former key for as long as that is published.
        usable.find_map(|key| key.signing.clone())
    }
}

/// Whether services may need this key: until a later one has replaced it.
fn is_published(row: &IdentityKeyRow, all: &[IdentityKeyRow], now: Timestamp) -> bool {
    !all.iter().any(|later| replaces(later, row, now))
}

/// Whether `later` has signed for [`PUBLISHED_AFTER`], so that no token of `former` is valid any more.
fn replaces(later: &IdentityKeyRow, former: &IdentityKeyRow, now: Timestamp) -> bool {
    later.number > former.number && later.signs_from.plus(PUBLISHED_AFTER) <= now
}
