//! Chance, by the front door: the operating system's, or in tests a known sequence.

/// A source of bytes that nobody can guess.
#[derive(Debug, Clone)]
pub enum Rng {
    System,
    /// A sequence that a test knows beforehand.
    #[cfg(feature = "testing")]
    /// Its seed, and how far it has come.
    Seeded(std::sync::Arc<std::sync::Mutex<(u64, u64)>>),
}

impl Rng {
    #[cfg(feature = "testing")]
    pub fn seeded(seed: u64) -> Self {
        Self::Seeded(std::sync::Arc::new((seed, 0).into()))
    }

    /// # Panics
    ///
    /// If the operating system has no randomness to give: without it no key is safe, so nothing may go on.
    #[expect(clippy::disallowed_methods, reason = "the one place that asks")]
    pub fn fill_bytes(&self, bytes: &mut [u8]) {
        match self {
            Self::System => getrandom::fill(bytes).expect("the operating system gives random bytes"),
            #[cfg(feature = "testing")]
            Self::Seeded(state) => {
                use sha2::{Digest, Sha256};
                let (seed, count) = &mut *state.lock().expect("no test panics while it holds the dice");
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
