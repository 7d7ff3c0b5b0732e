//! The commands `errors list`, `export`, `replay` and `purge`: what a person does with a spool.

use std::{
    io::{self, Write},
    path::PathBuf,
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use clap::{Args, Subcommand};
use futura_sidecar::{Config, Selection, SpoolFolder, SpooledEnvelope, parse_duration};

#[derive(Subcommand)]
pub(crate) enum SpoolCommand {
    /// Lists the envelopes that wait to be sent, and the dead letters: those that the upstream refused, or that never got through.
    List {
        #[command(flatten)]
        spool: SpoolArgs,
        #[command(flatten)]
        which: WhichArgs,
        /// Prints a JSON object for each, one a line.
        #[arg(long)]
        json: bool,
    },
    /// Writes envelopes into files as they are, for `sentry-cli send-envelope` or a look at them.
    Export {
        #[command(flatten)]
        spool: SpoolArgs,
        #[command(flatten)]
        which: WhichArgs,
        /// The folder to write to.
        #[arg(long, value_name = "FOLDER", default_value = ".")]
        out: PathBuf,
    },
    /// Sends dead letters once more: a sidecar that runs takes them within seconds, another at its start.
    Replay {
        #[command(flatten)]
        spool: SpoolArgs,
        #[command(flatten)]
        which: WhichArgs,
    },
    /// Deletes dead letters for good.
    Purge {
        #[command(flatten)]
        spool: SpoolArgs,
        #[command(flatten)]
        which: WhichArgs,
    },
}

/// Which spool.
#[derive(Args)]
#[group(required = true, multiple = false)]
pub(crate) struct SpoolArgs {
    /// The spool's folder.
    #[arg(long, value_name = "FOLDER")]
    spool: Option<PathBuf>,
    /// The configuration file that names it.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

/// Which envelopes.
#[derive(Args)]
pub(crate) struct WhichArgs {
    /// Names as `list` prints them, or event ids; without any, all.
    #[arg(value_name = "NAME")]
    names: Vec<String>,
    /// Only dead letters.
    #[arg(long)]
    dead: bool,
    /// Only those that are there for longer than this, such as `7d`.
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    older_than: Option<Duration>,
}

// === impl SpoolCommand ===

impl SpoolCommand {
    /// Does it, and tells on `out` what was done.
    pub(crate) fn run(self, out: &mut impl Write) -> Result<()> {
        match self {
            Self::List { spool, which, json } => list(&spool.folder()?, which, json, out),
            Self::Export { spool, which, out: folder } => {
                let spool = spool.folder()?;
                for path in spool.export(&which.of(&spool)?, &folder)? {
                    writeln!(out, "{}", path.display())?;
                }
                Ok(())
            }
            Self::Replay { spool, which } => {
                let spool = spool.folder()?;
                let count = spool.replay(&which.dead_of(&spool)?)?;
                Ok(writeln!(out, "dead letters that are sent once more by the sidecar that has this spool: {count}")?)
            }
            Self::Purge { spool, which } => {
                let spool = spool.folder()?;
                let count = spool.purge(&which.dead_of(&spool)?)?;
                Ok(writeln!(out, "dead letters deleted: {count}")?)
            }
        }
    }
}

fn list(spool: &SpoolFolder, which: WhichArgs, json: bool, out: &mut impl Write) -> Result<()> {
    let envelopes = which.of(spool)?;
    if json {
        for envelope in &envelopes {
            writeln!(out, "{}", serde_json::to_string(envelope).map_err(io::Error::from)?)?;
        }
        return Ok(());
    }
    for SpooledEnvelope { name, reason, since, category, event_id, bytes, .. } in &envelopes {
        let (state, id) = (reason.as_deref().unwrap_or("waits"), event_id.as_deref().unwrap_or("-"));
        writeln!(out, "{since}  {state:<14} {category:<12} {bytes:>9} bytes  event {id:<32}  {name}")?;
    }
    let dead = envelopes.iter().filter(|envelope| envelope.reason.is_some()).count();
    Ok(writeln!(out, "waiting to be sent: {}, dead letters: {dead}", envelopes.len() - dead)?)
}

// === impl SpoolArgs ===

impl SpoolArgs {
    fn folder(self) -> Result<SpoolFolder> {
        match (self.spool, self.config) {
            (Some(folder), _) => Ok(SpoolFolder::new(folder)),
            (None, config) => {
                let file = config.context("`--spool` or `--config` is given")?;
                let errors = Config::load(&file)?.errors;
                let errors = errors.with_context(|| format!("{} has no `errors`, and so no spool", file.display()))?;
                Ok(SpoolFolder::new(errors.spool))
            }
        }
    }
}

// === impl WhichArgs ===

impl WhichArgs {
    fn of(self, spool: &SpoolFolder) -> Result<Vec<SpooledEnvelope>> {
        let selection = Selection { names: self.names, dead: self.dead, older_than: self.older_than };
        let envelopes = spool.list(&selection)?;
        let names = selection.names.join(", ");
        ensure!(names.is_empty() || !envelopes.is_empty(), "no envelope of the spool is called {names}");
        Ok(envelopes)
    }

    fn dead_of(self, spool: &SpoolFolder) -> Result<Vec<SpooledEnvelope>> {
        Self { dead: true, ..self }.of(spool)
    }
}
