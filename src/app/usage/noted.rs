//! What a node has noted about one key since its last write: of a fixed size.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::{Call, HELD_MAX};
use keyhouse_domain::api_key::LastUse;
use keyhouse_domain::ids::{KeyId, RequestId};
use keyhouse_domain::timestamp::Timestamp;
use keyhouse_domain::usage::{
    ADDRESSES_PER_KEY, AGENT_MAX, CALLS_PER_WRITE, KeyUsage, Outcome, RecordedCall, SeenAddress, UtcDay,
};

/// What is not written yet about one key.
#[derive(Debug, Default)]
pub(super) struct Noted {
    last_use: Option<(Timestamp, IpAddr)>,
    days: Vec<(UtcDay, [u64; Outcome::COUNT])>,
    addresses: Vec<Address>,
    errors: Ring,
    others: Ring,
}

/// Where calls came from. Shared by the calls that are held, which are many.
#[derive(Debug, PartialEq)]
struct Source {
    address: IpAddr,
    agent: Box<str>,
}

#[derive(Debug)]
struct Address {
    source: Arc<Source>,
    first_at: Timestamp,
    last_at: Timestamp,
    calls: u64,
    refused: u64,
    refused_at: Option<Timestamp>,
    accepted_at: Option<Timestamp>,
}

#[derive(Debug)]
struct Recent {
    request: RequestId,
    at: Timestamp,
    source: Arc<Source>,
    method: &'static str,
    route: &'static str,
    status: u16,
    outcome: Outcome,
}

/// The newest calls, at most [`CALLS_PER_WRITE`] of them. A new one takes the place of the oldest.
#[derive(Debug, Default)]
struct Ring {
    calls: Vec<Recent>,
    oldest: usize,
}

impl Noted {
    /// Adds a call. `held` counts the addresses and calls of all keys.
    pub(super) fn note(&mut self, call: &Call<'_>, held: &AtomicUsize) {
        let at = call.at;
        if !call.outcome.is_refused_token() {
            self.last_use = Some((at, call.from));
        }
        self.day(UtcDay::of(at))[call.outcome.index()] += 1;
        let Some(source) = self.address(call, held) else { return };
        let ring = if call.status >= 400 { &mut self.errors } else { &mut self.others };
        ring.push(call, source, held);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.days.is_empty()
    }

    pub(super) fn held(&self) -> usize {
        self.addresses.len() + self.errors.calls.len() + self.others.calls.len()
    }

    /// The counts of a day. A call's day is nearly always the latest.
    fn day(&mut self, day: UtcDay) -> &mut [u64; Outcome::COUNT] {
        let index = self.days.iter().rposition(|(known, _)| *known == day).unwrap_or_else(|| {
            push(&mut self.days, (day, [0; Outcome::COUNT]), 1);
            self.days.len() - 1
        });
        &mut self.days[index].1
    }

    /// Counts a call for its address and agent, and returns both; `None` if there is no room for another address.
    fn address(&mut self, call: &Call<'_>, held: &AtomicUsize) -> Option<Arc<Source>> {
        let at = call.at;
        let agent = String::from_utf8_lossy(&call.agent[..call.agent.len().min(AGENT_MAX)]);
        let known =
            self.addresses.iter().position(|seen| seen.source.address == call.from && *seen.source.agent == *agent);
        let index = match known {
            Some(index) => index,
            None => {
                let new = Address {
                    source: Arc::new(Source { address: call.from, agent: agent.into() }),
                    first_at: at,
                    last_at: at,
                    calls: 0,
                    refused: 0,
                    refused_at: None,
                    accepted_at: None,
                };
                if self.addresses.len() < ADDRESSES_PER_KEY as usize {
                    hold(held)?;
                    push(&mut self.addresses, new, 1);
                    self.addresses.len() - 1
                } else {
                    let (oldest, _) = self.addresses.iter().enumerate().min_by_key(|(_, seen)| seen.last_at)?;
                    self.addresses[oldest] = new;
                    oldest
                }
            }
        };
        let seen = &mut self.addresses[index];
        seen.last_at = at;
        seen.calls += 1;
        if call.outcome.is_refused_token() {
            seen.refused += 1;
            seen.refused_at = Some(at);
        } else {
            seen.accepted_at = Some(at);
        }
        Some(Arc::clone(&seen.source))
    }

    /// Adds what was noted earlier. Of addresses and calls, the earlier ones get the room that is left.
    pub(super) fn add(&mut self, older: Self) {
        self.last_use = self.last_use.or(older.last_use);
        for (day, counts) in older.days {
            let sums = self.day(day);
            for (sum, count) in sums.iter_mut().zip(counts) {
                *sum += count;
            }
        }
        for seen in older.addresses {
            if let Some(index) = self.addresses.iter().position(|known| known.source == seen.source) {
                let known = &mut self.addresses[index];
                known.first_at = known.first_at.min(seen.first_at);
                known.calls += seen.calls;
                known.refused += seen.refused;
                known.refused_at = known.refused_at.or(seen.refused_at);
                known.accepted_at = known.accepted_at.or(seen.accepted_at);
            } else if self.addresses.len() < ADDRESSES_PER_KEY as usize {
                self.addresses.push(seen);
            }
        }
        self.errors.add(older.errors);
        self.others.add(older.others);
    }

    /// As the store takes it: of the calls the newest errors, and in the places that are left the newest others.
    pub(super) fn usage(&self, key: KeyId) -> KeyUsage {
        let counts = |(day, counts): &(UtcDay, [u64; Outcome::COUNT])| {
            let day = *day;
            let of = counts.iter().zip(Outcome::ALL);
            of.filter(|(calls, _)| **calls > 0).map(move |(calls, outcome)| (day, *outcome, *calls)).collect::<Vec<_>>()
        };
        let mut days: Vec<_> = self.days.iter().flat_map(counts).collect();
        days.sort_unstable_by_key(|(day, outcome, _)| (*day, outcome.as_str()));
        let mut addresses: Vec<_> = self.addresses.iter().map(Address::seen).collect();
        addresses.sort_unstable_by(|a, b| (&a.address, &a.agent).cmp(&(&b.address, &b.agent)));
        let mut calls: Vec<_> =
            self.errors.newest_first().chain(self.others.newest_first()).take(CALLS_PER_WRITE).collect();
        calls.sort_unstable_by_key(|call| call.request);
        KeyUsage {
            key,
            last_use: self.last_use.map(|(at, from)| LastUse { at, from: from.to_string() }),
            days,
            addresses,
            calls: calls.into_iter().map(Recent::recorded).collect(),
        }
    }
}

/// Counts one more address or call; `None` if the node holds [`HELD_MAX`].
fn hold(held: &AtomicUsize) -> Option<()> {
    if held.load(Ordering::Relaxed) >= HELD_MAX {
        return None;
    }
    held.fetch_add(1, Ordering::Relaxed);
    Some(())
}

/// As [`Vec::push`], with room for at most `step` more. A vector by itself doubles its room, and has room for four at first:
/// there are three for each key in use.
fn push<T>(to: &mut Vec<T>, value: T, step: usize) {
    if to.len() == to.capacity() {
        to.reserve_exact(step);
    }
    to.push(value);
}

impl Ring {
    fn push(&mut self, call: &Call<'_>, source: Arc<Source>, held: &AtomicUsize) {
        let &Call { request, at, method, route, status, outcome, .. } = call;
        let new = Recent { request, at, source, method, route, status, outcome };
        if self.calls.len() < CALLS_PER_WRITE {
            if hold(held).is_some() {
                push(&mut self.calls, new, 4);
            }
            return;
        }
        self.calls[self.oldest] = new;
        self.oldest = (self.oldest + 1) % CALLS_PER_WRITE;
    }

    fn newest_first(&self) -> impl Iterator<Item = &Recent> {
        let (newest, older) = self.calls.split_at(self.oldest);
        newest.iter().rev().chain(older.iter().rev())
    }

    fn add(&mut self, older: Self) {
        let room = CALLS_PER_WRITE - self.calls.len();
        let mut calls = older.calls;
        calls.sort_unstable_by_key(|call| call.request);
        calls.drain(..calls.len().saturating_sub(room));
        calls.append(&mut self.calls);
        *self = Self { calls, oldest: if room == 0 { self.oldest } else { 0 } };
    }
}

impl Address {
    fn seen(&self) -> SeenAddress {
        SeenAddress {
            address: self.source.address.to_string(),
            agent: self.source.agent.to_string(),
            first_at: self.first_at,
            last_at: self.last_at,
            calls: self.calls,
            refused: self.refused,
            refused_at: self.refused_at,
            accepted_at: self.accepted_at,
        }
    }
}

impl Recent {
    fn recorded(&self) -> RecordedCall {
        RecordedCall {
            request: self.request,
            at: self.at,
            method: self.method.to_owned(),
            route: self.route.to_owned(),
            status: self.status,
            outcome: self.outcome,
            address: self.source.address.to_string(),
            agent: self.source.agent.to_string(),
        }
    }
}
