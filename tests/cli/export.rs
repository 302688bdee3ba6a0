//! `keyhouse export digests`.

use serde_json::Value;
use sha2::{Digest, Sha256};
use test_support::process::{run, run_json};

use super::places;

#[tokio::test(flavor = "multi_thread")]
async fn each_token_that_works_is_a_line_with_its_digest() {
    for place in places().await {
        run_json(&place, &["migrate"]);
        for (team, owner) in [("Acme", "ada@example.com"), ("Globex", "bob@example.com")] {
            run_json(&place, &["team", "create", team, "--owner", owner]);
        }
        let key = |team: &str, scope: &str| {
            run_json(&place, &["key", "create", "--team", team, "--name", "K", "--mode", "live", "--scope", scope])
        };
        let (kept, ended) = (key("acme", "read_only"), key("acme", "read_write"));
        key("globex", "read_only");
        run_json(&place, &["key", "revoke", ended["id"].as_str().unwrap()]);
        let output = run(&place, &["export", "digests", "--team", "acme"]);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let lines = String::from_utf8(output.stdout).unwrap();
        assert_eq!(lines.lines().count(), 1, "{lines}");
        let line: Value = serde_json::from_str(&lines).unwrap();
        let digest = Sha256::digest(kept["token"].as_str().unwrap());
        let digest: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(line["digest"], format!("sha256:{digest}"));
        assert_eq!((&line["id"], &line["mode"], &line["scope"]), (&kept["id"], &"live".into(), &"read_only".into()));
        assert_eq!((&line["active"], &line["expiresAt"]), (&true.into(), &Value::Null));
        assert!(!lines.contains(kept["token"].as_str().unwrap()));
    }
}
