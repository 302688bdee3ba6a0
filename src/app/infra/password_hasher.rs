//! Passwords into hashes and back to a yes or no: Argon2id, a few at once, so that sign-ins never starve the API.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock};

use argon2::Argon2;
use argon2::password_hash::phc::PasswordHash as Phc;
use argon2::password_hash::{PasswordHasher, PasswordVerifier};
use tokio::sync::Semaphore;

use keyhouse_domain::password::{Password, PasswordHash};

/// Who may wait for their turn at once; at some 20 ms each, the last of them waits well under 2 seconds.
const QUEUE: usize = 64;

/// More people are signing in than can be judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("more people are signing in than can be judged at once")]
pub struct Overloaded;

#[derive(Debug)]
pub struct Hasher {
    permits: Arc<Semaphore>,
    waiting: AtomicUsize,
}

impl Default for Hasher {
    /// Room for half the machine's cores, and one at least.
    fn default() -> Self {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Self { permits: Arc::new(Semaphore::new((cores / 2).max(1))), waiting: AtomicUsize::new(0) }
    }
}

/// What a stranger's password is compared with, so that it takes as long as a member's.
static DUMMY_HASH: LazyLock<PasswordHash> = LazyLock::new(|| hash(b"nobody's password", &[7; 16]));

/// The crate's own parameters: 19 MiB, 2 passes, 1 lane (OWASP's first choice).
fn hash(password: &[u8], salt: &[u8]) -> PasswordHash {
    let phc = Argon2::default().hash_password_with_salt(password, salt).expect("16 bytes are a salt");
    PasswordHash::new(phc.to_string())
}

impl Hasher {
    pub async fn hash(&self, password: Password, salt: [u8; 16]) -> Result<PasswordHash, Overloaded> {
        self.with_permit(move || hash(password.expose(), &salt)).await
    }

    /// Whether it is the password. Takes as long if there is none to compare with.
    pub async fn verify(&self, password: Option<Password>, stored: Option<PasswordHash>) -> Result<bool, Overloaded> {
        self.with_permit(move || {
            let known = stored.is_some() && password.is_some();
            let stored = stored.unwrap_or_else(|| DUMMY_HASH.clone());
            let typed = password.as_ref().map_or(&b""[..], Password::expose);
            let is_it =
                Phc::new(stored.as_str()).is_ok_and(|phc| Argon2::default().verify_password(typed, &phc).is_ok());
            is_it && known
        })
        .await
    }

    async fn with_permit<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Result<T, Overloaded> {
        let _waiting = Waiting::join(&self.waiting)?;
        let turn = Arc::clone(&self.permits).acquire_owned().await.map_err(|_| Overloaded)?;
        let done = tokio::task::spawn_blocking(move || {
            let done = work();
            drop(turn);
            done
        });
        done.await.map_err(|_| Overloaded)
    }
}

/// A place in the queue, given back however the wait ends.
struct Waiting<'a>(&'a AtomicUsize);

impl<'a> Waiting<'a> {
    fn join(waiting: &'a AtomicUsize) -> Result<Self, Overloaded> {
        let place = Self(waiting);
        if waiting.fetch_add(1, Ordering::SeqCst) < QUEUE { Ok(place) } else { Err(Overloaded) }
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_right_password_and_no_other() {
        let hasher = Hasher::default();
        let typed = |text: &str| Password::from_input(text);
        let stored = hasher.hash(typed("lamp river quiet stone").unwrap(), [1; 16]).await.unwrap();
        assert!(stored.as_str().starts_with("$argon2id$v=19$m=19456,t=2,p=1$"));
        assert_eq!(hasher.verify(typed("lamp river quiet stone"), Some(stored.clone())).await, Ok(true));
        assert_eq!(hasher.verify(typed("lamp river quiet ston"), Some(stored.clone())).await, Ok(false));
        assert_eq!(hasher.verify(None, Some(stored)).await, Ok(false));
        assert_eq!(hasher.verify(typed("nobody's password"), None).await, Ok(false), "nobody has no password");
    }

    #[tokio::test]
    async fn whoever_finds_the_queue_full_is_told_at_once() {
        let hasher = Arc::new(Hasher::default());
        let permits =
            Arc::clone(&hasher.permits).acquire_many_owned(hasher.permits.available_permits() as u32).await.unwrap();
        let wait = || {
            let hasher = Arc::clone(&hasher);
            tokio::spawn(async move { hasher.verify(None, None).await })
        };
        let waiting: Vec<_> = (0..QUEUE).map(|_| wait()).collect();
        while hasher.waiting.load(Ordering::SeqCst) < QUEUE {
            tokio::task::yield_now().await;
        }
        assert_eq!(wait().await.unwrap(), Err(Overloaded));
        drop(permits);
        for wait in waiting {
            assert_eq!(wait.await.unwrap(), Ok(false));
        }
    }
}
