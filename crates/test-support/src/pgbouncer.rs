//! A real PgBouncer: Debian's, as installed but for its addresses, in front of a PostgreSQL server, for one test.

use std::net::SocketAddr;
use std::process::{Child, Command};

use rustix::process::Signal;

use crate::postgres::Server;
use crate::{TestDatabase, child_process, wait};

/// How PgBouncer assigns server connections to clients.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PoolMode {
    Session,
    Transaction,
}

/// A pooler. Stopped when dropped, and in any case when the test process ends.
pub struct PgBouncer {
    address: SocketAddr,
    child: Child,
    _folder: tempfile::TempDir,
}

impl PgBouncer {
    pub fn in_front_of(server: &Server, mode: PoolMode) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let address = child_process::free_address();
        let mode = match mode {
            PoolMode::Session => "session",
            PoolMode::Transaction => "transaction",
        };
        let config = format!(
            "[databases]\n* = host=127.0.0.1 port={} user=keyhouse\n\
             [pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {}\nunix_socket_dir =\nauth_type = any\npool_mode = {mode}\n\
             default_pool_size = 40\n",
            server.address().port(),
            address.port()
        );
        let file = folder.path().join("pgbouncer.ini");
        std::fs::write(&file, config).expect("the configuration can be written");
        let user = rustix::process::geteuid().is_root().then(|| crate::postgres::ids_of("postgres"));
        if let Some((uid, gid)) = user {
            for path in [folder.path(), &file] {
                std::os::unix::fs::chown(path, Some(uid), Some(gid)).expect("the owner can be changed");
            }
        }
        let mut command = Command::new("/usr/sbin/pgbouncer");
        command.arg("--quiet").arg(&file);
        let child = child_process::spawn(&command, user, Signal::KILL);
        wait::eventually_blocking("PgBouncer", || std::net::TcpStream::connect(address).ok());
        Self { address, child, _folder: folder }
    }

    /// The database with this URL, through the pooler.
    pub fn lead(&self, url: &str) -> TestDatabase {
        let (_, name) = url.rsplit_once('/').expect("a URL ends with the database's name");
        TestDatabase::Postgres { url: format!("postgres://keyhouse@{}/{name}", self.address) }
    }
}

impl Drop for PgBouncer {
    fn drop(&mut self) {
        // The test process ends it in any case.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
