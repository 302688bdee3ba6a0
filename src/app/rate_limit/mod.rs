//! Rate limits: API calls by key, refused credentials by network, sign-ins by network and account.
//!
//! | file | limits |
//! |---|---|
//! | `windows.rs` | calls of a key on this node |
//! | `redis.rs` | calls of a key on all nodes together |
//! | `attempts.rs` | a table of fixed size for whatever a stranger can make many of |
//! | `login.rs` | wrong passwords |

pub(crate) mod attempts;
pub mod login;
pub mod redis;
mod windows;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::app::App;
pub(crate) use attempts::{AttemptTable, network};
use keyhouse_domain::api_key::ApiKey;
use keyhouse_domain::rate_limit::{Quota, RateLimit};
use redis::{RedisAddress, RedisLimiter};
pub(crate) use windows::KeyWindows;

/// The window in which refused credentials are counted.
pub const BAD_TOKENS_WINDOW: Duration = Duration::from_secs(60);

/// The configured limits; `None` is no limit.
#[derive(Debug, Clone, Copy, Default)]
pub struct Limits {
    /// Calls of one key.
    pub per_key: Option<RateLimit>,
    /// Refused credentials of one network.
    pub bad_tokens: Option<RateLimit>,
}

impl App {
    /// Shares one rate limit with all nodes that use this Redis: from now on, and for the life of the application. Call
    /// [`RedisLimiter::heartbeat`] regularly.
    pub fn with_redis(self, address: RedisAddress) -> (Self, Arc<RedisLimiter>) {
        let redis = self.redis.get_or_init(|| Arc::new(RedisLimiter::new(address, self.ids.request().to_string())));
        let redis = Arc::clone(redis);
        (self, redis)
    }

    /// Counts an authenticated call against its key's rate limit. `None`: there is no limit.
    ///
    /// Writes nothing to the database.
    pub async fn count_call(&self, key: &ApiKey) -> Option<Quota> {
        let at = self.clock.now();
        let limit = self.limits.per_key.as_ref()?;
        let Some(redis) = self.redis.get() else {
            return Some(self.windows.decide(key.id, limit, at));
        };
        // In a box, as every call's future would have its size without Redis too.
        Some(match Box::pin(redis.decide(key.id, limit)).await {
            Ok(quota) => {
                // Counted here too: if Redis fails, what this node admitted before is part of its share.
                if quota.retry_after.is_none() {
                    self.windows.count(key.id, limit, at);
                }
                quota
            }
            Err(reason) => {
                self.metrics.record_fallback(reason);
                let quota = self.windows.decide(key.id, &redis.share(limit), at);
                Quota { limit: limit.requests(), ..quota }
            }
        })
    }

    /// Removes the rate windows that no longer count; returns how many.
    pub(crate) fn sweep_windows(&self) -> usize {
        self.limits.per_key.as_ref().map_or(0, |limit| self.windows.sweep(limit, self.clock.now()))
    }

    /// Counts a refused credential against the network it came from; over the limit, the number of seconds to wait.
    ///
    /// Called only after a credential was refused, so a good key is never refused for its address.
    pub fn count_bad_token(&self, from: IpAddr) -> Option<u64> {
        let limit = self.limits.bad_tokens.as_ref()?;
        self.bad_tokens.count(network(from), limit, self.clock.now())
    }
}
