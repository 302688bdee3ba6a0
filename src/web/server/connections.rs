//! The connections of a port: how many there are, from which networks, and which one gives way when they run short.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ipnet::IpNet;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};

use super::ServerOptions;
use super::activity::Activity;
use crate::app::rate_limit::network;

/// No network that is not a trusted proxy holds more than one in so many connections.
const NETWORK_SHARE: usize = 4;

#[derive(Debug, Clone)]
pub(super) struct Connections {
    places: Arc<Semaphore>,
    per_network: usize,
    without_share: Arc<[IpNet]>,
    open: Arc<Mutex<Open>>,
}

#[derive(Debug, Default)]
struct Open {
    next_id: u64,
    by_id: HashMap<u64, Entry>,
    by_network: HashMap<IpNet, usize>,
}

#[derive(Debug)]
struct Entry {
    network: Option<IpNet>,
    activity: Arc<Activity>,
    evict: Arc<Notify>,
}

impl Connections {
    pub(super) fn new(options: &ServerOptions) -> Self {
        Self {
            places: Arc::new(Semaphore::new(options.max_connections)),
            per_network: (options.max_connections / NETWORK_SHARE).max(1),
            without_share: Arc::clone(&options.without_share),
            open: Arc::default(),
        }
    }

    /// Waits for a place, and has the connection that was idle longest closed if there is none. `None` if the peer's
    /// network has its share and none of its connections is idle: then the new connection is to be closed.
    pub(super) async fn admit(&self, peer: IpAddr, retry: Duration) -> Option<Admission> {
        let network = self.limited_network(peer);
        if network.is_some_and(|network| self.holds_its_share(network)) && !self.evict_longest_idle(network) {
            tracing::debug!(%peer, "a network holds its share of the connections, a new one is closed");
            return None;
        }
        loop {
            if let Some(admission) = self.try_admit(peer) {
                return Some(admission);
            }
            self.evict_longest_idle(None);
            if let Ok(Ok(place)) = tokio::time::timeout(retry, Arc::clone(&self.places).acquire_owned()).await {
                return Some(self.register(network, place));
            }
        }
    }

    /// Takes a free place, if there is one.
    pub(super) fn try_admit(&self, peer: IpAddr) -> Option<Admission> {
        let place = Arc::clone(&self.places).try_acquire_owned().ok()?;
        Some(self.register(self.limited_network(peer), place))
    }

    /// The network whose share limits a peer; `None` for a trusted proxy.
    fn limited_network(&self, peer: IpAddr) -> Option<IpNet> {
        let is_trusted = self.without_share.iter().any(|networks| networks.contains(&peer.to_canonical()));
        (!is_trusted).then(|| network(peer))
    }

    fn holds_its_share(&self, network: IpNet) -> bool {
        lock(&self.open).by_network.get(&network).is_some_and(|&open| open >= self.per_network)
    }

    /// Has the connection that was idle longest closed, of one network or of all; `false` if none is idle.
    fn evict_longest_idle(&self, of: Option<IpNet>) -> bool {
        let open = lock(&self.open);
        let candidates = open.by_id.values().filter(|entry| of.is_none() || entry.network == of);
        let idle = candidates.filter_map(|entry| Some((entry.activity.idle_since()?, &entry.evict)));
        let longest = idle.min_by_key(|(since, _)| *since);
        longest.inspect(|(_, evict)| evict.notify_one()).is_some()
    }

    fn register(&self, network: Option<IpNet>, place: OwnedSemaphorePermit) -> Admission {
        let (activity, evict) = (Arc::<Activity>::default(), Arc::<Notify>::default());
        let mut open = lock(&self.open);
        open.next_id += 1;
        let id = open.next_id;
        open.by_id.insert(id, Entry { network, activity: Arc::clone(&activity), evict: Arc::clone(&evict) });
        if let Some(network) = network {
            *open.by_network.entry(network).or_default() += 1;
        }
        drop(open);
        Admission { id, activity, evict, open: Arc::clone(&self.open), _place: place }
    }
}

/// A connection's place. It is given back when this is dropped.
#[derive(Debug)]
pub(super) struct Admission {
    id: u64,
    activity: Arc<Activity>,
    evict: Arc<Notify>,
    open: Arc<Mutex<Open>>,
    _place: OwnedSemaphorePermit,
}

impl Admission {
    pub(super) fn activity(&self) -> &Arc<Activity> {
        &self.activity
    }

    /// Notified when the connection is to be closed, should it be idle.
    pub(super) fn evict(&self) -> &Notify {
        &self.evict
    }
}

impl Drop for Admission {
    fn drop(&mut self) {
        let mut open = lock(&self.open);
        let Some(Entry { network: Some(network), .. }) = open.by_id.remove(&self.id) else { return };
        if let Some(count) = open.by_network.get_mut(&network) {
            *count -= 1;
            if *count == 0 {
                open.by_network.remove(&network);
            }
        }
    }
}

fn lock(open: &Mutex<Open>) -> MutexGuard<'_, Open> {
    open.lock().unwrap_or_else(PoisonError::into_inner)
}
