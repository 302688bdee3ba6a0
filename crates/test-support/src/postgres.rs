//! A real PostgreSQL: Debian's, on a free port, in a temporary folder.

use std::net::SocketAddr;
use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock};
use std::time::Duration;

use rustix::process::Signal;
use sqlx::{AssertSqlSafe, Connection, PgConnection};

use crate::child_process;

/// A server with its own data folder. Stopped when dropped, and in any case when the test process ends.
pub struct Server {
    folder: tempfile::TempDir,
    port: u16,
    user: Option<(u32, u32)>,
    child: Mutex<Option<Child>>,
    databases: AtomicU32,
    settings: &'static [&'static str],
}

/// The environment variable with the port of the server that `test-services` started. It does not begin with `KEYHOUSE_`,
/// because the program refuses unknown variables with that prefix.
pub const SHARED_PORT: &str = "TEST_SERVICES_POSTGRES_PORT";

impl Server {
    /// The server that tests share: the one that `test-services` started for the whole run, or else one of this process.
    pub fn shared() -> &'static Self {
        static SHARED: OnceLock<Server> = OnceLock::new();
        SHARED.get_or_init(|| Self::of_test_services().unwrap_or_else(Self::start))
    }

    #[expect(clippy::disallowed_methods, reason = "set by the test runner, not by an operator")]
    fn of_test_services() -> Option<Self> {
        let port = std::env::var(SHARED_PORT).ok()?.parse().expect("a port");
        let mut server = Self::new(&[]);
        server.port = port;
        Some(server)
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    pub fn start() -> Self {
        Self::start_with(&[])
    }

    /// With settings such as `fsync=off`.
    pub fn start_with(settings: &'static [&'static str]) -> Self {
        let server = Self::new(settings);
        let flags = ["-A", "trust", "-U", "keyhouse", "--no-sync", "-E", "UTF8", "--locale=C.UTF-8"];
        server.run("initdb", &flags, &[&server.data()]);
        server.resume();
        server
    }

    /// Takes TLS connections too, with this certificate and key in PEM.
    pub fn start_with_tls(certificate: &str, key: &str) -> Self {
        let server = Self::new(&["ssl=on"]);
        let flags = ["-A", "trust", "-U", "keyhouse", "--no-sync", "-E", "UTF8", "--locale=C.UTF-8"];
        server.run("initdb", &flags, &[&server.data()]);
        for (name, text) in [("server.crt", certificate), ("server.key", key)] {
            let file = server.data().join(name);
            std::fs::write(&file, text).expect("the file can be written");
            std::fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(0o600))
                .expect("and made private");
            if let Some((uid, gid)) = server.user {
                chown(&file, Some(uid), Some(gid)).expect("the file's owner can be changed");
            }
        }
        server.resume();
        server
    }

    /// A synchronous standby: from now on the primary commits only what the standby has received.
    pub fn standby_of(primary: &Self) -> Self {
        let standby = Self::new(primary.settings);
        let primary_at = format!("host=127.0.0.1 port={} user=keyhouse", primary.port);
        standby.run("pg_basebackup", &["-d", &primary_at, "-R", "--checkpoint=fast", "-D"], &[&standby.data()]);
        standby.resume();
        primary.sql("ALTER SYSTEM SET synchronous_standby_names = '*'");
        primary.sql("SELECT pg_reload_conf()");
        let synchronous = "SELECT count(*) FROM pg_stat_replication WHERE sync_state = 'sync'";
        for _ in 0..1000 {
            if primary.sql(synchronous) == "1" {
                return standby;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        panic!("the standby does not stream from the primary");
    }

    /// Makes a standby the primary; returns when it takes writes.
    pub fn promote(&self) {
        assert_eq!(self.sql("SELECT pg_promote()"), "t");
    }

    fn new(settings: &'static [&'static str]) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        // initdb and postgres refuse to run as root.
        let user = rustix::process::geteuid().is_root().then(|| ids_of("postgres"));
        if let Some((uid, gid)) = user {
            chown(folder.path(), Some(uid), Some(gid)).expect("the folder's owner can be changed");
        }
        let (port, child, databases) = (child_process::free_port(), Mutex::default(), AtomicU32::new(0));
        Self { folder, port, user, child, databases, settings }
    }

    /// Starts the server, again after [`Server::kill`].
    pub fn resume(&self) {
        let mut command = self.command("postgres");
        command.arg("-D").arg(self.data()).args(["-p", &self.port.to_string(), "-k"]).arg(self.folder.path());
        // Durable, because the application checks these settings when it starts.
        command.args(["-c", "listen_addresses=127.0.0.1", "-c", "max_connections=400", "-c", "shared_buffers=64MB"]);
        // bench/growth measures from the commit of a revocation.
        command.args(["-c", "track_commit_timestamp=on"]);
        for setting in self.settings {
            command.args(["-c", setting]);
        }
        // SIGQUIT is PostgreSQL's immediate shutdown: connections break, and the next start recovers.
        *self.child() = Some(child_process::spawn(&command, self.user, Signal::QUIT));
        for _ in 0..1000 {
            let ready =
                self.command("pg_isready").args(["-q", "-h", "127.0.0.1", "-p", &self.port.to_string()]).status();
            if ready.is_ok_and(|status| status.success()) {
                return;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        panic!("PostgreSQL did not start");
    }

    /// Ends it immediately, like a crash.
    pub fn kill(&self) {
        // A suspended process does not handle the signal.
        if self.child().is_some() {
            self.thaw();
        }
        if let Some(mut child) = self.child().take() {
            child_process::signal(&child, Signal::QUIT);
            child.wait().expect("the server ends");
        }
    }

    /// Suspends it: connections stay open, responses do not come.
    pub fn freeze(&self) {
        self.signal_all("STOP");
    }

    pub fn thaw(&self) {
        self.signal_all("CONT");
    }

    /// Sends a signal to the server and its worker processes.
    fn signal_all(&self, signal: &str) {
        let pid = self.child().as_ref().expect("the server runs").id();
        let script = format!("kill -{signal} {pid}; pkill -{signal} -P {pid}; true");
        let sent = Command::new("sh").args(["-c", &script]).status().expect("sh runs");
        assert!(sent.success());
    }

    fn child(&self) -> MutexGuard<'_, Option<Child>> {
        self.child.lock().expect("no test panics here")
    }

    pub fn address(&self) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], self.port))
    }

    pub fn url(&self, database: &str) -> String {
        format!("postgres://keyhouse@127.0.0.1:{}/{database}", self.port)
    }

    /// The URL of a new, empty database.
    pub async fn new_database(&self) -> String {
        let name = format!("test_{}_{}", std::process::id(), self.databases.fetch_add(1, Ordering::Relaxed));
        let mut connection = PgConnection::connect(&self.url("postgres")).await.expect("PostgreSQL answers");
        sqlx::query(AssertSqlSafe(format!("CREATE DATABASE {name}")))
            .execute(&mut connection)
            .await
            .expect("a database");
        self.url(&name)
    }

    /// The whole database as SQL text.
    pub fn dump(&self, url: &str) -> Vec<u8> {
        self.run("pg_dump", &[url], &[])
    }

    /// Restores a database from a dump; open connections to it are closed.
    pub fn restore(&self, url: &str, dump: &[u8]) {
        let name = url.rsplit('/').next().expect("a URL ends with the database's name");
        let file = self.folder.path().join("restore.sql");
        std::fs::write(&file, dump).expect("the dump can be written");
        self.sql(&format!("DROP DATABASE {name} WITH (FORCE)"));
        self.sql(&format!("CREATE DATABASE {name}"));
        // In one transaction, because nodes that connect meanwhile must not write rows between its statements.
        self.run("psql", &["-Xq", "-1", "-v", "ON_ERROR_STOP=1", "-d", url, "-f"], &[&file]);
    }

    /// Runs a statement as the superuser; returns the rows as unaligned text.
    pub fn sql(&self, statement: &str) -> String {
        self.sql_in(&self.url("postgres"), statement)
    }

    /// As [`Server::sql`], in the database with this URL.
    pub fn sql_in(&self, url: &str, statement: &str) -> String {
        let answer = self.run("psql", &["-XqAt", "-v", "ON_ERROR_STOP=1", "-d", url, "-c", statement], &[]);
        String::from_utf8_lossy(&answer).trim_end().to_owned()
    }

    /// Runs one of PostgreSQL's programs, which must succeed; returns its output.
    fn run(&self, name: &str, words: &[&str], paths: &[&Path]) -> Vec<u8> {
        let output = self.command(name).args(words).args(paths).output().expect("PostgreSQL's programs run");
        assert!(output.status.success(), "{name}: {}", String::from_utf8_lossy(&output.stderr));
        output.stdout
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    fn command(&self, name: &str) -> Command {
        let mut command = Command::new(bin().join(name));
        command.current_dir("/").env("LC_ALL", "C.UTF-8");
        if let Some((uid, gid)) = self.user {
            command.uid(uid).gid(gid);
        }
        command
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}

/// The folder of the server's programs, which Debian keeps off the PATH; the newest version.
fn bin() -> &'static Path {
    static BIN: OnceLock<PathBuf> = OnceLock::new();
    BIN.get_or_init(|| {
        let mut found: Vec<PathBuf> = std::fs::read_dir("/usr/lib/postgresql")
            .into_iter()
            .flatten()
            .filter_map(|entry| Some(entry.ok()?.path().join("bin")))
            .filter(|bin| bin.join("postgres").exists())
            .collect();
        found.sort();
        found.pop().expect("PostgreSQL is installed (scripts/test installs it)")
    })
}

pub(crate) fn ids_of(user: &str) -> (u32, u32) {
    let passwd = std::fs::read_to_string("/etc/passwd").expect("/etc/passwd");
    let line = passwd.lines().find(|line| line.starts_with(&format!("{user}:"))).expect("the user postgres");
    let mut fields = line.split(':').skip(2).map(|id| id.parse().expect("a number"));
    (fields.next().expect("a uid"), fields.next().expect("a gid"))
}
