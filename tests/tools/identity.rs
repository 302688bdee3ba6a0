//! Signed identity, verified by other people's JWT libraries: PyJWT and jose.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

use keyhouse::app::infra::clock::Clock;
use rstest::rstest;
use serde_json::Value;
use test_support::TestDatabase;
use test_support::process::{ServerProcess, keyhouse, run_json};

use super::{here, run, tool};

const SETTINGS: [(&str, &str); 2] = [
    ("KEYHOUSE_FORWARD_AUTH_IDENTITY_JWT", "true"),
    ("KEYHOUSE_FORWARD_AUTH_IDENTITY_SECRET", "the secret of a test, which is long enough"),
];

#[derive(Debug, Clone, Copy)]
enum Library {
    PyJwt,
    Jose,
}

/// A service that verifies tokens and keeps the public keys as its library does.
struct Service {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Service {
    fn start(library: Library, serving: &ServerProcess) -> Self {
        let mut command = match library {
            Library::PyJwt => Command::new(tool("python/bin/python")),
            Library::Jose => Command::new(tool("bin/node")),
        };
        let script = match library {
            Library::PyJwt => here("identity.py"),
            Library::Jose => here("identity.mjs"),
        };
        let mut child = command
            .arg(script)
            .arg(format!("http://{}/.well-known/jwks.json", serving.address))
            .env("JOSE", tool("node_modules/jose/dist/webapi/index.js"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("it starts");
        let input = child.stdin.take().expect("a pipe");
        let output = BufReader::new(child.stdout.take().expect("a pipe"));
        Self { child, input, output }
    }

    /// The subject of a token, or `refused`.
    fn subject(&mut self, token: &str) -> String {
        writeln!(self.input, "{token}").expect("it reads");
        let mut line = String::new();
        self.output.read_line(&mut line).expect("it answers");
        line.trim().to_owned()
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _already_gone = self.child.kill();
        let _ended = self.child.wait();
    }
}

fn identity(serving: &ServerProcess, token: &str) -> String {
    let request = format!(
        "GET /auth/verify HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {token}\r\nX-Forwarded-Method: GET\r\n\
         Connection: close\r\n\r\n"
    );
    let answer = serving.send(request.as_bytes());
    let line = answer.lines().find_map(|line| line.strip_prefix("x-keyhouse-identity: "));
    line.unwrap_or_else(|| panic!("no identity: {answer}")).to_owned()
}

fn published(serving: &ServerProcess) -> Vec<String> {
    let answer = serving.send(b"GET /.well-known/jwks.json HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    let body: Value = serde_json::from_str(answer.split_once("\r\n\r\n").expect("a body").1).expect("JSON");
    body["keys"].as_array().expect("keys").iter().map(|key| key["kid"].as_str().expect("a kid").to_owned()).collect()
}

/// Waits until this server publishes exactly these keys: it follows a rotation by the shell within a second.
fn wait_until_published(serving: &ServerProcess, count: usize, kid: &str) {
    let began = Clock::System.monotonic();
    loop {
        let keys = published(serving);
        if keys.len() == count && keys.iter().any(|key| key == kid) {
            return;
        }
        assert!(Clock::System.monotonic() - began < Duration::from_secs(20), "{keys:?}");
    }
}

/// Runs the guide's lines for this library; returns the subject that they find.
fn guide(library: Library, serving: &ServerProcess, token: &str) -> String {
    let page = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/guide/protect-your-own-api.md"));
    let page = page.expect("the page").replace("127.0.0.1:8080", &serving.address.to_string());
    let block = |language: &str| {
        let (_, rest) = page.split_once(&format!("```{language}\n")).expect("a block");
        rest.split_once("```").expect("its end").0.to_owned()
    };
    let (program, script) = match library {
        Library::PyJwt => (
            tool("python/bin/python"),
            format!("import jwt\ntoken = '{token}'\n{}print(claims['sub'])", block("python identity")),
        ),
        Library::Jose => {
            let jose = tool("node_modules/jose/dist/webapi/index.js");
            let import = format!("import {{ createRemoteJWKSet, jwtVerify }} from '{}';", jose.display());
            let body = block("js identity");
            (tool("bin/node"), format!("{import}\nconst token = '{token}';\n{body}console.log(payload.sub);"))
        }
    };
    let mut command = Command::new(program);
    match library {
        Library::PyJwt => command.arg("-c"),
        Library::Jose => command.args(["--input-type=module", "-e"]),
    };
    run(command.arg(script)).trim().to_owned()
}

fn rotate(place: &TestDatabase, flags: &[&str]) -> Value {
    let output = keyhouse(place, &["identity-key", "rotate"]).args(flags).arg("--json").envs(SETTINGS).output();
    let output = output.expect("keyhouse runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("JSON")
}

#[rstest]
fn a_service_verifies_the_identity_before_and_after_a_rotation(
    #[values(Library::PyJwt, Library::Jose)] library: Library,
) {
    let place = TestDatabase::folder();
    let serving = ServerProcess::start_with(&place, "serve", "info", &SETTINGS);
    run_json(&place, &["team", "create", "Acme", "--owner", "owner@example.com"]);
    let create = ["key", "create", "--team", "acme", "--name", "K", "--mode", "live", "--scope", "read_only"];
    let key = run_json(&place, &create);
    let (id, token) = (key["id"].as_str().expect("an id"), key["token"].as_str().expect("a token"));
    let mut service = Service::start(library, &serving);
    let first = identity(&serving, token);
    assert_eq!(service.subject(&first), id);

    assert_eq!(guide(library, &serving, &first), id, "the lines of the guide");

    let (head, rest) = first.split_once('.').expect("three parts");
    let (claims, signature) = rest.split_once('.').expect("three parts");
    // The header {"alg":"none"} in Base64.
    for forged in [
        format!("{head}.{}x.{signature}", &claims[..claims.len() - 1]),
        format!("{head}.{claims}."),
        format!("eyJhbGciOiJub25lIn0.{claims}."),
    ] {
        assert_eq!(service.subject(&forged), "refused");
    }

    let announced = rotate(&place, &[]);
    wait_until_published(&serving, 2, announced["kid"].as_str().expect("a kid"));
    assert_eq!(service.subject(&identity(&serving, token)), id, "the former key signs until the new one is known");
    let urgent = rotate(&place, &["--now"]);
    wait_until_published(&serving, 1, urgent["kid"].as_str().expect("a kid"));
    assert_eq!(service.subject(&identity(&serving, token)), id, "the new key signs at once");
}

#[test]
fn a_server_with_another_secret_does_not_start_and_says_what_to_do() {
    let place = TestDatabase::folder();
    drop(ServerProcess::start_with(&place, "serve", "info", &SETTINGS));
    let output = keyhouse(&place, &["serve", "--listen", "127.0.0.1:0"])
        .env(SETTINGS[0].0, "true")
        .env(SETTINGS[1].0, "another secret, which is long enough")
        .output()
        .expect("keyhouse runs");
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("identity_secret does not open the signing keys"), "{said}");
}
