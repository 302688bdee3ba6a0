//! A TCP proxy that can cut, hold and delay connections, to test network faults.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, Weak, mpsc};
use std::time::Duration;

use keyhouse::app::infra::clock::Clock;

/// Listens on a port and forwards to another address. Closed when dropped.
pub struct Proxy {
    address: SocketAddr,
    shared: Arc<Shared>,
}

struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

struct State {
    mode: Mode,
    target: SocketAddr,
    /// Incremented when all connections are closed; those of an earlier era end.
    era: u64,
    sockets: Vec<Weak<TcpStream>>,
    is_dropped: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    Pass,
    Cut,
    BlackHole,
    Delay(Duration),
}

impl Proxy {
    pub fn to(target: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("a bound socket has an address");
        let state = State { mode: Mode::Pass, target, era: 0, sockets: Vec::new(), is_dropped: false };
        let shared = Arc::new(Shared { state: Mutex::new(state), changed: Condvar::new() });
        let accepting = Arc::clone(&shared);
        std::thread::spawn(move || accepting.accept(&listener));
        Self { address, shared }
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The same URL, with this proxy in place of its host and port.
    pub fn lead(&self, url: &str) -> String {
        let (scheme, rest) = url.split_once("://").expect("a URL has a scheme");
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        let user = authority.rsplit_once('@').map_or_else(String::new, |(user, _)| format!("{user}@"));
        format!("{scheme}://{user}{}/{path}", self.address)
    }

    /// Forwards everything, including what was held.
    pub fn pass(&self) {
        self.turn(Mode::Pass);
    }

    /// Closes every connection, and new ones at once.
    pub fn cut(&self) {
        self.turn(Mode::Cut);
        self.shared.close_all();
    }

    /// Keeps connections open and accepts new ones, but forwards neither bytes nor the end of a connection.
    pub fn black_hole(&self) {
        self.turn(Mode::BlackHole);
    }

    /// Delays every byte, in both directions.
    pub fn delay(&self, by: Duration) {
        self.turn(Mode::Delay(by));
    }

    /// New connections lead elsewhere; those that are there are closed.
    pub fn lead_to(&self, target: SocketAddr) {
        self.shared.lock().target = target;
        self.shared.close_all();
    }

    fn turn(&self, mode: Mode) {
        self.shared.lock().mode = mode;
        self.shared.changed.notify_all();
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.lock().is_dropped = true;
        self.cut();
        // A connection wakes the accepting thread, which then ends.
        let _wake = TcpStream::connect(self.address);
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no thread panics while it holds the state")
    }

    fn close_all(&self) {
        let mut state = self.lock();
        state.era += 1;
        for socket in state.sockets.drain(..).filter_map(|socket| socket.upgrade()) {
            let _closed_already = socket.shutdown(Shutdown::Both);
        }
        self.changed.notify_all();
    }

    fn accept(self: Arc<Self>, listener: &TcpListener) {
        for client in listener.incoming().flatten() {
            let era = {
                let state = self.lock();
                if state.is_dropped {
                    return;
                }
                state.era
            };
            let shared = Arc::clone(&self);
            std::thread::spawn(move || shared.connect(client, era));
        }
    }

    /// Connects to the target only when bytes may pass: in a black hole the connection would not be established.
    fn connect(self: Arc<Self>, client: TcpStream, era: u64) {
        let Some(client) = self.keep(client, era) else { return };
        if !self.wait_to_pass(era, Clock::System.monotonic()) {
            return;
        }
        let target = self.lock().target;
        let server = TcpStream::connect(target).ok().and_then(|server| self.keep(server, era));
        let Some(server) = server else { return };
        let back = Arc::clone(&self);
        let (to_server, to_client) = (Arc::clone(&server), Arc::clone(&client));
        std::thread::spawn(move || back.pump(&server, &to_client, era));
        self.pump(&client, &to_server, era);
    }

    /// Registers a socket, to close it when its era ends; `None` if it has ended.
    fn keep(&self, socket: TcpStream, era: u64) -> Option<Arc<TcpStream>> {
        let _best_effort = socket.set_nodelay(true);
        let socket = Arc::new(socket);
        let mut state = self.lock();
        state.sockets.retain(|socket| socket.strong_count() > 0);
        state.sockets.push(Arc::downgrade(&socket));
        (state.era == era && state.mode != Mode::Cut).then_some(socket)
    }

    /// Forwards one direction until it ends. Each chunk carries its arrival time, so that delays do not add up.
    fn pump(self: &Arc<Self>, from: &Arc<TcpStream>, to: &TcpStream, era: u64) {
        let (arrived, arrivals) = mpsc::channel();
        let reading = Arc::clone(from);
        std::thread::spawn(move || {
            let mut buffer = [0; 16 * 1024];
            while let Ok(length @ 1..) = (&*reading).read(&mut buffer) {
                if arrived.send((Clock::System.monotonic(), buffer[..length].to_vec())).is_err() {
                    return;
                }
            }
        });
        for (at, bytes) in arrivals {
            if !self.wait_to_pass(era, at) || (&*to).write_all(&bytes).is_err() {
                return;
            }
        }
        if self.wait_to_pass(era, Clock::System.monotonic()) {
            let _closed_already = to.shutdown(Shutdown::Write);
        }
    }

    /// Waits until bytes that arrived at that time may be forwarded; `false` if their connection has ended.
    fn wait_to_pass(&self, era: u64, arrived: Duration) -> bool {
        let mut state = self.lock();
        while state.era == era {
            let passed = Clock::System.monotonic().saturating_sub(arrived);
            state = match state.mode {
                Mode::Pass => return true,
                Mode::Cut => return false,
                Mode::Delay(by) if passed >= by => return true,
                Mode::Delay(by) => {
                    let waited = self.changed.wait_timeout(state, by - passed);
                    waited.expect("no thread panics while it holds the state").0
                }
                Mode::BlackHole => self.changed.wait(state).expect("no thread panics while it holds the state"),
            };
        }
        false
    }
}
