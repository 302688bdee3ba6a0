//! The command line. It offers what the pages offer, to those with access to the database; it never prompts.

mod backup;
mod demo;
mod doctor;
mod encryption;
mod export;
mod generate;
mod health;
mod http_probe;
mod identity;
mod invocation;
mod keys;
mod leak;
mod members;
mod move_database;
mod nodes;
mod people;
mod restore;
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
use crate::shell_command::ShellCommand;
use crate::{build_info, startup, telemetry};
use keyhouse_domain::secret::Secret;
use keyhouse_domain::team::{Team, TeamRef};
use terminal::{outln, style};

/// Self-hosted API keys: dashboard, public API and command line in one binary
#[derive(Debug, Parser)]
#[command(name = "keyhouse", version = build_info::LONG, propagate_version = true, styles = terminal::STYLES)]
#[command(after_help = "Try it: keyhouse demo")]
struct Cli {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    global: Global,
}

#[derive(Debug, Args)]
struct Global {
    /// Settings file (see config.example.toml)
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
    /// Serve the dashboard and the public API
    Serve(serve::Serve),
    /// Serve a team with sample products, and print keys and cURL lines to try
    Demo(demo::Demo),
    /// Create the database, or bring it up to date
    Migrate,
    /// Check the settings, files, database, network and clocks, and say what to do
    Doctor(doctor::Doctor),
    /// Check whether the node with these settings is ready (exit code 0), for containers
    Health(health::Health),
    /// Back up the database while Keyhouse runs (PostgreSQL: print the pg_dump command)
    Backup(backup::Backup),
    /// Restore a backup, after listing what was revoked since
    Restore(restore::Restore),
    /// Move the database from SQLite to PostgreSQL, or back
    Move(move_database::Move),
    /// Write man pages or a shell's completions
    #[command(subcommand, hide = true)]
    Generate(generate::Generate),
    /// Print the public API's description (OpenAPI 3.1)
    Openapi,
    /// Create and list teams
    #[command(subcommand)]
    Team(teams::TeamCommand),
    /// Invite, list, change and remove members of a team
    #[command(subcommand)]
    Member(members::MemberCommand),
    /// List people, reset a password, change an email address, end sessions, remove an account
    #[command(subcommand)]
    Person(people::PersonCommand),
    /// Create, list, rotate, pause, change, revoke and find API keys
    #[command(subcommand)]
    Key(keys::KeyCommand),
    /// List the nodes that serve the database
    #[command(subcommand)]
    Node(nodes::NodeCommand),
    /// Export digests of tokens, for gateways that verify keys themselves
    #[command(subcommand)]
    Export(export::ExportCommand),
    /// Report leaked tokens
    #[command(subcommand)]
    Leak(leak::LeakCommand),
    /// Rotate the key that signs X-Keyhouse-Identity
    #[command(subcommand)]
    IdentityKey(identity::IdentityKeyCommand),
}

/// Runs the process's command line. Exit codes: 0, 1 (failed), 2 (usage).
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return fail(&anyhow::Error::from(error).context("can't start")),
    };
    let outcome = runtime.block_on(run(cli));
    telemetry::flush();
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(&error),
    }
}

fn fail(error: &anyhow::Error) -> ExitCode {
    // The reader of a pipe has closed it: it needs no more output.
    if error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe) {
        return ExitCode::SUCCESS;
    }
    // If standard error can't be written either, the exit code still reports the failure.
    let _ignored = writeln!(anstream::stderr(), "{} {error:#}", style::ERROR.paint("error:"));
    ExitCode::from(if error.is::<ConfigError>() { 2 } else { 1 })
}

async fn run(cli: Cli) -> anyhow::Result<()> {
    let global = cli.global;
    match cli.command {
        Command::Serve(command) => command.run(global).await,
        Command::Demo(command) => command.run(global).await,
        Command::Migrate => serve::migrate(global).await,
        Command::Doctor(command) => command.run(global).await,
        Command::Health(command) => command.run(global).await,
        Command::Generate(command) => command.run(),
        Command::Backup(command) => command.run(global).await,
        Command::Restore(command) => command.run(global).await,
        Command::Move(command) => command.run(global).await,
        Command::Openapi => {
            outln!("{:#}", startup::openapi(&Config::load(&global.flags(None))?));
            Ok(())
        }
        Command::Team(command) => with_app(global, async |context| command.run(context).await).await,
        Command::Member(command) => with_app(global, async |context| command.run(context).await).await,
        Command::Person(command) => with_app(global, async |context| command.run(context).await).await,
        Command::Key(command) => with_app(global, async |context| command.run(context).await).await,
        Command::Node(command) => with_app(global, async |context| command.run(context).await).await,
        Command::Export(command) => with_app(global, async |context| command.run(context).await).await,
        Command::Leak(command) => with_app(global, async |context| command.run(context).await).await,
        Command::IdentityKey(command) => with_app(global, async |context| command.run(context).await).await,
    }
}

/// What a command works with.
struct CommandContext<'a> {
    app: &'a App,
    /// The origin of links: `public_url`, or else the address that the server last served.
    url: String,
    json: bool,
    config: &'a Config,
    invocation: ShellCommand,
}

impl CommandContext<'_> {
    fn link(&self, code: &Secret) -> String {
        link(&self.url, code)
    }

    /// The team that a command names by slug or id.
    async fn team(&self, team: &TeamRef) -> anyhow::Result<Team> {
        let found = self.app.queries().team(team).await?;
        found.ok_or_else(|| anyhow::anyhow!("there is no team `{team}`; see `{}`", self.invocation.line("team list")))
    }
}

/// Opens the database, runs one command and closes the database.
async fn with_app(
    global: Global,
    command: impl AsyncFnOnce(&CommandContext<'_>) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let config = Config::load(&global.flags(None))?;
    telemetry::init(&config.log);
    let app = startup::open(&config).await?;
    let result = async {
        let served = if config.public_url.is_some() { None } else { app.queries().served_url().await? };
        let context = CommandContext {
            app: &app,
            url: served.unwrap_or_else(|| config.url(config.listen)),
            json: global.json,
            config: &config,
            invocation: invocation::of(&global, &config),
        };
        command(&context).await
    }
    .await;
    app.close().await?;
    result
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
            tls_cert: None,
            tls_key: None,
            default_data: None,
        }
    }
}

/// The URL of a one-time link.
fn link(url: &str, code: &Secret) -> String {
    format!("{url}/link/{}", code.expose())
}

/// The operating system's user, under whose name the audit log records what the command line does.
fn os_user() -> String {
    whoami::username().unwrap_or_else(|_| "unknown".to_owned())
}
