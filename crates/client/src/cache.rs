//! Admissions that may be reused for a short time, by a digest of the credential and the kind of method.

use std::collections::HashMap;
use std::time::Duration;

use http::Method;
use sha2::{Digest, Sha256};
use tokio::time::Instant;

use crate::grant::Grant;

/// Longest time that an admission is reused, even if a node allows more: the bound that Keyhouse sets on the delay of a revocation.
const REUSE_MAX: Duration = Duration::from_secs(3);

/// Most admissions that are kept: about 2 MiB. Beyond it, further calls are asked about one by one.
const ENTRIES_MAX: usize = 10_000;

/// Stands for a credential and whether its method reads. The credential itself is not kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct CallId([u8; 32]);

impl CallId {
    pub(crate) fn new(credential: &[u8], method: &Method) -> Self {
        let is_read = [Method::GET, Method::HEAD, Method::OPTIONS].contains(method);
        Self(Sha256::new().chain_update([u8::from(is_read)]).chain_update(credential).finalize().into())
    }
}

/// Admissions and until when each may be reused.
#[derive(Debug, Default)]
pub(crate) struct Admissions(HashMap<CallId, (Grant, Instant)>);

impl Admissions {
    pub(crate) fn get(&self, id: CallId, now: Instant) -> Option<Grant> {
        self.0.get(&id).filter(|(_, until)| now < *until).map(|(grant, _)| grant.clone())
    }

    /// Keeps an admission from the moment `asked` at which the question was sent: the node decided no earlier than that.
    pub(crate) fn insert(&mut self, id: CallId, grant: Grant, asked: Instant, max_age: Duration, now: Instant) {
        let until = asked + max_age.min(REUSE_MAX);
        if until <= now {
            return;
        }
        if self.0.len() >= ENTRIES_MAX {
            self.0.retain(|_, (_, until)| now < *until);
        }
        if self.0.len() < ENTRIES_MAX {
            self.0.insert(id, (grant, until));
        }
    }
}

#[cfg(test)]
mod tests {
    use keyhouse_token::Mode;

    use super::*;
    use crate::grant::Scope;

    fn grant() -> Grant {
        Grant { team: "team_1".into(), key: "key_1".into(), mode: Mode::Live, scope: Scope::ReadWrite, identity: None }
    }

    #[test]
    fn an_admission_lasts_from_the_question_on_and_never_past_three_seconds() {
        let id = CallId::new(b"Bearer a", &Method::GET);
        let asked = Instant::now();
        for (max_age, lasts) in [(0, 0), (1, 1), (2, 2), (3, 3), (4, 3), (3600, 3)] {
            let mut admissions = Admissions::default();
            let answered = asked + Duration::from_millis(500);
            admissions.insert(id, grant(), asked, Duration::from_secs(max_age), answered);
            let end = asked + Duration::from_secs(lasts);
            let before = end.checked_sub(Duration::from_millis(1)).unwrap();
            assert_eq!(admissions.get(id, before).is_some(), lasts > 0, "{max_age}");
            assert_eq!(admissions.get(id, end), None, "{max_age}");
        }
    }

    #[test]
    fn an_answer_that_took_as_long_as_it_lasts_is_not_kept() {
        let (id, asked) = (CallId::new(b"Bearer a", &Method::GET), Instant::now());
        let mut admissions = Admissions::default();
        admissions.insert(id, grant(), asked, Duration::from_secs(1), asked + Duration::from_secs(1));
        assert_eq!(admissions.get(id, asked), None);
    }

    #[test]
    fn no_more_than_the_limit_are_kept_and_expired_ones_make_room() {
        let now = Instant::now();
        let mut admissions = Admissions::default();
        let id = |n: usize| CallId::new(&n.to_le_bytes(), &Method::GET);
        for n in 0..=ENTRIES_MAX {
            admissions.insert(id(n), grant(), now, Duration::from_secs(1), now);
        }
        assert_eq!(admissions.0.len(), ENTRIES_MAX);
        assert_eq!(admissions.get(id(ENTRIES_MAX), now), None);
        let later = now + Duration::from_secs(1);
        admissions.insert(id(ENTRIES_MAX), grant(), later, Duration::from_secs(1), later);
        assert_eq!(admissions.0.len(), 1);
    }

    #[test]
    fn a_read_and_a_write_are_different_calls() {
        let id = |credential: &str, method| CallId::new(credential.as_bytes(), &method);
        assert_eq!(id("Bearer a", Method::GET), id("Bearer a", Method::HEAD));
        assert_ne!(id("Bearer a", Method::GET), id("Bearer a", Method::POST));
        assert_ne!(id("Bearer a", Method::GET), id("Bearer b", Method::GET));
        let odd = Method::from_bytes(b"get").unwrap();
        assert_eq!(id("Bearer a", odd), id("Bearer a", Method::POST));
    }
}
