//! The login throttle: limits wrong passwords.
//!
//! | who | is counted |
//! |---|---|
//! | a person with a valid session | by person: 10 in 15 minutes |
//! | an account, from a network that it has signed in from | by account and network: 10 in 15 minutes |
//! | anyone else | by account and network, by network (30 in 15 minutes; 60 of a /56, 120 of a /48), and by account (100 a day) |
//!
//! So strangers can't lock out a known person, neither from that person's network nor from another.

use std::net::IpAddr;
use std::time::Duration;

use ipnet::{IpNet, Ipv6Net};
use sha2::{Digest, Sha256};

use super::{AttemptTable, network};
use crate::app::infra::password_hasher::{Caller, HashBegan};
use keyhouse_domain::ids::PersonId;
use keyhouse_domain::rate_limit::RateLimit;
use keyhouse_domain::timestamp::Timestamp;

const QUARTER: u64 = 15 * 60;
const DAY: u64 = 24 * 60 * 60;

fn limit(requests: u64, seconds: u64) -> RateLimit {
    RateLimit::new(requests, Duration::from_secs(seconds)).expect("more than 0 requests in at least a second")
}

/// Who tries a password.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Guesser {
    /// A person with a valid session, who is asked for their password again.
    SignedIn(PersonId),
    /// A browser without a session. `is_known`: its network is one that the account has signed in from.
    Browser { addr: IpAddr, is_known: bool },
}

impl Guesser {
    /// Their part of the password queue.
    pub(crate) fn caller(self) -> Caller {
        match self {
            Self::SignedIn(_) | Self::Browser { is_known: true, .. } => Caller::Known,
            Self::Browser { addr, is_known: false } => Caller::Stranger(network(addr)),
        }
    }
}

/// What a wrong password is counted against.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Counter {
    SignedIn(PersonId),
    AccountAndNetwork([u8; 16]),
    Network(IpNet),
    /// NIST SP 800-63B-4, 3.2.2: at most 100 consecutive failed attempts on an account.
    Account([u8; 16]),
    /// Successful sign-ins: a budget, so that one person can't fill the audit log.
    SignIns(PersonId),
}

/// Wrong passwords of the last minutes, in a table of fixed size. Accounts are known by a digest of the address that was
/// typed, whether an account has it or not.
#[derive(Debug, Default)]
pub(crate) struct LoginThrottle(AttemptTable<Counter>);

/// An attempt that is counted before its password is verified, so that many at once get no more tries than one by one.
///
/// Dropped, it is refunded unless its hash has begun: a client that gives up gets no free guess.
#[derive(Debug)]
pub(crate) struct Attempt<'a> {
    throttle: &'a LoginThrottle,
    counted: Vec<Counter>,
    /// To be set when the hash begins.
    pub(crate) began: HashBegan,
}

impl LoginThrottle {
    /// Counts an attempt.
    ///
    /// # Errors
    ///
    /// Over a limit: the number of seconds to wait. The attempt is not counted.
    pub(crate) fn count(&self, account: &str, guesser: Guesser, now: Timestamp) -> Result<Attempt<'_>, u64> {
        let mut attempt = Attempt { throttle: self, counted: Vec::new(), began: HashBegan::default() };
        for (counter, limit) in counters(account, guesser) {
            match self.0.count(counter, &limit, now) {
                None => attempt.counted.push(counter),
                // The drop refunds what was counted already.
                Some(wait) => return Err(wait),
            }
        }
        Ok(attempt)
    }
}

impl LoginThrottle {
    /// Counts a sign-in with the right password: 30 in an hour for a person.
    ///
    /// # Errors
    ///
    /// Over the limit: the number of seconds to wait.
    pub(crate) fn count_sign_in(&self, person: PersonId, now: Timestamp) -> Result<(), u64> {
        self.0.count(Counter::SignIns(person), &limit(30, 60 * 60), now).map_or(Ok(()), Err)
    }
}

fn counters(account: &str, guesser: Guesser) -> Vec<(Counter, RateLimit)> {
    let (addr, is_known) = match guesser {
        Guesser::SignedIn(person) => return vec![(Counter::SignedIn(person), limit(10, QUARTER))],
        Guesser::Browser { addr, is_known } => (addr, is_known),
    };
    let network = network(addr);
    let here = Counter::AccountAndNetwork(digest(&format!("{network} {account}")));
    let mut counters = vec![(here, limit(10, QUARTER))];
    if !is_known {
        counters.push((Counter::Network(network), limit(30, QUARTER)));
        if let IpNet::V6(net) = network {
            for (bits, requests) in [(56, 60), (48, 120)] {
                let wider = Ipv6Net::new(net.addr(), bits).map_or(net, |wider| wider.trunc());
                counters.push((Counter::Network(wider.into()), limit(requests, QUARTER)));
            }
        }
        counters.push((Counter::Account(digest(account)), limit(100, DAY)));
    }
    counters
}

impl Attempt<'_> {
    /// The password was right: nothing is counted.
    pub(crate) fn succeed(mut self) {
        self.refund();
        self.counted.clear();
    }

    fn refund(&self) {
        for counter in &self.counted {
            self.throttle.0.refund(*counter);
        }
    }
}

impl Drop for Attempt<'_> {
    fn drop(&mut self) {
        if !self.began.is_set() {
            self.refund();
        }
    }
}

fn digest(text: &str) -> [u8; 16] {
    let mut short = [0; 16];
    short.copy_from_slice(&Sha256::digest(text.as_bytes())[..16]);
    short
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_ms(1_795_512_600_000);

    fn stranger(addr: &str) -> Guesser {
        Guesser::Browser { addr: addr.parse().unwrap(), is_known: false }
    }

    /// Tries that often, each with a hash that begins, and returns how many were let through.
    fn wrong(throttle: &LoginThrottle, times: usize, mut next: impl FnMut(usize) -> (String, Guesser)) -> usize {
        let let_through = |index| {
            let (account, guesser) = next(index);
            throttle.count(&account, guesser, NOW).inspect(|attempt| attempt.began.set()).is_ok()
        };
        (0..times).map(let_through).filter(|passed| *passed).count()
    }

    #[test]
    fn strangers_of_a_network_share_a_limit_and_do_not_lock_out_the_known() {
        let throttle = LoginThrottle::default();
        let guess = |index: usize| (format!("a{index}@example.com"), stranger("192.0.2.7"));
        assert_eq!(wrong(&throttle, 100, guess), 30);
        let known = Guesser::Browser { addr: "192.0.2.9".parse().unwrap(), is_known: true };
        assert!(throttle.count("ada@example.com", known, NOW).is_ok(), "an account that is known there");
        let person = PersonId::new(keyhouse_domain::ids::IdSeed { ms: 1, random: 1 });
        assert!(throttle.count("ada@example.com", Guesser::SignedIn(person), NOW).is_ok());
        assert!(throttle.count("ada@example.com", stranger("192.0.2.9"), NOW).is_err());
    }

    #[test]
    fn a_thousand_networks_get_a_hundred_guesses_at_one_account_and_a_site_a_hundred_and_twenty_in_all() {
        let throttle = LoginThrottle::default();
        let at_ada =
            |index: usize| ("ada@example.com".to_owned(), stranger(&format!("10.{}.{}.1", index / 250, index % 250)));
        assert_eq!(wrong(&throttle, 1000, at_ada), 100);
        let of_site = |index: usize| (format!("b{index}@example.com"), stranger(&format!("2001:db8:7:{index:x}::1")));
        assert_eq!(wrong(&throttle, 1000, of_site), 120);
        let of_customer =
            |index: usize| (format!("c{index}@example.com"), stranger(&format!("2001:db8:8:{:x}::1", index % 256)));
        assert_eq!(wrong(&throttle, 1000, of_customer), 60);
    }

    #[test]
    fn an_attempt_is_refunded_if_its_hash_never_began_or_its_password_was_right() {
        let throttle = LoginThrottle::default();
        for _ in 0..50 {
            drop(throttle.count("ada@example.com", stranger("192.0.2.7"), NOW).unwrap());
        }
        for _ in 0..50 {
            let attempt = throttle.count("ada@example.com", stranger("192.0.2.7"), NOW).unwrap();
            attempt.began.set();
            attempt.succeed();
        }
        let given_up = |_| ("ada@example.com".to_owned(), stranger("192.0.2.7"));
        assert_eq!(wrong(&throttle, 50, given_up), 10, "a client that gives up has had its guess");
    }
}
