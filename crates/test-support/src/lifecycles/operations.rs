//! What people do to keys, each with the result that the model expects.

use std::time::Duration;

use keyhouse::app::key_cache::LEASE;
use keyhouse::app::key_changes::{ChangeConditionsError, PauseKeyError};
use keyhouse::app::keys::{CreateKeyError, EndFormerTokenError, Revoked, RotateKeyError};
use keyhouse_domain::api_key::{ACTIVE_KEYS_MAX, KeyName, NewKey, Overlap};
use keyhouse_domain::key_token::FORMER_TOKEN_MAX;
use keyhouse_domain::scope::Scope;
use keyhouse_token::Mode;

use super::History;
use super::model::{Key, Version};

impl History<'_> {
    pub(super) async fn create(&mut self, node: usize) -> &'static str {
        let (conditions, inside_only) = self.some_conditions();
        let expires_at = conditions.expires_at;
        let name = KeyName::parse("K").expect("a name");
        let new = NewKey::new(name, Mode::Live, Scope::ReadOnly).with_conditions(conditions);
        let created = self.nodes[node].app.create_key(&self.admin(), new).await;
        let now = self.now();
        let active = self.keys.iter().filter(|key| key.last().is_active(now)).count();
        let expected = if active < ACTIVE_KEYS_MAX as usize { "created" } else { "limit" };
        match created {
            Ok(made) => {
                self.compare("create", "created", expected);
                self.changes += 1;
                let version = Version {
                    change: self.changes,
                    revoked: false,
                    expires_at,
                    inside_only,
                    paused_until: None,
                    ends: vec![None],
                };
                self.keys.push(Key {
                    id: made.key.id,
                    tokens: vec![made.token],
                    versions: vec![version],
                    overlap: Duration::ZERO,
                    first_used: None,
                    is_complete: false,
                });
                self.nodes[node].followed = self.changes;
            }
            Err(CreateKeyError::LimitReached) => self.compare("create", "limit", expected),
            Err(other) => self.differ(format!("create: {other}")),
        }
        "create"
    }

    pub(super) async fn rotate(&mut self, node: usize, key: usize) -> &'static str {
        let overlap = [Duration::ZERO, LEASE / 2, LEASE, 10 * LEASE][self.pick(4)];
        let (now, last) = (self.now(), self.keys[key].last().clone());
        let expected = match (last.is_active(now), last.living_former(now)) {
            (false, _) => "ended",
            (true, true) => "former token lives",
            (true, false) => "rotated",
        };
        let with = Overlap::new(overlap).expect("less than seven days");
        let found = match self.nodes[node].app.rotate_key(&self.admin(), self.keys[key].id, with).await {
            Ok(rotated) => {
                self.keys[key].tokens.push(rotated.token);
                (self.keys[key].overlap, self.keys[key].first_used) = (overlap, None);
                self.change(node, key, |version| {
                    *version.ends.last_mut().expect("a token") = Some(now.plus(FORMER_TOKEN_MAX));
                    version.ends.push(None);
                });
                "rotated"
            }
            Err(RotateKeyError::Ended) => "ended",
            Err(RotateKeyError::FormerTokenLives { .. }) => "former token lives",
            Err(_) => "another error",
        };
        self.compare("rotate", found, expected);
        "rotate"
    }

    pub(super) async fn end_former(&mut self, node: usize, key: usize) -> &'static str {
        let (now, id) = (self.now(), self.keys[key].id);
        let expected = if self.keys[key].last().living_former(now) { "ended" } else { "none" };
        let found = match self.nodes[node].app.end_former_token(&self.admin(), id).await {
            Ok(()) => {
                self.change(node, key, |version| {
                    let former = version.ends.len() - 2;
                    version.ends[former] = Some(now);
                });
                "ended"
            }
            Err(EndFormerTokenError::NoFormerToken) => "none",
            Err(_) => "another error",
        };
        self.compare("end former token", found, expected);
        "end former token"
    }

    pub(super) async fn pause(&mut self, node: usize, key: usize) -> &'static str {
        let until = [None, Some(self.now().plus(LEASE / 2)), Some(self.now().plus(4 * LEASE))][self.pick(3)];
        let expected = if self.keys[key].last().is_active(self.now()) { "paused" } else { "ended" };
        let found = match self.nodes[node].app.pause_key(&self.admin(), self.keys[key].id, until).await {
            Ok(()) => {
                self.change(node, key, |version| version.paused_until = Some(until));
                "paused"
            }
            Err(PauseKeyError::Ended) => "ended",
            Err(_) => "another error",
        };
        self.compare("pause", found, expected);
        "pause"
    }

    pub(super) async fn resume(&mut self, node: usize, key: usize) -> &'static str {
        let (now, id) = (self.now(), self.keys[key].id);
        let last = self.keys[key].last();
        let (expected, is_change) = (if last.is_active(now) { "resumed" } else { "ended" }, last.is_paused(now));
        let found = match self.nodes[node].app.resume_key(&self.admin(), id).await {
            Ok(()) if is_change => {
                self.change(node, key, |version| version.paused_until = None);
                "resumed"
            }
            Ok(()) => "resumed",
            Err(PauseKeyError::Ended) => "ended",
            Err(_) => "another error",
        };
        self.compare("resume", found, expected);
        "resume"
    }

    pub(super) async fn set_conditions(&mut self, node: usize, key: usize) -> &'static str {
        let (conditions, inside_only) = self.some_conditions();
        let expected = if self.keys[key].last().is_active(self.now()) { "changed" } else { "ended" };
        let was = self.keys[key].last().conditions();
        let set = self.nodes[node].app.set_conditions(&self.admin(), self.keys[key].id, &conditions, &was).await;
        let found = match set {
            Ok(()) => {
                let last = self.keys[key].last();
                // The same conditions write nothing.
                if last.expires_at != conditions.expires_at || last.inside_only != inside_only {
                    self.change(node, key, |version| {
                        (version.expires_at, version.inside_only) = (conditions.expires_at, inside_only);
                    });
                }
                "changed"
            }
            Err(ChangeConditionsError::Ended) => "ended",
            Err(_) => "another error",
        };
        self.compare("set conditions", found, expected);
        "set conditions"
    }

    pub(super) async fn revoke(&mut self, node: usize, key: usize) -> &'static str {
        let expected = if self.keys[key].last().is_active(self.now()) { "now" } else { "before" };
        let found = match self.nodes[node].app.revoke_key(&self.admin(), self.keys[key].id, None).await {
            Ok(Revoked::Now) => {
                self.change(node, key, |version| version.revoked = true);
                "now"
            }
            Ok(Revoked::Before) => "before",
            Err(_) => "an error",
        };
        self.compare("revoke", found, expected);
        "revoke"
    }
}
