//! A real Redis: Debian's, on a free port, for one test. It writes nothing to disk.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command};
use std::sync::{Mutex, MutexGuard};

use rustix::process::Signal;

use crate::child_process;

/// A server for one test. Stopped when dropped, and in any case when the test process ends.
pub struct Redis {
    folder: tempfile::TempDir,
    address: SocketAddr,
    /// The port for TLS connections, if it has one.
    tls: Option<SocketAddr>,
    child: Mutex<Option<Child>>,
}

impl Redis {
    pub fn start() -> Self {
        let redis = Self {
            folder: tempfile::tempdir().expect("a temporary folder"),
            address: child_process::free_address(),
            tls: None,
            child: Mutex::default(),
        };
        redis.resume();
        redis
    }

    /// Takes TLS connections on a port of its own, with a certificate for 127.0.0.1 that [`Redis::authority`] signed.
    pub fn start_with_tls() -> Self {
        let redis = Self {
            folder: tempfile::tempdir().expect("a temporary folder"),
            address: child_process::free_address(),
            tls: Some(child_process::free_address()),
            child: Mutex::default(),
        };
        redis.create_certificates();
        redis.resume();
        redis
    }

    /// The certificate of the authority, in PEM.
    pub fn authority(&self) -> PathBuf {
        self.folder.path().join("authority.pem")
    }

    pub fn tls_url(&self) -> Option<String> {
        self.tls.map(|address| format!("rediss://{address}/"))
    }

    fn create_certificates(&self) {
        let script = "
            openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj '/CN=Test authority' \
                -addext 'basicConstraints=critical,CA:TRUE' -keyout authority.key -out authority.pem
            openssl req -newkey rsa:2048 -nodes -subj '/CN=Redis' -keyout redis.key -out redis.csr
            printf 'subjectAltName=IP:127.0.0.1' > extensions
            openssl x509 -req -in redis.csr -CA authority.pem -CAkey authority.key -CAcreateserial -days 2 \
                -extfile extensions -out redis.pem";
        let output =
            Command::new("sh").args(["-ec", script]).current_dir(self.folder.path()).output().expect("sh starts");
        assert!(output.status.success(), "openssl: {}", String::from_utf8_lossy(&output.stderr));
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    pub fn url(&self) -> String {
        format!("redis://{}/", self.address)
    }

    /// Suspends it: connections stay open, responses do not come.
    pub fn freeze(&self) {
        child_process::signal(self.child().as_ref().expect("it runs"), Signal::STOP);
    }

    pub fn thaw(&self) {
        child_process::signal(self.child().as_ref().expect("it runs"), Signal::CONT);
    }

    /// Kills it, with all its data.
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
        if let Some(address) = self.tls {
            let file = |name: &str| self.folder.path().join(name);
            command.args(["--tls-port", &address.port().to_string(), "--tls-auth-clients", "no"]);
            command.arg("--tls-cert-file").arg(file("redis.pem")).arg("--tls-key-file").arg(file("redis.key"));
            command.arg("--tls-ca-cert-file").arg(self.authority());
        }
        *self.child() = Some(child_process::spawn(&command, None, Signal::KILL));
        child_process::wait_for(self.address);
    }

    /// Deletes all keys.
    pub fn flush(&self) {
        self.ask(&["FLUSHALL"]);
    }

    pub fn keys(&self) -> Vec<String> {
        self.ask(&["KEYS", "*"]).lines().map(str::to_owned).collect()
    }

    /// The keys that never expire.
    pub fn keys_without_expiry(&self) -> Vec<String> {
        self.keys().into_iter().filter(|key| self.ask(&["TTL", key]) == "-1").collect()
    }

    /// Runs a command with `redis-cli` and returns what it prints.
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
