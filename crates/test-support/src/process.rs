//! The real program in a process of its own, and bytes on a real socket.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::time::Duration;

use keyhouse::app::infra::clock::Clock;
use keyhouse::app::key_cache::LEASE;
use rustix::process::Signal;
use serde_json::Value;

use crate::metrics::Metrics;
use crate::{TestDatabase, child_process};

/// The binary beside the running test; cargo builds it before the tests of its package.
fn program() -> PathBuf {
    let test = std::env::current_exe().expect("the test's own path");
    test.ancestors().nth(2).expect("target/<profile>").join("keyhouse")
}

/// `keyhouse` with these arguments, on this database, in an environment without settings.
pub fn keyhouse(place: &TestDatabase, words: &[&str]) -> Command {
    let mut command = Command::new(program());
    command.env_clear().env("PATH", "/usr/bin:/bin").args(words).args(place.flags());
    command
}

/// Runs `keyhouse`, which must succeed; returns the JSON that it printed.
pub fn run_json(place: &TestDatabase, words: &[&str]) -> Value {
    let output = keyhouse(place, words).arg("--json").output().expect("keyhouse runs");
    assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("JSON on stdout")
}

/// Runs `keyhouse` to its end.
pub fn run(place: &TestDatabase, words: &[&str]) -> Output {
    keyhouse(place, words).output().expect("keyhouse runs")
}

/// A serving process; killed when dropped.
pub struct ServerProcess {
    child: Child,
    pub address: SocketAddr,
    /// The JSON that it printed when it was ready.
    pub said: Value,
    logs: PathBuf,
    _folder: tempfile::TempDir,
}

impl ServerProcess {
    /// `command` is `serve` or `demo`. Logs go to a file, at the level that `KEYHOUSE_LOG` would name.
    pub fn start(place: &TestDatabase, command: &str, level: &str) -> Self {
        Self::start_with(place, command, level, &[])
    }

    pub fn start_with(place: &TestDatabase, command: &str, level: &str, settings: &[(&str, &str)]) -> Self {
        Self::start_at(SocketAddr::from(([127, 0, 0, 1], 0)), place, command, level, settings)
    }

    /// On a given port, as behind a load balancer.
    pub fn start_at(
        listen: SocketAddr,
        place: &TestDatabase,
        command: &str,
        level: &str,
        settings: &[(&str, &str)],
    ) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let logs = folder.path().join("log");
        let log = std::fs::File::create(&logs).expect("a log file");
        let mut child = keyhouse(place, &[command, "--listen", &listen.to_string(), "--json"])
            .env("KEYHOUSE_LOG", level)
            .env("KEYHOUSE_SHUTDOWN_GRACE_SECONDS", "0")
            .envs(settings.iter().copied())
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .expect("keyhouse starts");
        let mut line = String::new();
        BufReader::new(child.stdout.take().expect("a pipe")).read_line(&mut line).expect("a line");
        let said: Value = serde_json::from_str(&line)
            .unwrap_or_else(|_| panic!("not ready: {}", std::fs::read_to_string(&logs).expect("a log")));
        let address = address_in(&said["url"]).expect("a URL");
        Self { child, address, said, logs, _folder: folder }
    }

    pub fn logs(&self) -> Vec<u8> {
        std::fs::read(&self.logs).expect("a log")
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Its resident memory in KiB.
    pub fn resident_kib(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid())).expect("the process runs");
        let line = status.lines().find(|line| line.starts_with("VmRSS")).expect("VmRSS");
        line.split_whitespace().nth(1).and_then(|number| number.parse().ok()).expect("a number")
    }

    /// The number of established connections to its port.
    pub fn connections(&self) -> usize {
        let port = format!(":{:04X}", self.address.port());
        let table = std::fs::read_to_string("/proc/net/tcp").expect("/proc");
        let established = |line: &&str| {
            let mut columns = line.split_whitespace().skip(1);
            columns.next().is_some_and(|local| local.ends_with(&port)) && columns.nth(1) == Some("01")
        };
        table.lines().filter(established).count()
    }

    /// Its metrics; empty without a metrics listener.
    pub fn metrics(&self) -> Metrics {
        address_in(&self.said["opsUrl"]).map(Metrics::read).unwrap_or_default()
    }

    /// Suspends it: connections stay open, responses do not come.
    pub fn freeze(&self) {
        child_process::signal(&self.child, Signal::STOP);
    }

    pub fn thaw(&self) {
        child_process::signal(&self.child, Signal::CONT);
    }

    pub fn kill(&mut self) {
        self.child.kill().expect("it runs");
        self.child.wait().expect("it ends");
    }

    pub fn terminate(&mut self) -> ExitStatus {
        child_process::signal(&self.child, Signal::TERM);
        self.child.wait().expect("it ends")
    }

    /// Waits until it exits.
    pub fn wait(&mut self) -> ExitStatus {
        self.child.wait().expect("it ends")
    }

    /// Sends bytes and reads until the server closes the connection.
    pub fn send(&self, bytes: &[u8]) -> String {
        let mut socket = self.connect();
        // The server may respond and close before it has read everything.
        let _sent = socket.write_all(bytes);
        let mut answer = Vec::new();
        let _read = socket.read_to_end(&mut answer);
        String::from_utf8_lossy(&answer).into_owned()
    }

    pub fn connect(&self) -> TcpStream {
        let socket = TcpStream::connect(self.address).expect("it listens");
        socket.set_read_timeout(Some(Duration::from_secs(20))).expect("a time-out");
        socket
    }

    /// The status of a GET with a token.
    pub fn get(&self, path: &str, token: &str) -> u16 {
        let request = format!(
            "GET {path} HTTP/1.1\r\nHost: keyhouse.test\r\nAuthorization: Bearer {token}\r\nConnection: close\r\n\r\n"
        );
        status(&self.send(request.as_bytes()))
    }

    /// Whether a token that another process revoked is refused in time: by every call that begins later than the lease of
    /// 3 s, however long a busy machine takes for the call.
    pub fn refuses_in_time(&self, path: &str, token: &str) -> bool {
        let revoked = Clock::System.monotonic();
        loop {
            let began = Clock::System.monotonic();
            if self.get(path, token) == 401 {
                return true;
            }
            if began - revoked > LEASE {
                return false;
            }
        }
    }
}

impl Drop for ServerProcess {
    fn drop(&mut self) {
        let _already_gone = self.child.kill();
        let _ended = self.child.wait();
    }
}

fn address_in(url: &Value) -> Option<SocketAddr> {
    url.as_str()?.split_once("://")?.1.trim_end_matches('/').parse().ok()
}

pub fn status(answer: &str) -> u16 {
    answer.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or_else(|| panic!("no answer: {answer:?}"))
}
