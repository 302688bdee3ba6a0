//! Wrong passwords, counted by network, by account and network, and by account.

use std::net::IpAddr;
use std::sync::LazyLock;
use std::time::Duration;

use ipnet::IpNet;
use sha2::{Digest, Sha256};

use super::limits::{Guesses, network};
use crate::domain::rate::RateLimit;
use crate::domain::timestamp::Timestamp;

static PER_NETWORK: LazyLock<RateLimit> = LazyLock::new(|| limit(30, 15 * 60));
static PER_ACCOUNT_AND_NETWORK: LazyLock<RateLimit> = LazyLock::new(|| limit(10, 15 * 60));
/// NIST's hundred (SP 800-63B-4, 3.2.2). Never counts against networks that the person has signed in from: strangers can't
/// lock anybody out of their own office.
static PER_ACCOUNT: LazyLock<RateLimit> = LazyLock::new(|| limit(100, 24 * 60 * 60));

fn limit(requests: u64, seconds: u64) -> RateLimit {
    RateLimit::new(requests, Duration::from_secs(seconds)).expect("more than no guesses in more than a second")
}

/// Wrong passwords of the last while, in tables of fixed size. Accounts are known by a digest of the address that was
/// typed, whether there is one of it or not.
#[derive(Debug, Default)]
pub struct SignInGuesses {
    networks: Guesses<IpNet>,
    accounts_and_networks: Guesses<[u8; 16]>,
    accounts: Guesses<[u8; 16]>,
}

/// A guess that is counted before it is judged, so that many at once get no more tries than one by one. Dropped, it is
/// taken back: it was right, or never judged.
#[derive(Debug)]
pub struct Counted<'a> {
    guesses: &'a SignInGuesses,
    account: &'a str,
    network: Option<IpNet>,
    here: Option<[u8; 16]>,
    anywhere: Option<[u8; 16]>,
}

impl SignInGuesses {
    /// Counts a guess; over a limit, the error is the seconds to wait.
    pub fn count<'a>(&'a self, account: &'a str, addr: IpAddr, now: Timestamp) -> Result<Counted<'a>, u64> {
        let network = network(addr);
        let here = digest(&format!("{network} {account}"));
        let mut counted = Counted { guesses: self, account, network: None, here: None, anywhere: None };
        refuse(self.networks.count(network, &PER_NETWORK, now))?;
        counted.network = Some(network);
        refuse(self.accounts_and_networks.count(here, &PER_ACCOUNT_AND_NETWORK, now))?;
        counted.here = Some(here);
        Ok(counted)
    }
}

impl Counted<'_> {
    /// Counts it for the account too: the network is one that the person has not signed in from.
    pub fn as_stranger(&mut self, now: Timestamp) -> Result<(), u64> {
        let anywhere = digest(self.account);
        refuse(self.guesses.accounts.count(anywhere, &PER_ACCOUNT, now))?;
        self.anywhere = Some(anywhere);
        Ok(())
    }

    /// It was judged, and wrong.
    pub fn stands(mut self) {
        (self.network, self.here, self.anywhere) = (None, None, None);
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        if let Some(network) = self.network {
            self.guesses.networks.take_back(network);
        }
        if let Some(here) = self.here {
            self.guesses.accounts_and_networks.take_back(here);
        }
        if let Some(anywhere) = self.anywhere {
            self.guesses.accounts.take_back(anywhere);
        }
    }
}

fn refuse(wait: Option<u64>) -> Result<(), u64> {
    wait.map_or(Ok(()), Err)
}

fn digest(text: &str) -> [u8; 16] {
    let mut short = [0; 16];
    short.copy_from_slice(&Sha256::digest(text.as_bytes())[..16]);
    short
}
