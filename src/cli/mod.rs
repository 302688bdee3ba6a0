//! DOOR over the shell: the same deeds as the pages, for whoever holds the machine. Nothing prompts.

mod demo;
mod keys;
mod members;
mod serve;
mod teams;
mod terminal;

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

use crate::app::App;
use crate::config::layers::ConfigError;
use crate::config::{CliOverrides, Config};
use crate::{startup, telemetry};
use keyhouse_domain::secret::Secret;
use keyhouse_domain::team::{Team, TeamRef};
use terminal::{outln, style};

/// API keys for a team product, whole.
#[derive(Debug, Parser)]
#[command(name = "keyhouse", version, propagate_version = true, styles = terminal::STYLES)]
#[command(after_help = "Try it: keyhouse demo")]
struct Cli {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    global: Global,
}

#[derive(Debug, Args)]
struct Global {
    /// File of settings (see config.example.toml)
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Folder of the SQLite database [default: ./keyhouse-data]
    #[arg(long, global = true, value_name = "DIR", conflicts_with = "database")]
    data: Option<String>,
    /// PostgreSQL database, postgres://…
    #[arg(long, global = true, value_name = "URL")]
    database: Option<String>,
    /// Print JSON, for programs
    #[arg(long, global = true)]
    json: bool,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve the pages and the public API
    Serve(serve::Serve),
    /// Serve a database of samples, with keys and cURL lines to try
    Demo(demo::Demo),
    /// Set a database up, or bring it up to date
    Migrate,
    /// Print the public API's description (OpenAPI 3.1)
    Openapi,
    /// Create and list teams
    #[command(subcommand)]
    Team(teams::TeamCommand),
    /// Invite, list, change and remove members of a team
    #[command(subcommand)]
    Member(members::MemberCommand),
    /// Let people in who have lost their password
    #[command(subcommand)]
    Person(members::PersonCommand),
    /// Create, list, rename, revoke and find API keys
    #[command(subcommand)]
    Key(keys::KeyCommand),
}

/// Runs the process's command line. Exit codes: 0, 1 (it failed), 2 (it was asked wrongly).
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return fail(&anyhow::Error::from(error).context("can't start")),
    };
    match runtime.block_on(run(cli)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(&error),
    }
}

fn fail(error: &anyhow::Error) -> ExitCode {
    // Whoever closed the pipe has seen enough; and where nothing can be told, the code alone tells.
    if error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe) {
        return ExitCode::SUCCESS;
    }
    let _told = writeln!(anstream::stderr(), "{} {error:#}", style::ERROR.paint("error:"));
    ExitCode::from(if error.is::<ConfigError>() { 2 } else { 1 })
}

async fn run(cli: Cli) -> anyhow::Result<()> {
    let global = cli.global;
    let json = global.json;
    match cli.command {
        Command::Serve(command) => command.run(global).await,
        Command::Demo(command) => command.run(global).await,
        Command::Migrate => serve::migrate(global).await,
        Command::Openapi => {
            outln!("{:#}", startup::openapi(&Config::load(&global.flags(None))?));
            Ok(())
        }
        Command::Team(command) => with_app(global, async |app, url| command.run(app, url, json).await).await,
        Command::Member(command) => with_app(global, async |app, url| command.run(app, url, json).await).await,
        Command::Person(command) => with_app(global, async |app, url| command.run(app, url, json).await).await,
        Command::Key(command) => with_app(global, async |app, _| command.run(app, json).await).await,
    }
}

/// Opens the database, does one deed (told where links lead), and closes it in order.
async fn with_app(global: Global, deed: impl AsyncFnOnce(&App, &str) -> anyhow::Result<()>) -> anyhow::Result<()> {
    let config = Config::load(&global.flags(None))?;
    telemetry::init(&config.log);
    let app = startup::open(&config).await?;
    let done = deed(&app, &config.url(config.listen)).await;
    app.close().await?;
    done
}

impl Global {
    fn flags(&self, listen: Option<String>) -> CliOverrides {
        CliOverrides {
            config: self.config.clone(),
            listen,
            ops_listen: None,
            data: self.data.clone(),
            database: self.database.clone(),
            redis: None,
            default_data: None,
        }
    }
}

/// A one-time link, for whoever is to use it.
fn link(url: &str, code: &Secret) -> String {
    format!("{url}/link/{}", code.expose())
}

/// The team that a command names by slug or id.
async fn team(app: &App, named: &TeamRef) -> anyhow::Result<Team> {
    let found = app.queries().team(named).await?;
    found.ok_or_else(|| anyhow::anyhow!("there is no team `{named}`; see `keyhouse team list`"))
}

/// The user of the operating system, as deeds of the shell are signed.
fn os_user() -> String {
    whoami::username().unwrap_or_else(|_| "unknown".to_owned())
}
