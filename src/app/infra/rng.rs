//! The injected source of random bytes: `getrandom` in production, a seeded sequence in tests.

/// A cryptographically secure source of random bytes.
#[derive(Debug, Clone)]
pub enum Rng {
    System,
    /// A reproducible sequence: its seed, and the number of blocks that were taken.
    #[cfg(feature = "testing")]
    Seeded(std::sync::Arc<std::sync::Mutex<(u64, u64)>>),
}

impl Rng {
    /// A reproducible sequence, for tests.
    #[cfg(feature = "testing")]
    pub fn seeded(seed: u64) -> Self {
        Self::Seeded(std::sync::Arc::new((seed, 0).into()))
    }

    /// Whether the sequence is reproducible.
    pub(super) fn is_seeded(&self) -> bool {
        match self {
            Self::System => false,
            #[cfg(feature = "testing")]
            Self::Seeded(_) => true,
        }
    }

    /// Fills `bytes`.
    ///
    /// # Panics
    ///
    /// If the operating system gives no random bytes: no key and no session could be made safely.
    #[expect(clippy::disallowed_methods, reason = "the one place that reads it")]
    pub fn fill_bytes(&self, bytes: &mut [u8]) {
        match self {
            Self::System => getrandom::fill(bytes).expect("the operating system gives random bytes"),
            #[cfg(feature = "testing")]
            Self::Seeded(state) => {
                use sha2::{Digest, Sha256};
                let (seed, count) = &mut *state.lock().expect("no test panics while it holds the lock");
                for chunk in bytes.chunks_mut(32) {
                    *count += 1;
                    let block =
                        Sha256::new().chain_update(seed.to_be_bytes()).chain_update(count.to_be_bytes()).finalize();
                    chunk.copy_from_slice(&block[..chunk.len()]);
                }
            }
        }
    }
}
