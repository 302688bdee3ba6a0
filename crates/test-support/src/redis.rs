//! A real Redis: Debian's, on a free port, for this run alone; it writes nothing to disk.

use std::net::SocketAddr;
use std::process::{Child, Command};
use std::sync::{Mutex, MutexGuard};

use rustix::process::Signal;

use crate::child_process;

/// A server of its own. Stopped when dropped, and in any case when the test process ends.
pub struct Redis {
    folder: tempfile::TempDir,
    address: SocketAddr,
    child: Mutex<Option<Child>>,
}

impl Redis {
    pub fn start() -> Self {
        let redis = Self {
            folder: tempfile::tempdir().expect("a temporary folder"),
            address: child_process::free_address(),
            child: Mutex::default(),
        };
        redis.resume();
        redis
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    pub fn url(&self) -> String {
        format!("redis://{}/", self.address)
    }

    /// Stops it in its tracks: connections stay, answers do not come.
    pub fn freeze(&self) {
        child_process::signal(self.child().as_ref().expect("it runs"), Signal::STOP);
    }

    pub fn thaw(&self) {
        child_process::signal(self.child().as_ref().expect("it runs"), Signal::CONT);
    }

    /// Ends it at once, and with it all that it knew.
    pub fn kill(&self) {
        if let Some(mut child) = self.child().take() {
            child.kill().expect("it runs");
            child.wait().expect("it ends");
        }
    }

    /// Starts it, again after [`Redis::kill`].
    pub fn resume(&self) {
        let mut command = Command::new("redis-server");
        command.args(["--bind", "127.0.0.1", "--port", &self.address.port().to_string(), "--save", ""]);
        command.args(["--appendonly", "no", "--dir"]).arg(self.folder.path());
        *self.child() = Some(child_process::spawn(&command, None, Signal::KILL));
        child_process::wait_for(self.address);
    }

    /// It forgets everything.
    pub fn flush(&self) {
        self.ask(&["FLUSHALL"]);
    }

    pub fn keys(&self) -> Vec<String> {
        self.ask(&["KEYS", "*"]).lines().map(str::to_owned).collect()
    }

    /// Those that would stay for ever.
    pub fn keys_without_expiry(&self) -> Vec<String> {
        self.keys().into_iter().filter(|key| self.ask(&["TTL", key]) == "-1").collect()
    }

    /// What it answers to a command of `redis-cli`.
    pub fn ask(&self, words: &[&str]) -> String {
        let port = self.address.port().to_string();
        let output = Command::new("redis-cli").args(["-p", &port]).args(words).output().expect("redis-cli runs");
        assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).trim_end().to_owned()
    }

    fn child(&self) -> MutexGuard<'_, Option<Child>> {
        self.child.lock().expect("no test panics here")
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        self.kill();
    }
}
