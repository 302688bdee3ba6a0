//! Weeks of usage for the demo's keys, in the form in which nodes record it

use std::time::Duration;

use keyhouse_domain::api_key::LastUse;
use keyhouse_domain::ids::{IdSeed, KeyId, RequestId};
use keyhouse_domain::timestamp::Timestamp;
use keyhouse_domain::usage::{KeyUsage, Outcome, RecordedCall, SeenAddress, UtcDay};

const MINUTE: Duration = Duration::from_secs(60);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);
/// Recent calls of a key: as many as fit between its last use and a week before.
const CALLS: u64 = 60;
/// Spreads the random part of request ids; any large odd number does.
const ID_STEP: u128 = 0x9E37_79B9_7F4A_7C15_F39C_C060_5CED_C835;

/// A program that uses a key.
pub(super) struct Client {
    pub address: &'static str,
    pub agent: &'static str,
}

/// A call that such a program makes again and again.
pub(super) struct Route {
    pub method: &'static str,
    pub route: &'static str,
    pub status: u16,
    pub outcome: Outcome,
}

/// How a key was used between two times. The numbers differ from day to day and are the same in each demo.
pub(super) struct Usage<'a> {
    pub first: Timestamp,
    pub last: Timestamp,
    /// Calls on an average day.
    pub daily: u64,
    /// Calls over the rate limit on each ninth day.
    pub rate_limited: u64,
    /// The first one makes most calls.
    pub clients: &'a [Client],
    pub routes: &'a [Route],
}

impl Usage<'_> {
    pub(super) fn of(&self, key: KeyId) -> KeyUsage {
        let days = self.days();
        let total: u64 = days.iter().map(|(_, _, calls)| calls).sum();
        let is_refused = self.routes.iter().all(|route| route.outcome.is_refused_token());
        let addresses = (1..).zip(self.clients).map(|(nth, client)| {
            let last_at = self.last.minus(11 * MINUTE * (nth - 1));
            let calls = total / u64::from(nth) / self.clients.len() as u64;
            SeenAddress {
                address: client.address.to_owned(),
                agent: client.agent.to_owned(),
                first_at: self.first,
                last_at,
                calls,
                refused: if is_refused { calls } else { 0 },
                refused_at: is_refused.then_some(last_at),
                accepted_at: (!is_refused).then_some(last_at),
            }
        });
        let used_from = self.clients.first().filter(|_| !is_refused);
        KeyUsage {
            key,
            last_use: used_from.map(|client| LastUse { at: self.last, from: client.address.to_owned() }),
            addresses: addresses.collect(),
            calls: self.calls(total),
            days,
        }
    }

    fn days(&self) -> Vec<(UtcDay, Outcome, u64)> {
        let usual = self.routes.first().map_or(Outcome::Admitted, |route| route.outcome);
        let mut days = Vec::new();
        for number in UtcDay::of(self.first).number()..=UtcDay::of(self.last).number() {
            let day = UtcDay::from_number(number);
            let whole = self.daily * (70 + number.unsigned_abs() * 37 % 61) / 100;
            // The last day is as long as it has lasted.
            let lasted = self.last.ms() - day.begins().ms();
            let part = u128::try_from(lasted).unwrap_or_default().min(DAY.as_millis());
            days.push((day, usual, (u128::from(whole) * part / DAY.as_millis()) as u64));
            if usual == Outcome::Admitted {
                days.push((day, Outcome::ClientError, whole / 90));
                days.push((day, Outcome::RateLimit, if number % 9 == 4 { self.rate_limited } else { 0 }));
            }
        }
        days.retain(|(_, _, calls)| *calls > 0);
        days
    }

    /// The last calls, ever further apart: the first within a minute, the last some days before. At most `total`.
    fn calls(&self, total: u64) -> Vec<RecordedCall> {
        if self.clients.is_empty() || self.routes.is_empty() {
            return Vec::new();
        }
        let call = |nth: u64| {
            let at = self.last.minus(Duration::from_secs(nth * nth * 90));
            let pick = (nth * nth + nth / 3) as usize;
            let (route, client) =
                (&self.routes[pick % self.routes.len()], &self.clients[pick / 2 % self.clients.len()]);
            let random = u128::from(nth).wrapping_mul(ID_STEP);
            RecordedCall {
                request: RequestId::new(IdSeed { ms: u64::try_from(at.ms()).unwrap_or_default(), random }),
                at,
                method: route.method.to_owned(),
                route: route.route.to_owned(),
                status: route.status,
                outcome: route.outcome,
                address: client.address.to_owned(),
                agent: client.agent.to_owned(),
            }
        };
        (0..CALLS.min(total)).map(call).filter(|call| call.at >= self.first).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn usage_counts_each_day_and_ends_with_its_last_call() {
        let last = Timestamp::from_ms(1_764_072_000_000); // 2025-11-25T12:00:00Z
        let usage = Usage {
            first: last.minus(10 * DAY),
            last,
            daily: 1000,
            rate_limited: 40,
            clients: &[Client { address: "192.0.2.1", agent: "a" }, Client { address: "192.0.2.2", agent: "b" }],
            routes: &[Route { method: "GET", route: "/api/v1/products", status: 200, outcome: Outcome::Admitted }],
        };
        let of = usage.of(KeyId::new(IdSeed { ms: 1, random: 1 }));
        let admitted: Vec<_> = of.days.iter().filter(|day| day.1 == Outcome::Admitted).map(|day| day.2).collect();
        assert_eq!(admitted.len(), 11);
        assert!(admitted[..10].iter().all(|calls| (700..=1300).contains(calls)) && admitted[10] < 700, "{admitted:?}");
        assert!(of.days.iter().any(|day| day.1 == Outcome::RateLimit && day.2 == 40));
        assert_eq!(of.last_use, Some(LastUse { at: last, from: "192.0.2.1".to_owned() }));
        assert_eq!((of.calls.len(), of.calls[0].at, of.addresses.len()), (60, last, 2));
    }

    #[test]
    fn refused_calls_are_no_use_of_the_key() {
        let last = Timestamp::from_ms(1_764_072_000_000);
        let usage = Usage {
            first: last.minus(DAY),
            last,
            daily: 10,
            rate_limited: 0,
            clients: &[Client { address: "192.0.2.1", agent: "a" }],
            routes: &[Route { method: "GET", route: "/api/v1/products", status: 401, outcome: Outcome::Revoked }],
        };
        let of = usage.of(KeyId::new(IdSeed { ms: 1, random: 1 }));
        assert_eq!((of.last_use, of.addresses[0].refused_at), (None, Some(last)));
        assert!(of.days.iter().all(|day| day.1 == Outcome::Revoked), "{:?}", of.days);
    }
}
