//! Wrong passwords, counted by network, by account and network, and by account.

use std::net::IpAddr;
use std::sync::LazyLock;
use std::time::Duration;

use ipnet::IpNet;
use sha2::{Digest, Sha256};

use super::{AttemptTable, network};
use keyhouse_domain::rate_limit::RateLimit;
use keyhouse_domain::timestamp::Timestamp;

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
pub struct LoginThrottle {
    networks: AttemptTable<IpNet>,
    accounts_and_networks: AttemptTable<[u8; 16]>,
    accounts: AttemptTable<[u8; 16]>,
}

/// A guess that is counted before it is judged, so that many at once get no more tries than one by one. Dropped, it is
/// taken back: it was right, or never judged.
#[derive(Debug)]
pub struct Attempt<'a> {
    guesses: &'a LoginThrottle,
    account: &'a str,
    network: Option<IpNet>,
    here: Option<[u8; 16]>,
    anywhere: Option<[u8; 16]>,
}

impl LoginThrottle {
    /// Counts a guess; over a limit, the error is the seconds to wait.
    pub fn count<'a>(&'a self, account: &'a str, addr: IpAddr, now: Timestamp) -> Result<Attempt<'a>, u64> {
        let network = network(addr);
        let here = digest(&format!("{network} {account}"));
        let mut counted = Attempt { guesses: self, account, network: None, here: None, anywhere: None };
        refuse(self.networks.count(network, &PER_NETWORK, now))?;
        counted.network = Some(network);
        refuse(self.accounts_and_networks.count(here, &PER_ACCOUNT_AND_NETWORK, now))?;
        counted.here = Some(here);
        Ok(counted)
    }
}

impl Attempt<'_> {
    /// Counts it for the account too: the network is one that the person has not signed in from.
    pub fn count_against_account(&mut self, now: Timestamp) -> Result<(), u64> {
        let anywhere = digest(self.account);
        refuse(self.guesses.accounts.count(anywhere, &PER_ACCOUNT, now))?;
        self.anywhere = Some(anywhere);
        Ok(())
    }

    /// It was judged, and wrong.
    pub fn fail(mut self) {
        (self.network, self.here, self.anywhere) = (None, None, None);
    }
}

impl Drop for Attempt<'_> {
    fn drop(&mut self) {
        if let Some(network) = self.network {
            self.guesses.networks.refund(network);
        }
        if let Some(here) = self.here {
            self.guesses.accounts_and_networks.refund(here);
        }
        if let Some(anywhere) = self.anywhere {
            self.guesses.accounts.refund(anywhere);
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
