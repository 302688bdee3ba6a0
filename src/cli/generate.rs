//! `keyhouse generate`: man pages and completions from the definition of the command line, for packages.

use std::io::{self, Write};
use std::path::PathBuf;

use anyhow::Context;
use clap::{CommandFactory, Subcommand};
use clap_complete::Shell;

use super::Cli;

#[derive(Debug, Subcommand)]
pub(super) enum Generate {
    /// Write a man page for each command into a folder
    Man {
        /// The folder, which must exist
        folder: PathBuf,
    },
    /// Print the completions of a shell
    Completions {
        /// bash, elvish, fish, powershell or zsh
        shell: Shell,
    },
}

impl Generate {
    pub(super) fn run(self) -> anyhow::Result<()> {
        let mut command = Cli::command();
        match self {
            Self::Man { folder } => clap_mangen::generate_to(command, &folder)
                .with_context(|| format!("can't write man pages into {}", folder.display())),
            Self::Completions { shell } => {
                // clap_complete panics if its output can't be written, so it writes into memory.
                let mut script = Vec::new();
                clap_complete::generate(shell, &mut command, "keyhouse", &mut script);
                let mut out = io::stdout();
                out.write_all(&script).and_then(|()| out.flush()).context("can't write to standard output")
            }
        }
    }
}
