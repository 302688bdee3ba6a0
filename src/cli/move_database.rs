//! `keyhouse move`.

use std::io::{IsTerminal, Write};
use std::path::PathBuf;

use clap::Args;
use serde_json::{Value, json};

use super::Global;
use super::terminal::{Cell, Table, outln, print_json, style};
use crate::config::Config;
use crate::shell_command::quoted;
use crate::telemetry;
use keyhouse_store::{Location, MoveStep};

/// How many rows are copied between two lines of progress, where standard error is no terminal.
const ROWS_PER_LINE: u64 = 100_000;

#[derive(Debug, Args)]
pub(super) struct Move {
    /// The new database: postgres://…, or a data folder. It must be empty
    #[arg(long, value_name = "URL|DIR", required_unless_present = "cancel", conflicts_with = "cancel")]
    to: Option<String>,
    /// Cancel a finished or unfinished move, so that the source database can be used again
    #[arg(long)]
    cancel: bool,
}

impl Move {
    pub(super) async fn run(self, global: Global) -> anyhow::Result<()> {
        let config = Config::load(&global.flags(None))?;
        telemetry::init(&config.log);
        let Some(to) = self.to else { return cancel(&config.database, global.json).await };
        let target = if to.contains("://") {
            Location::postgres(&to).map_err(|error| anyhow::anyhow!("--to: {error}"))?
        } else {
            Location::Folder(PathBuf::from(&to))
        };
        let mut progress = Progress { json: global.json, shown: 0, table: String::new() };
        let mut show = |step, table: &str, done, total| progress.show(step, table, done, total);
        let moved = config.database.move_to(&target, &mut show).await?;
        progress.end();
        if global.json {
            let tables: Vec<Value> = moved
                .iter()
                .map(|table| json!({ "table": table.name, "rows": table.rows, "sha256": table.checksum }))
                .collect();
            return print_json(&json!({ "moved": true, "to": target.to_string(), "tables": tables }));
        }
        let mut table = Table::new(["Table", "Rows", "SHA-256 on both sides"]);
        for moved in &moved {
            let checksum = Cell::new(&moved.checksum[..16], style::MUTED);
            table.row([moved.name.clone().into(), moved.rows.to_string().into(), checksum]);
        }
        table.print()?;
        outln!("\nMoved {} to {target}; both databases are identical.", config.database);
        let flag = if matches!(target, Location::Postgres(_)) { "--database" } else { "--data" };
        let shown = target.libpq_url().unwrap_or(to);
        outln!(
            "Start Keyhouse with {flag} {}. The former database keeps its rows, and Keyhouse refuses to start with it.",
            quoted(&shown)
        );
        Ok(())
    }
}

async fn cancel(database: &Location, json: bool) -> anyhow::Result<()> {
    let was_moved = database.cancel_move().await?;
    if json {
        return print_json(&json!({ "cancelled": was_moved }));
    }
    if was_moved {
        outln!("{database} can be used again.");
    } else {
        outln!("{database} was not moved; nothing changed.");
    }
    Ok(())
}

/// Progress on standard error: one line that is written over on a terminal, a line now and then elsewhere.
struct Progress {
    json: bool,
    /// Rows of the current table at the last line.
    shown: u64,
    table: String,
}

impl Progress {
    fn show(&mut self, step: MoveStep, table: &str, done: u64, total: u64) {
        let word = match step {
            MoveStep::Copy => "copying",
            MoveStep::Compare => "comparing",
        };
        let mut out = anstream::stderr();
        let is_new = self.table != format!("{word} {table}");
        // Progress that can't be written is not worth an error.
        let _ignored = if std::io::stderr().is_terminal() && !self.json {
            write!(out, "\r\x1b[K{word} {table}: {done} of {total} rows").and_then(|()| out.flush())
        } else if is_new || done >= self.shown + ROWS_PER_LINE {
            self.shown = done;
            writeln!(out, "{word} {table}: {done} of {total} rows")
        } else {
            Ok(())
        };
        if is_new {
            self.table = format!("{word} {table}");
        }
    }

    fn end(&self) {
        if std::io::stderr().is_terminal() && !self.json {
            let _ignored = write!(anstream::stderr(), "\r\x1b[K");
        }
    }
}
