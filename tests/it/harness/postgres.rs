//! A real PostgreSQL: Debian's, on a free port, in a temporary folder, for this run alone.

use std::net::TcpListener;
use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{OnceLock, mpsc};
use std::time::Duration;

use sqlx::{AssertSqlSafe, Connection, PgConnection};

/// A cluster of its own. Stopped when dropped, and in any case when the test process ends.
pub struct Server {
    folder: tempfile::TempDir,
    port: u16,
    user: Option<(u32, u32)>,
    child: std::sync::Mutex<Option<Child>>,
    databases: AtomicU32,
    settings: &'static [&'static str],
}

impl Server {
    /// The one that stories share; started by whoever comes first.
    pub fn shared() -> &'static Self {
        static SHARED: OnceLock<Server> = OnceLock::new();
        SHARED.get_or_init(Self::start)
    }

    pub fn start() -> Self {
        Self::start_with(&[])
    }

    /// With settings of its own, such as `fsync=off`.
    pub fn start_with(settings: &'static [&'static str]) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        // initdb and postgres refuse to run as root.
        let user = rustix::process::geteuid().is_root().then(|| ids_of("postgres"));
        if let Some((uid, gid)) = user {
            chown(folder.path(), Some(uid), Some(gid)).expect("the folder can be given away");
        }
        let server = Self {
            port: free_port(),
            folder,
            user,
            child: std::sync::Mutex::default(),
            databases: AtomicU32::new(0),
            settings,
        };
        let made = server
            .command("initdb")
            .args(["-A", "trust", "-U", "keyhouse", "--no-sync", "-E", "UTF8", "--locale=C.UTF-8"])
            .arg(server.data())
            .output()
            .expect("initdb runs");
        assert!(made.status.success(), "initdb: {}", String::from_utf8_lossy(&made.stderr));
        server.resume();
        server
    }

    /// Starts the server, again after [`Server::kill`].
    pub fn resume(&self) {
        let mut command = self.command("postgres");
        command.arg("-D").arg(self.data()).args(["-p", &self.port.to_string(), "-k"]).arg(self.folder.path());
        // Durable on purpose: what is asserted at start-up should hold here too.
        command.args(["-c", "listen_addresses=127.0.0.1", "-c", "max_connections=400", "-c", "shared_buffers=64MB"]);
        for setting in self.settings {
            command.args(["-c", setting]);
        }
        command.stdout(Stdio::null()).stderr(Stdio::null());
        *self.child.lock().expect("no test panics here") = Some(spawn_tied(command));
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

    /// Ends it at once, as a crash would.
    pub fn kill(&self) {
        // A frozen server would not hear.
        if self.child.lock().expect("no test panics here").is_some() {
            self.thaw();
        }
        if let Some(mut child) = self.child.lock().expect("no test panics here").take() {
            // SIGQUIT is PostgreSQL's immediate shutdown: no goodbye to anybody, recovery at the next start.
            let pid = rustix::process::Pid::from_child(&child);
            rustix::process::kill_process(pid, rustix::process::Signal::QUIT).expect("the server runs");
            child.wait().expect("the server ends");
        }
    }

    /// Stops it in its tracks: connections stay, answers do not come.
    pub fn freeze(&self) {
        self.signal_all("STOP");
    }

    pub fn thaw(&self) {
        self.signal_all("CONT");
    }

    /// To the server and each of its workers, which are its children.
    fn signal_all(&self, signal: &str) {
        let pid = self.child.lock().expect("no test panics here").as_ref().expect("the server runs").id();
        let script = format!("kill -{signal} {pid}; pkill -{signal} -P {pid}; true");
        let sent = Command::new("sh").args(["-c", &script]).status().expect("sh runs");
        assert!(sent.success());
    }

    pub fn url(&self, database: &str) -> String {
        format!("postgres://keyhouse@127.0.0.1:{}/{database}", self.port)
    }

    /// The URL of a new, empty database.
    pub async fn new_database(&self) -> String {
        let name = format!("house_{}", self.databases.fetch_add(1, Ordering::Relaxed));
        let mut connection = PgConnection::connect(&self.url("postgres")).await.expect("PostgreSQL answers");
        sqlx::query(AssertSqlSafe(format!("CREATE DATABASE {name}")))
            .execute(&mut connection)
            .await
            .expect("a database");
        self.url(&name)
    }

    /// The whole database as SQL text.
    pub fn dump(&self, url: &str) -> Vec<u8> {
        let dump = self.command("pg_dump").arg(url).output().expect("pg_dump runs");
        assert!(dump.status.success(), "pg_dump: {}", String::from_utf8_lossy(&dump.stderr));
        dump.stdout
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

/// Starts a child that ends with this process, however this process ends.
///
/// The kernel ties it to the *thread* that forks, so that is one that stays to the end.
fn spawn_tied(mut command: Command) -> Child {
    type Order = (Command, mpsc::Sender<Child>);
    static FORKER: OnceLock<mpsc::Sender<Order>> = OnceLock::new();
    let forker = FORKER.get_or_init(|| {
        let (orders, taken) = mpsc::channel::<Order>();
        std::thread::spawn(move || {
            for (mut command, reply) in taken {
                let child = command.spawn().expect("the server starts");
                reply.send(child).expect("whoever asked waits");
            }
        });
        orders
    });
    // SAFETY: a single system call, allowed between fork and exec.
    unsafe {
        command.pre_exec(|| {
            rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::QUIT)).map_err(Into::into)
        });
    }
    let (reply, child) = mpsc::channel();
    forker.send((command, reply)).expect("the forking thread stays");
    child.recv().expect("the forking thread answers")
}

/// Debian keeps the server's programs off the PATH.
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

fn ids_of(user: &str) -> (u32, u32) {
    let passwd = std::fs::read_to_string("/etc/passwd").expect("/etc/passwd");
    let line = passwd.lines().find(|line| line.starts_with(&format!("{user}:"))).expect("the user postgres");
    let mut fields = line.split(':').skip(2).map(|id| id.parse().expect("a number"));
    (fields.next().expect("a uid"), fields.next().expect("a gid"))
}

pub fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a free port").port()
}
