//! A real HAProxy: Debian's, before some nodes, as an operator would set it up.

use std::fmt::Write;
use std::net::SocketAddr;
use std::process::{Child, Command};

use rustix::process::Signal;

use crate::child_process;

/// What stands before the list of nodes. A node that is about to stop says so by `/readyz` and goes on answering for its
/// grace, which must be longer than the balancer takes to notice: here 2 checks of half a second.
pub const CONFIG: &str = "\
defaults
    mode http
    timeout connect 1s
    timeout client 30s
    timeout server 30s
    # Who calls; name the balancer's own address in trusted_proxies.
    option forwardfor

backend keyhouse
    balance roundrobin
    # A node that can't be reached, or hangs up without an answer: try another. Only what changes nothing is sent twice.
    retries 3
    option redispatch 1
    retry-on conn-failure empty-response
    http-request disable-l7-retry unless METH_GET
    option httpchk GET /readyz
    http-check expect status 200
    default-server check inter 500ms fall 2 rise 1
";

/// Where it comes from, as the nodes see it.
pub const SOURCE: &str = "127.0.0.2";

/// Stopped when dropped, and in any case when the test process ends.
pub struct Balancer {
    address: SocketAddr,
    child: Child,
    _folder: tempfile::TempDir,
}

impl Balancer {
    pub fn before(nodes: &[SocketAddr]) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("haproxy.cfg");
        let address = child_process::free_address();
        std::fs::write(&path, config(nodes, address)).expect("a configuration file");
        let mut command = Command::new("/usr/sbin/haproxy");
        command.arg("-db").arg("-f").arg(&path);
        // SIGQUIT would only make it tell about its memory.
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
        // From another address than the clients', so that a test can tell them apart.
        writeln!(text, "    server node{nth} {node} source {SOURCE}").expect("a string takes all");
    }
    write!(text, "\nfrontend api\n    bind {address}\n    default_backend keyhouse\n").expect("a string takes all");
    text
}

impl Drop for Balancer {
    fn drop(&mut self) {
        self.child.kill().expect("it runs");
        self.child.wait().expect("it ends");
    }
}
