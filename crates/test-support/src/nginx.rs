//! An nginx of one process in front of a node.

use std::fmt::Write;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command};

use rustix::process::Signal;

use crate::child_process;

/// How nginx keeps its connections to the node.
#[derive(Debug, Clone, Copy)]
pub enum Upstream {
    /// A pool of idle HTTP/1.1 connections: `keepalive` in the upstream block.
    Pooled,
    /// A new HTTP/1.0 connection for each request: the default of nginx before 1.29.7, Debian 12's among them.
    PerRequest,
}

/// Stopped when dropped, and in any case when the test process ends.
pub struct Nginx {
    address: SocketAddr,
    child: Child,
    _folder: tempfile::TempDir,
}

impl Nginx {
    /// Starts `program` in front of `node`.
    pub fn start(program: &Path, node: SocketAddr, upstream: Upstream) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let address = child_process::free_address();
        let path = folder.path().join("nginx.conf");
        std::fs::write(&path, config(folder.path(), node, address, upstream)).expect("a configuration file");
        let mut command = Command::new(program);
        command.arg("-p").arg(folder.path()).arg("-c").arg(&path).args(["-e", "stderr"]);
        let child = child_process::spawn(&command, None, Signal::KILL);
        child_process::wait_for(address);
        Self { address, child, _folder: folder }
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

fn config(folder: &Path, node: SocketAddr, address: SocketAddr, upstream: Upstream) -> String {
    let mut text = String::from("daemon off;\nmaster_process off;\n");
    let folder = folder.display();
    writeln!(text, "pid {folder}/pid;\nevents {{}}\nhttp {{\n    access_log off;").expect("a String takes all writes");
    for kind in ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"] {
        writeln!(text, "    {kind}_temp_path {folder}/{kind};").expect("a String takes all writes");
    }
    let (pool, connection) = match upstream {
        Upstream::Pooled => ("keepalive 16;", "proxy_http_version 1.1; proxy_set_header Connection \"\";"),
        Upstream::PerRequest => ("", "proxy_http_version 1.0; proxy_set_header Connection close;"),
    };
    writeln!(
        text,
        "    upstream node {{ server {node}; {pool} }}\n    server {{\n        listen {address};\n        \
         location / {{ proxy_pass http://node; {connection} }}\n    }}\n}}"
    )
    .expect("a String takes all writes");
    text
}

impl Drop for Nginx {
    fn drop(&mut self) {
        self.child.kill().expect("it runs");
        self.child.wait().expect("it ends");
    }
}
