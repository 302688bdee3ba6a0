//! The Grafana dashboard and the alert rules, in a real Prometheus that scrapes a real node.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::Value;
use test_support::TestDatabase;
use test_support::child_process::free_address;
use test_support::process::ServerProcess;
use test_support::wait::eventually_blocking;

use super::run;

fn ops(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("ops").join(file)
}

/// A Prometheus with the alert rules. Killed when dropped.
struct Prometheus {
    child: Child,
    url: String,
    _folder: tempfile::TempDir,
}

impl Prometheus {
    fn scraping(node: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let config = format!(
            "global: {{ scrape_interval: 200ms, evaluation_interval: 200ms }}\n\
             rule_files: ['{}']\n\
             scrape_configs: [{{ job_name: keyhouse, static_configs: [{{ targets: ['{node}'] }}] }}]\n",
            ops("prometheus-alerts.yml").display()
        );
        std::fs::write(folder.path().join("prometheus.yml"), config).expect("a file");
        let address = free_address();
        let child = Command::new("prometheus")
            .current_dir(folder.path())
            .args(["--config.file=prometheus.yml", "--storage.tsdb.path=data", "--log.level=error"])
            .arg(format!("--web.listen-address={address}"))
            .stdout(Stdio::null())
            .spawn()
            .expect("prometheus starts: scripts/test installs it");
        Self { child, url: format!("http://{address}"), _folder: folder }
    }

    fn ask(&self, path: &str, words: &[&str]) -> Option<Value> {
        let output = Command::new("curl")
            .args(["-s", "--max-time", "5", "-G", &format!("{}{path}", self.url)])
            .args(words)
            .output()
            .expect("curl runs");
        serde_json::from_slice(&output.stdout).ok()
    }

    fn query(&self, expression: &str) -> Value {
        let answer = self.ask("/api/v1/query", &["--data-urlencode", &format!("query={expression}")]);
        let answer = answer.unwrap_or_else(|| panic!("no answer for {expression}"));
        assert_eq!(answer["status"], "success", "{expression}: {answer}");
        answer["data"]["result"].clone()
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _already_gone = self.child.kill();
        let _ended = self.child.wait();
    }
}

/// The expressions of the dashboard, with Grafana's variables filled in.
fn dashboard() -> Vec<(String, String)> {
    let text = std::fs::read_to_string(ops("grafana-dashboard.json")).expect("the dashboard");
    let dashboard: Value = serde_json::from_str(&text).expect("JSON");
    let panels = dashboard["panels"].as_array().expect("panels").clone();
    let targets = panels.iter().flat_map(|panel| {
        let title = panel["title"].as_str().expect("a title").to_owned();
        let targets = panel["targets"].as_array().expect("targets").clone();
        targets.into_iter().map(move |target| (title.clone(), target["expr"].as_str().expect("a query").to_owned()))
    });
    let filled = |(title, query): (String, String)| {
        let query = query.replace("$instance", ".*").replace("$__rate_interval", "1m").replace("$__range", "1m");
        (title, query)
    };
    targets.map(filled).collect()
}

#[test]
fn every_query_of_the_dashboard_and_the_alerts_finds_its_series_in_a_real_node() {
    let place = TestDatabase::folder();
    let settings = [("KEYHOUSE_OPS_LISTEN", "127.0.0.1:0")];
    let serving = ServerProcess::start_with(&place, "demo", "warn", &settings);
    let ops_url = serving.said["opsUrl"].as_str().expect("a URL");
    let prometheus = Prometheus::scraping(ops_url.trim_start_matches("http://"));
    let token = super::token(&serving, 0);
    // Two scrapes with calls between them, so that rates have a value.
    eventually_blocking("two scrapes", || {
        serving.get("/api/v1/key", &token);
        std::thread::sleep(Duration::from_millis(50));
        let answer = prometheus.ask("/api/v1/query", &["--data-urlencode", "query=count_over_time(up[1m])"])?;
        let scrapes: f64 = answer["data"]["result"][0]["value"][1].as_str()?.parse().ok()?;
        (scrapes > 8.0).then_some(())
    });
    let queries = dashboard();
    assert!(queries.len() > 18, "the dashboard has its queries");
    for (title, query) in queries {
        let found = prometheus.query(&query);
        assert!(found.as_array().is_some_and(|series| !series.is_empty()), "{title}: nothing for {query}");
    }

    let rules = prometheus.ask("/api/v1/rules", &[]).expect("the rules")["data"]["groups"][0]["rules"].clone();
    let rules = rules.as_array().expect("a list");
    assert!(rules.len() >= 11, "{rules:?}");
    for rule in rules {
        let (name, query) = (rule["name"].as_str().expect("a name"), rule["query"].as_str().expect("a query"));
        assert_eq!(rule["health"], "ok", "{name}: {rule}");
        assert_ne!(rule["state"], "firing", "{name} fires on a healthy node");
        // Each metric that the rule names exists.
        let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
        let metrics = query.split(|c| !is_name(c)).filter(|word| {
            word.starts_with("keyhouse_") || word.starts_with("http_request") || word.starts_with("process_")
        });
        for metric in metrics {
            let found = prometheus.query(metric);
            assert!(found.as_array().is_some_and(|series| !series.is_empty()), "{name}: there is no {metric}");
        }
    }
}

#[test]
fn each_alert_fires_on_its_fault_and_none_on_a_healthy_node() {
    run(Command::new("promtool").args(["check", "rules"]).arg(ops("prometheus-alerts.yml")));
    run(Command::new("promtool").args(["test", "rules"]).arg(ops("prometheus-alerts.test.yml")));
}
