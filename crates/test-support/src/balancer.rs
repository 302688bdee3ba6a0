//! A real HAProxy: Debian's, in front of some nodes, configured as the guide recommends.

use std::fmt::Write;
use std::net::SocketAddr;
use std::process::{Child, Command};

use rustix::process::Signal;

use crate::child_process;

/// The configuration above the list of nodes. A node that is about to stop fails `/readyz` and serves for its grace period,
/// which must be longer than the balancer needs to notice: here two checks of 0.5 s.
pub const CONFIG: &str = "\
defaults
    mode http
    timeout connect 1s
    timeout client 30s
    timeout server 30s
    # Passes on the client's address; list the balancer's own address in trusted_proxies.
    option forwardfor

backend keyhouse
    balance roundrobin
    # If a node can't be reached or closes the connection without a response, try another. Only GET requests are repeated.
    retries 3
    option redispatch 1
    retry-on conn-failure empty-response
    http-request disable-l7-retry unless METH_GET
    option httpchk GET /readyz
    http-check expect status 200
    default-server check inter 500ms fall 2 rise 1
";

/// The address that the nodes see as its source.
pub const SOURCE: &str = "127.0.0.2";

/// Stopped when dropped, and in any case when the test process ends.
pub struct Balancer {
    address: SocketAddr,
    child: Child,
    _folder: tempfile::TempDir,
}

impl Balancer {
    pub fn in_front_of(nodes: &[SocketAddr]) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("haproxy.cfg");
        let address = child_process::free_address();
        std::fs::write(&path, config(nodes, address)).expect("a configuration file");
        let mut command = Command::new("/usr/sbin/haproxy");
        command.arg("-db").arg("-f").arg(&path);
        // On SIGQUIT HAProxy only prints its memory pools.
        let child = child_process::spawn(&command, None, Signal::KILL);
        child_process::wait_for(address);
        Self { address, child, _folder: folder }
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

fn config(nodes: &[SocketAddr], address: SocketAddr) -> String {
    let mut text = CONFIG.to_owned();
    for (nth, node) in nodes.iter().enumerate() {
        // Another source address than the clients', so that a test can distinguish them.
        writeln!(text, "    server node{nth} {node} source {SOURCE}").expect("a String takes all writes");
    }
    write!(text, "\nfrontend api\n    bind {address}\n    default_backend keyhouse\n")
        .expect("a String takes all writes");
    text
}

impl Drop for Balancer {
    fn drop(&mut self) {
        self.child.kill().expect("it runs");
        self.child.wait().expect("it ends");
    }
}
