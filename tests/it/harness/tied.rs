//! Other people's servers, as children that end with this process, however this process ends.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::sync::{OnceLock, mpsc};
use std::time::Duration;

use rustix::process::{Pid, Signal};

/// Starts a child that gets this signal when this process ends.
///
/// The kernel ties it to the *thread* that forks, so that is one that stays to the end.
pub fn spawn(mut command: Command, at_the_end: Signal) -> Child {
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
        command
            .pre_exec(move || rustix::process::set_parent_process_death_signal(Some(at_the_end)).map_err(Into::into));
    }
    command.stdout(Stdio::null()).stderr(Stdio::null());
    let (reply, child) = mpsc::channel();
    forker.send((command, reply)).expect("the forking thread stays");
    child.recv().expect("the forking thread answers")
}

pub fn signal(child: &Child, signal: Signal) {
    rustix::process::kill_process(Pid::from_child(child), signal).expect("it runs");
}

pub fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a free port").port()
}

/// An address that nobody listens on yet.
pub fn free_address() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], free_port()))
}

/// Waits, for at most 20 seconds, until somebody listens there.
pub fn wait_for(address: SocketAddr) {
    for _ in 0..1000 {
        if TcpStream::connect(address).is_ok() {
            return;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    panic!("nobody listens on {address}");
}
