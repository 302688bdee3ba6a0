//! Runs every command of the guide's pages on operating Keyhouse, in the order of each page.
//!
//! A fence says how: `sh` has to succeed, `sh fails` to exit with 1, `sh running` needs a running server, and `console` needs
//! an installed service and is not run. Paths and addresses of the pages lead into a temporary folder and to test servers.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use rcgen::generate_simple_self_signed;
use test_support::process::ServerProcess;
use test_support::redis::Redis;
use test_support::{Server, TestDatabase};

const PAGES: [(&str, &str); 9] = [
    ("operating", include_str!("../../docs/guide/operating.md")),
    ("many-nodes", include_str!("../../docs/guide/many-nodes.md")),
    ("failover", include_str!("../../docs/guide/failover.md")),
    ("backup", include_str!("../../docs/guide/backup.md")),
    ("moving", include_str!("../../docs/guide/moving.md")),
    ("upgrades", include_str!("../../docs/guide/upgrades.md")),
    ("tls", include_str!("../../docs/guide/tls.md")),
    ("monitoring", include_str!("../../docs/guide/monitoring.md")),
    ("security-checklist", include_str!("../../docs/guide/security-checklist.md")),
];

/// The commands of a page, each with its fence.
fn commands(page: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut fence: Option<String> = None;
    for line in page.lines() {
        match (&fence, line.strip_prefix("```")) {
            (None, Some(name)) => fence = Some(name.to_owned()),
            (Some(_), Some(_)) => fence = None,
            (Some(name), None) if name.starts_with("sh") && !line.is_empty() => {
                found.push((name.clone(), line.to_owned()))
            }
            _ => {}
        }
    }
    found
}

/// A machine on which the pages' paths exist.
struct Machine {
    root: tempfile::TempDir,
    database: String,
    redis: Redis,
    /// A running server on a database of its own.
    serving: ServerProcess,
    _served: TestDatabase,
}

const FOLDER: &str = "--data /var/lib/keyhouse";
const POSTGRES: &str = "--database postgres://keyhouse@db.internal/keyhouse";

impl Machine {
    /// With the databases that a page begins with; the page on moving needs an empty PostgreSQL.
    async fn of(page: &str) -> Self {
        let root = tempfile::tempdir().unwrap();
        for folder in ["bin", "backups", "etc/keyhouse/tls", "var/lib"] {
            std::fs::create_dir_all(root.path().join(folder)).unwrap();
        }
        std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_keyhouse"), root.path().join("bin/keyhouse")).unwrap();
        let write = |path: &str, text: &str| {
            let path = root.path().join("etc/keyhouse").join(path);
            std::fs::write(&path, text).unwrap();
            std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
        };
        let data = root.path().join("var/lib/keyhouse");
        write("keyhouse.toml", &format!("listen = \"127.0.0.1:0\"\ndata = \"{}\"\n", data.display()));
        write("passphrase", "correct horse battery staple\n");
        let certificate = generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
        write("tls/cert.pem", &certificate.cert.pem());
        write("tls/key.pem", &certificate.signing_key.serialize_pem());
        let served = TestDatabase::folder();
        let serving = ServerProcess::start(&served, "serve", "warn");
        let database = Server::shared().new_database().await;
        let machine = Self { root, database, redis: Redis::start(), serving, _served: served };
        for flag in [FOLDER, POSTGRES].into_iter().filter(|flag| page != "moving" || *flag == FOLDER) {
            machine.run(page, "sh", &format!("keyhouse migrate {flag}"));
            machine.run(page, "sh", &format!("keyhouse team create Acme --owner ada@example.com {flag}"));
            let key = "keyhouse key create --team acme --name K --mode live --scope read_only";
            machine.run(page, "sh", &format!("{key} {flag}"));
        }
        machine
    }

    fn placed(&self, command: &str) -> String {
        let root = self.root.path().display();
        command
            .replace("/etc/keyhouse", &format!("{root}/etc/keyhouse"))
            .replace("/var/lib/keyhouse", &format!("{root}/var/lib/keyhouse"))
            .replace("/backups", &format!("{root}/backups"))
            .replace("postgres://keyhouse@db.internal/keyhouse", &self.database)
            .replace("redis://cache.internal/0", &self.redis.url())
            .replace("0.0.0.0:8080", "127.0.0.1:0")
            .replace("0.0.0.0:8443", "127.0.0.1:0")
            .replace("127.0.0.1:8080", &self.serving.address.to_string())
    }

    fn shell(&self, command: &str) -> Command {
        let mut shell = Command::new("bash");
        let path = format!("{}:/usr/bin:/bin", self.root.path().join("bin").display());
        shell.args(["-o", "pipefail", "-c", &self.placed(command)]).current_dir(self.root.path());
        shell.env_clear().env("PATH", path);
        shell
    }

    fn run(&self, page: &str, fence: &str, command: &str) {
        if command.starts_with("keyhouse serve") {
            let mut server = self.shell(&format!("exec {command} --json")).stdout(Stdio::piped()).spawn().unwrap();
            let mut line = String::new();
            BufReader::new(server.stdout.take().unwrap()).read_line(&mut line).unwrap();
            server.kill().unwrap();
            server.wait().unwrap();
            assert!(line.contains("\"url\""), "{page}: {command}");
            return;
        }
        let output = self.shell(command).output().unwrap();
        let wanted = i32::from(fence == "sh fails");
        let says = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert_eq!(output.status.code(), Some(wanted), "{page}: {command}\n{says}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_command_of_the_pages_on_operating_works() {
    let mut count = 0;
    for (name, page) in PAGES {
        let machine = Machine::of(name).await;
        for (fence, command) in commands(page) {
            machine.run(name, &fence, &command);
            // Then there is something that a restore of the first backup would give back.
            if command.starts_with("keyhouse backup /backups/keyhouse.db") {
                machine.run(name, "sh", &format!("keyhouse key revoke --all --team acme {FOLDER}"));
            }
            count += 1;
        }
    }
    assert!(count >= 18, "the pages have their commands: {count}");
}

/// A page that is added to the group in the navigation is added here.
#[test]
fn every_page_of_the_group_is_run() {
    let pages = include_str!("../../src/web/docs/mod.rs");
    let group = pages.split("\"Self-hosting\": {").nth(1).and_then(|rest| rest.split('}').next()).expect("the group");
    let listed: Vec<_> = group.lines().filter_map(|line| line.trim().strip_prefix('"')?.split('"').next()).collect();
    let run: Vec<_> = ["protect-your-own-api"].into_iter().chain(PAGES.iter().map(|(name, _)| *name)).collect();
    assert_eq!(listed, run, "tests/proxies runs the first page");
}
