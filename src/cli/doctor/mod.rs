//! `keyhouse doctor`: what is wrong with an installation, why, and what to do about it. It changes nothing.

mod database;
mod files;
mod network;
mod settings;

use clap::Args;
use serde_json::json;

use super::Global;
use super::terminal::{outln, print_json, style};
use crate::config::{CliOverrides, Config};
use crate::telemetry;

#[derive(Debug, Args)]
pub(super) struct Doctor {
    /// As for `serve`
    #[arg(long, value_name = "ADDR")]
    listen: Option<String>,
    /// As for `serve`
    #[arg(long, value_name = "URL")]
    redis: Option<String>,
    /// As for `serve`
    #[arg(long, value_name = "ADDR")]
    ops_listen: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Level {
    Ok,
    /// Works, and may not be what is wanted.
    Warning,
    /// Does not work, or is not safe.
    Failure,
}

impl Level {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warning => "warning",
            Self::Failure => "failure",
        }
    }
}

/// The result of one check.
#[derive(Debug, PartialEq, Eq)]
struct Finding {
    check: &'static str,
    level: Level,
    message: String,
    /// What to do. Every warning and failure has one.
    remedy: Option<String>,
}

/// The findings so far.
#[derive(Debug, Default)]
struct Report(Vec<Finding>);

impl Report {
    fn ok(&mut self, check: &'static str, message: impl Into<String>) {
        self.0.push(Finding { check, level: Level::Ok, message: message.into(), remedy: None });
    }

    fn warning(&mut self, check: &'static str, message: impl Into<String>, remedy: impl Into<String>) {
        let remedy = Some(remedy.into());
        self.0.push(Finding { check, level: Level::Warning, message: message.into(), remedy });
    }

    fn failure(&mut self, check: &'static str, message: impl Into<String>, remedy: impl Into<String>) {
        let remedy = Some(remedy.into());
        self.0.push(Finding { check, level: Level::Failure, message: message.into(), remedy });
    }

    fn count(&self, level: Level) -> usize {
        self.0.iter().filter(|finding| finding.level == level).count()
    }

    /// Says `ok` for a check in which nothing was found since `before`.
    fn ok_unless_found(&mut self, before: usize, check: &'static str, message: impl Into<String>) {
        if self.0.len() == before {
            self.ok(check, message);
        }
    }
}

impl Doctor {
    pub(super) async fn run(self, global: Global) -> anyhow::Result<()> {
        let json = global.json;
        let loaded =
            Config::load(&CliOverrides { redis: self.redis, ops_listen: self.ops_listen, ..global.flags(self.listen) });
        let mut report = Report::default();
        match &loaded {
            Err(error) => {
                let remedy = "Correct it there. Nothing else was checked, because it depends on the settings.";
                report.failure("settings", error.to_string(), remedy);
            }
            Ok(config) => {
                telemetry::init(&config.log);
                settings::check(config, &mut report);
                files::check(config, global.config.as_deref(), &mut report);
                database::check(config, &mut report).await;
                network::check(config, &mut report).await;
            }
        }
        let config = loaded.as_ref().ok();
        if json {
            print_as_json(config, &report)?
        } else {
            print(config, &report)?
        }
        let failures = report.count(Level::Failure);
        anyhow::ensure!(failures == 0, "{failures} {} failed", if failures == 1 { "check" } else { "checks" });
        Ok(())
    }
}

fn print(config: Option<&Config>, report: &Report) -> anyhow::Result<()> {
    for finding in &report.0 {
        let paint = match finding.level {
            Level::Ok => style::LIVE,
            Level::Warning => style::STRONG,
            Level::Failure => style::ERROR,
        };
        outln!("{}  {:<16} {}", paint.paint(format!("{:<7}", finding.level.as_str())), finding.check, finding.message);
        if let Some(remedy) = &finding.remedy {
            outln!("{:26}{remedy}", "");
        }
    }
    if let Some(config) = config.filter(|config| !config.changed.is_empty()) {
        outln!("\nSettings that differ from the default:");
        for setting in &config.changed {
            let value = setting.value.as_deref().unwrap_or("(not shown)");
            outln!("  {} = {value}  {}", setting.name, style::MUTED.paint(format!("from {}", setting.source)));
        }
    }
    let (failures, warnings) = (report.count(Level::Failure), report.count(Level::Warning));
    outln!("\n{} checks, {failures} failed, {warnings} with a warning.", report.0.len());
    Ok(())
}

fn print_as_json(config: Option<&Config>, report: &Report) -> anyhow::Result<()> {
    let finding = |finding: &Finding| {
        json!({ "check": finding.check, "level": finding.level.as_str(), "message": finding.message,
                "remedy": finding.remedy })
    };
    let changed = config.map(|config| config.changed.as_slice()).unwrap_or_default();
    let settings = changed.iter().map(|one| json!({ "name": one.name, "value": one.value, "source": one.source }));
    print_json(&json!({
        "ok": report.count(Level::Failure) == 0,
        "failures": report.count(Level::Failure),
        "warnings": report.count(Level::Warning),
        "checks": report.0.iter().map(finding).collect::<Vec<_>>(),
        "settings": settings.collect::<Vec<_>>(),
    }))
}
