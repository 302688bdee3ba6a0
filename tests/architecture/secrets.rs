//! No token, link, cookie or password is in the database, in a log at trace level or in `Debug`, after every kind of request.

use std::path::Path;

use keyhouse_domain::scope::Scope;
use keyhouse_token::Mode;

use test_support::process::{ServerProcess, keyhouse, run_json};
use test_support::{Engine, Server, TestApp, TestDatabase};

/// The byte strings that must be absent: the token from its ninth character on, plain, in hex and in base64.
fn traces(token: &str) -> Vec<Vec<u8>> {
    let tail = &token[8..];
    let hex: String = tail.bytes().map(|b| format!("{b:02x}")).collect();
    // Base64 depends on the offset in a group of three bytes; any encoding contains one of these three windows.
    let base64 =
        (0..3).map(|skip| data_encoding::BASE64.encode(&tail.as_bytes()[skip..skip + 30]).as_bytes()[..36].to_vec());
    [tail.as_bytes().to_vec(), hex.into_bytes()].into_iter().chain(base64).collect()
}

fn assert_absent(tokens: &[String], place: &str, bytes: &[u8]) {
    for token in tokens {
        for (n, trace) in traces(token).iter().enumerate() {
            assert!(!bytes.windows(trace.len()).any(|window| window == &trace[..]), "trace {n} of a token in {place}");
        }
    }
}

fn files_of(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let files = std::fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path());
    files
        .filter(|path| path.is_file())
        .map(|path| (path.display().to_string(), std::fs::read(&path).expect("a file")))
        .collect()
}

/// People sign in by their links, and one sets a password and signs in with it. Returns every secret that was used.
fn sign_in(serving: &ServerProcess, place: &TestDatabase) -> Vec<String> {
    const PASSWORD: &str = "lamp river quiet stone amber violet seven windows";
    let post = |path: &str, body: &str| {
        let head = format!(
            "POST {path} HTTP/1.1\r\nHost: a\r\nOrigin: http://a\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: {}",
            body.len()
        );
        let answer = serving.send(format!("{head}\r\nConnection: close\r\n\r\n{body}").as_bytes());
        let cookie = answer.split("_session=").nth(1).unwrap_or_else(|| panic!("no session: {answer}"));
        cookie.split(';').next().expect("a value").to_owned()
    };
    let mut secrets = vec![PASSWORD.to_owned()];
    let code = |link: &serde_json::Value| link.as_str().unwrap().rsplit('/').next().unwrap().to_owned();
    for person in serving.said["people"].as_array().unwrap() {
        let code = code(&person["link"]);
        secrets.push(post(&format!("/link/{code}"), ""));
        secrets.push(code);
    }
    let reset = code(&run_json(place, &["person", "reset", "owner@example.com"])["link"]);
    let typed = PASSWORD.replace(' ', "+");
    secrets.push(post(&format!("/link/{reset}"), &format!("password={typed}")));
    secrets.push(post("/sign-in", &format!("email=owner%40example.com&password={typed}")));
    secrets.push(reset);
    let invite = ["member", "invite", "--team", "skylark-instruments", "--email", "new@example.com", "--role", "admin"];
    let code = code(&run_json(place, &invite)["link"]);
    let asked = format!("GET /link/{code} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    assert!(serving.send(asked.as_bytes()).starts_with("HTTP/1.1 200"));
    secrets.push(code);
    secrets
}

#[tokio::test(flavor = "multi_thread")]
async fn no_secret_is_in_the_database_or_a_log() {
    for place in [TestDatabase::folder(), TestDatabase::postgres().await] {
        let mut serving = ServerProcess::start(&place, "demo", "trace");
        let mut tokens: Vec<String> = serving.said["keys"]
            .as_array()
            .unwrap()
            .iter()
            .map(|key| key["token"].as_str().unwrap().to_owned())
            .collect();
        let create = [
            "key",
            "create",
            "--team",
            "skylark-instruments",
            "--name",
            "K",
            "--mode",
            "live",
            "--scope",
            "read_write",
        ];
        let made = keyhouse(&place, &create).arg("--json").env("KEYHOUSE_LOG", "trace").output().unwrap();
        let key: serde_json::Value = serde_json::from_slice(&made.stdout).unwrap();
        tokens.push(key["token"].as_str().unwrap().to_owned());
        let shell_log = made.stderr;

        for token in &tokens {
            let body = r#"{"name":"x","unitPrice":1,"currency":"EUR"}"#;
            for request in [
                format!("GET /api/v1/products HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {token}"),
                format!("GET /api/v1/{token}?token={token} HTTP/1.1\r\nHost: a\r\nCookie: t={token}"),
                format!(
                    "GET /api/v1/products/{token}?after={token} HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {token}"
                ),
                format!(
                    "GET /api/v1/key HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: {token}\r\nAuthorization: Bearer {token}, {token}"
                ),
                format!("GET /api/v1/key HTTP/1.1\r\nHost: {token}\r\nHost: a\r\nAuthorization: Basic {token}"),
                format!("GET /{token} HTTP/1.1\r\nHost: a\r\n{token}: 1"),
                format!(
                    "POST /api/v1/products HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {token}\r\nContent-Type: application/json\r\nContent-Length: {}",
                    body.len()
                ),
            ] {
                let answer = serving.send(format!("{request}\r\nConnection: close\r\n\r\n{body}").as_bytes());
                assert_absent(&tokens, "an answer", answer.as_bytes());
            }
        }
        tokens.extend(sign_in(&serving, &place));
        run_json(&place, &["key", "rename", key["id"].as_str().unwrap(), "New name"]);
        run_json(&place, &["key", "revoke", key["id"].as_str().unwrap()]);
        assert!(serving.refuses_in_time("/api/v1/key", &tokens[3]));

        // While the server runs, the write-ahead log is in the folder too; then once more after it stopped.
        for stopped in [false, true] {
            if stopped {
                assert!(serving.terminate().success());
            }
            match &place {
                TestDatabase::Folder(folder) => {
                    let files = files_of(folder.path());
                    assert!(files.iter().any(|(name, bytes)| name.ends_with(".db") && !bytes.is_empty()));
                    files.iter().for_each(|(name, bytes)| assert_absent(&tokens, name, bytes));
                }
                TestDatabase::Postgres { url } => {
                    let dump = Server::shared().dump(url);
                    assert!(dump.windows(6).any(|w| w == b"key.re"), "the dump holds the audit log");
                    assert_absent(&tokens, "pg_dump", &dump);
                }
            }
            let log = serving.logs();
            assert!(log.windows(11).any(|w| w == b"sqlx::query"), "the log is at trace level");
            assert_absent(&tokens, "the server's log", &log);
            assert_absent(&tokens, "the shell's log", &shell_log);
        }
    }
}

#[tokio::test]
async fn debug_shows_no_token() {
    let app = TestApp::on(Engine::Sqlite).await;
    let team = app.team("Acme").await;
    let created = app.key(&team, Mode::Live, Scope::ReadWrite).await;
    let token = [created.token.expose().to_owned()];
    let hash = format!("{:?}", created.token.hash());
    for shown in [
        format!("{created:?}"),
        format!("{:#?}", created.token),
        format!("{:?}", app.inner),
        format!("{:?}", app.service),
        hash,
    ] {
        assert_absent(&token, "Debug", shown.as_bytes());
    }
    assert!(format!("{created:?}").contains(created.token.prefix().as_str()));
}
