//! Argon2id hashing and verification on the blocking pool: half the cores at a time, so that sign-ins never starve the API.
//!
//! Each place has a kept block of memory. A fresh block of 19 MiB for each hash would stay with the allocator's arena of the
//! blocking thread that freed it, and there are many threads.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};

use argon2::password_hash::phc::{Output, ParamsString, PasswordHash as Phc, Salt};
use argon2::{Algorithm, Argon2, Block, Params, Version};
use ipnet::{IpNet, Ipv6Net};
use tokio::sync::Semaphore;

use keyhouse_domain::password::{Password, PasswordHash};

/// Places in the queue for callers that are known: at some 20 ms each, the last of them waits under a second.
const KNOWN_MAX: usize = 32;
/// Places for strangers, in all. The known wait behind them, so this too bounds their wait.
const STRANGERS_MAX: usize = 32;
/// Of these, for one network: /24, or /56 and /64 (a customer of a provider has a /56 or more).
const PER_NETWORK: usize = 4;
/// Of these, for one /48: what a site, or a determined guesser, gets from a provider.
const PER_SITE: usize = 8;

/// The queue is full for this caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("too many people are signing in at once")]
pub struct Overloaded;

/// Who waits for a hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Caller {
    /// A browser with a valid session, or an account from a network that it has signed in from.
    Known,
    /// Anyone else, by network (/24, /64).
    Stranger(IpNet),
}

/// Whether the hash of an attempt has begun: from then on its work is spent, whatever becomes of the caller.
#[derive(Debug, Clone, Default)]
pub(crate) struct HashBegan(Arc<AtomicBool>);

impl HashBegan {
    pub(crate) fn set(&self) {
        self.0.store(true, Ordering::SeqCst);
    }

    pub(crate) fn is_set(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }
}

#[derive(Debug)]
pub(crate) struct Hasher {
    permits: Arc<Semaphore>,
    /// As many as there are permits, once each was needed.
    memory: Arc<Memory>,
    queue: Mutex<Queue>,
}

impl Default for Hasher {
    fn default() -> Self {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Self { permits: Arc::new(Semaphore::new((cores / 2).max(1))), memory: Arc::default(), queue: Mutex::default() }
    }
}

/// Kept blocks of memory for Argon2. The one that was used last is used next, so that a quiet server has touched only one.
#[derive(Debug, Default)]
struct Memory(Mutex<Vec<Vec<Block>>>);

impl Memory {
    fn with<T>(&self, params: &Params, work: impl FnOnce(&mut [Block]) -> T) -> T {
        let mut blocks = self.0.lock().unwrap_or_else(PoisonError::into_inner).pop().unwrap_or_default();
        if blocks.len() < params.block_count() {
            blocks.resize(params.block_count(), Block::default());
        }
        let result = work(&mut blocks);
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(blocks);
        result
    }
}

/// Compared with where there is no stored hash, so that the answer takes as long.
static DUMMY_HASH: LazyLock<PasswordHash> = LazyLock::new(|| hash(&Memory::default(), b"no one's password", &[7; 16]));

/// Argon2id with the crate's defaults: 19 MiB, 2 passes, 1 lane, which is OWASP's first choice.
fn hash(memory: &Memory, password: &[u8], salt: &[u8]) -> PasswordHash {
    let params = Params::default();
    let output = output(memory, password, salt, Algorithm::Argon2id, Version::V0x13, params.clone());
    let phc = Phc {
        algorithm: Algorithm::Argon2id.ident(),
        version: Some(Version::V0x13.into()),
        params: ParamsString::try_from(&params).expect("the default parameters have a PHC form"),
        salt: Some(Salt::new(salt).expect("16 bytes are a salt")),
        hash: Some(output.expect("the default parameters and 16 bytes of salt are valid")),
    };
    PasswordHash::new(phc.to_string())
}

fn output(
    memory: &Memory,
    password: &[u8],
    salt: &[u8],
    algorithm: Algorithm,
    version: Version,
    params: Params,
) -> Option<Output> {
    let length = params.output_len().unwrap_or(Params::DEFAULT_OUTPUT_LEN);
    let mut bytes = [0; Output::MAX_LENGTH];
    let bytes = bytes.get_mut(..length)?;
    let argon2 = Argon2::new(algorithm, version, params);
    memory.with(argon2.params(), |blocks| argon2.hash_password_into_with_memory(password, salt, bytes, blocks)).ok()?;
    Output::new(bytes).ok()
}

/// Whether it is the stored password. `Output` compares in constant time.
fn is_password(memory: &Memory, password: &[u8], stored: &PasswordHash) -> bool {
    let is_it = || {
        let phc = Phc::new(stored.as_str()).ok()?;
        let algorithm = Algorithm::try_from(phc.algorithm.as_str()).ok()?;
        let version = phc.version.map_or(Some(Version::default()), |version| Version::try_from(version).ok())?;
        let params = Params::try_from(&phc).ok()?;
        let (salt, expected) = (phc.salt?, phc.hash?);
        Some(output(memory, password, salt.as_ref(), algorithm, version, params)? == expected)
    };
    is_it().unwrap_or(false)
}

impl Hasher {
    /// # Errors
    ///
    /// [`Overloaded`] at once if the caller's part of the queue is full.
    pub(crate) async fn hash(
        &self,
        password: Password,
        salt: [u8; 16],
        caller: Caller,
    ) -> Result<PasswordHash, Overloaded> {
        self.with_permit(caller, HashBegan::default(), move |memory| hash(memory, password.expose(), &salt)).await
    }

    /// Whether `password` is the stored one. Takes as long without a stored hash.
    ///
    /// # Errors
    ///
    /// [`Overloaded`] at once if the caller's part of the queue is full.
    pub(crate) async fn verify(
        &self,
        password: Option<Password>,
        stored: Option<PasswordHash>,
        caller: Caller,
        began: HashBegan,
    ) -> Result<bool, Overloaded> {
        self.with_permit(caller, began, move |memory| {
            let is_known = stored.is_some() && password.is_some();
            let stored = stored.unwrap_or_else(|| DUMMY_HASH.clone());
            let typed = password.as_ref().map_or(&b""[..], Password::expose);
            is_password(memory, typed, &stored) && is_known
        })
        .await
    }

    async fn with_permit<T: Send + 'static>(
        &self,
        caller: Caller,
        began: HashBegan,
        work: impl FnOnce(&Memory) -> T + Send + 'static,
    ) -> Result<T, Overloaded> {
        let _place = self.join(caller)?;
        let permit = Arc::clone(&self.permits).acquire_owned().await.map_err(|_| Overloaded)?;
        let memory = Arc::clone(&self.memory);
        began.set();
        let done = tokio::task::spawn_blocking(move || {
            let done = work(&memory);
            drop(permit);
            done
        });
        done.await.map_err(|_| Overloaded)
    }

    fn join(&self, caller: Caller) -> Result<Place<'_>, Overloaded> {
        let shares = caller.shares();
        let mut queue = lock(&self.queue);
        if shares.iter().any(|(share, most)| queue.waiting(*share) >= *most) {
            return Err(Overloaded);
        }
        for (share, _) in &shares {
            *queue.0.entry(*share).or_default() += 1;
        }
        Ok(Place { queue: &self.queue, shares: shares.into_iter().map(|(share, _)| share).collect() })
    }
}

/// A part of the queue with a limit of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Share {
    Known,
    Strangers,
    Network(IpNet),
}

impl Caller {
    /// The parts of the queue that a caller takes a place in, and how many places each has.
    fn shares(self) -> Vec<(Share, usize)> {
        match self {
            Self::Known => vec![(Share::Known, KNOWN_MAX)],
            Self::Stranger(network) => {
                let mut shares = vec![(Share::Strangers, STRANGERS_MAX), (Share::Network(network), PER_NETWORK)];
                if let IpNet::V6(net) = network {
                    for (bits, most) in [(56, PER_NETWORK), (48, PER_SITE)] {
                        let wider = Ipv6Net::new(net.addr(), bits).map_or(net, |wider| wider.trunc());
                        shares.push((Share::Network(wider.into()), most));
                    }
                }
                shares
            }
        }
    }
}

/// How many wait in each part of the queue.
#[derive(Debug, Default)]
struct Queue(HashMap<Share, usize>);

impl Queue {
    fn waiting(&self, share: Share) -> usize {
        self.0.get(&share).copied().unwrap_or(0)
    }
}

/// A place in the queue. It is given back when this is dropped.
struct Place<'a> {
    queue: &'a Mutex<Queue>,
    shares: Vec<Share>,
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let mut queue = lock(self.queue);
        for share in &self.shares {
            if let Some(waiting) = queue.0.get_mut(share) {
                *waiting -= 1;
                if *waiting == 0 {
                    queue.0.remove(share);
                }
            }
        }
    }
}

fn lock(queue: &Mutex<Queue>) -> MutexGuard<'_, Queue> {
    queue.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stranger(network: &str) -> Caller {
        Caller::Stranger(network.parse().unwrap())
    }

    #[tokio::test]
    async fn only_the_right_password_is_verified() {
        let hasher = Hasher::default();
        let typed = |text: &str| Password::from_input(text);
        let stored = hasher.hash(typed("lamp river quiet stone").unwrap(), [1; 16], Caller::Known).await.unwrap();
        assert!(stored.as_str().starts_with("$argon2id$v=19$m=19456,t=2,p=1$"));
        let verify = |password, stored| hasher.verify(password, stored, Caller::Known, HashBegan::default());
        assert_eq!(verify(typed("lamp river quiet stone"), Some(stored.clone())).await, Ok(true));
        assert_eq!(verify(typed("lamp river quiet ston"), Some(stored.clone())).await, Ok(false));
        assert_eq!(verify(None, Some(stored)).await, Ok(false));
        assert_eq!(verify(typed("no one's password"), None).await, Ok(false), "the dummy hash matches no password");
        // Hashes of the crate's own making, as stored by earlier versions.
        use argon2::password_hash::PasswordHasher;
        let earlier: Phc = Argon2::default().hash_password_with_salt(b"lamp river quiet stone", &[2; 16]).unwrap();
        let earlier = PasswordHash::new(earlier.to_string());
        assert_eq!(verify(typed("lamp river quiet stone"), Some(earlier)).await, Ok(true));
    }

    #[tokio::test]
    async fn hashes_one_after_another_share_one_block_of_memory() {
        let hasher = Hasher::default();
        for _ in 0..5 {
            hasher.verify(None, None, Caller::Known, HashBegan::default()).await.unwrap();
        }
        assert_eq!(hasher.memory.0.lock().unwrap().len(), 1);
    }

    #[test]
    fn strangers_never_take_the_places_of_the_known() {
        let hasher = Hasher::default();
        let mut places = Vec::new();
        for network in 0..100 {
            places.extend(hasher.join(stranger(&format!("198.51.{network}.0/24"))).ok());
        }
        assert_eq!(places.len(), STRANGERS_MAX);
        let known: Vec<_> = (0..KNOWN_MAX).map(|_| hasher.join(Caller::Known).unwrap()).collect();
        assert!(hasher.join(Caller::Known).is_err());
        drop((places, known));
        assert!(lock(&hasher.queue).0.is_empty(), "all places are given back");
    }

    #[test]
    fn a_network_a_customer_and_a_site_each_have_a_share() {
        let hasher = Hasher::default();
        let joined = |networks: Vec<String>| {
            let places: Vec<_> = networks.iter().filter_map(|network| hasher.join(stranger(network)).ok()).collect();
            places.len()
        };
        assert_eq!(joined(vec!["192.0.2.0/24".to_owned(); 20]), PER_NETWORK);
        assert_eq!(joined((0..20).map(|n| format!("2001:db8:0:{n:x}::/64")).collect()), PER_NETWORK, "one /56");
        assert_eq!(joined((0..20).map(|n| format!("2001:db8:0:{n:x}00::/64")).collect()), PER_SITE, "one /48");
        assert_eq!(joined((0..20).map(|n| format!("2001:db8:{n:x}::/64")).collect()), 20, "twenty /48");
    }

    #[tokio::test]
    async fn an_attempt_that_never_gets_its_turn_has_not_begun() {
        let hasher = Hasher::default();
        let all = u32::try_from(hasher.permits.available_permits()).unwrap();
        let permits = Arc::clone(&hasher.permits).acquire_many_owned(all).await.unwrap();
        let began = HashBegan::default();
        let mut waiting = Box::pin(hasher.verify(None, None, Caller::Known, began.clone()));
        assert!(futures_util::poll!(waiting.as_mut()).is_pending());
        assert!(!began.is_set());
        drop(permits);
        assert_eq!(waiting.await, Ok(false));
        assert!(began.is_set());
    }
}
