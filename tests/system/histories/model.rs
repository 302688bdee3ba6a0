//! What random histories expect: the keys of a team, and the roles of its members.

use std::collections::BTreeMap;
use std::time::Duration;

use keyhouse_domain::role::Role;
use keyhouse_domain::scope::Scope;
use keyhouse_token::Mode;

use crate::load::now;

/// The expected state.
#[derive(Default)]
pub(super) struct Model {
    pub(super) keys: BTreeMap<String, KeyModel>,
    pub(super) roles: BTreeMap<&'static str, Role>,
}

#[derive(Debug, Clone)]
pub(super) struct KeyModel {
    pub(super) token: String,
    pub(super) name: String,
    pub(super) mode: Mode,
    pub(super) scope: Scope,
    pub(super) revoked: Option<Revoked>,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Revoked {
    pub(super) at: Duration,
    /// The node that revoked it and refuses it at once; `None`: another process.
    pub(super) by: Option<usize>,
}

impl Model {
    pub(super) fn active(&self) -> usize {
        self.keys.values().filter(|key| key.revoked.is_none()).count()
    }

    pub(super) fn manages_keys(&self, email: &str) -> bool {
        matches!(self.roles[email], Role::Owner | Role::Admin)
    }

    pub(super) fn revoke(&mut self, id: &str, by: Option<usize>) {
        let key = self.keys.get_mut(id).expect("a key of the model");
        key.revoked = key.revoked.or(Some(Revoked { at: now(), by }));
    }
}

/// Name, mode, scope, and whether it is revoked.
pub(super) type KeyRow = (String, String, String, bool);

pub(super) fn row(key: &KeyModel) -> KeyRow {
    (key.name.clone(), key.mode.as_str().to_owned(), key.scope.as_str().to_owned(), key.revoked.is_some())
}
