//! Servers as child processes that end when this process ends, even by SIGKILL.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::{OnceLock, mpsc};
use std::time::Duration;

use rustix::process::{Pid, Signal};

/// Starts a child that the kernel sends `signal` when this process ends, by `setpriv --pdeathsig` (util-linux).
///
/// `user` is the uid and gid to run as. setpriv drops privileges first and asks for the signal then: the kernel forgets the
/// request when a process changes its uid.
///
/// The kernel watches the *thread* that forked, so all children are forked by one thread that lives as long as the process.
pub fn spawn(command: &Command, user: Option<(u32, u32)>, signal: Signal) -> Child {
    type Order = (Command, mpsc::Sender<Child>);
    static FORKER: OnceLock<mpsc::Sender<Order>> = OnceLock::new();
    let forker = FORKER.get_or_init(|| {
        let (orders, taken) = mpsc::channel::<Order>();
        std::thread::spawn(move || {
            for (mut command, reply) in taken {
                let child = command.spawn().expect("the server starts");
                reply.send(child).expect("the caller waits for its child");
            }
        });
        orders
    });
    let mut wrapped = Command::new("setpriv");
    wrapped.current_dir("/").env("LC_ALL", "C.UTF-8").args(["--pdeathsig", name_of(signal)]);
    if let Some((uid, gid)) = user {
        wrapped.args(["--reuid", &uid.to_string(), "--regid", &gid.to_string(), "--clear-groups"]);
    }
    wrapped.arg(command.get_program()).args(command.get_args());
    wrapped.stdout(Stdio::null()).stderr(Stdio::null());
    let (reply, child) = mpsc::channel();
    forker.send((wrapped, reply)).expect("the forking thread runs");
    child.recv().expect("the forking thread answers")
}

/// The name that setpriv takes.
fn name_of(signal: Signal) -> &'static str {
    match signal {
        Signal::KILL => "KILL",
        Signal::QUIT => "QUIT",
        other => panic!("setpriv's name of {other:?} is not listed"),
    }
}

pub fn signal(child: &Child, signal: Signal) {
    rustix::process::kill_process(Pid::from_child(child), signal).expect("it runs");
}

pub fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a free port").port()
}

/// An address without a listener.
pub fn free_address() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], free_port()))
}

/// Waits, for at most 20 s, until a server listens there.
pub fn wait_for(address: SocketAddr) {
    for _ in 0..1000 {
        if TcpStream::connect(address).is_ok() {
            return;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    panic!("no server listens on {address}");
}
