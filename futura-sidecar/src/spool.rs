//! The commands `errors list`, `export`, `replay` and `purge`: what a person does with a spool.

use std::{
    io::{self, Write},
    path::PathBuf,
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use clap::{Args, Subcommand};
use futura_sidecar::{Config, Selection, SpoolError, SpoolFolder, SpooledEnvelope, parse_duration};
use serde::Serialize;

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

/// What is selected of one spool.
struct Selected {
    /// The name of a further upstream; none for the first.
    upstream: Option<String>,
    spool: SpoolFolder,
    envelopes: Vec<SpooledEnvelope>,
}

// === impl SpoolCommand ===

impl SpoolCommand {
    /// Does it, and tells on `out` what was done.
    pub(crate) fn run(self, out: &mut impl Write) -> Result<()> {
        match self {
            Self::List { spool, which, json } => list(&spool.select(which)?, json, out),
            Self::Export { spool, which, out: folder } => {
                for Selected { upstream, spool, envelopes } in spool.select(which)? {
                    let folder = upstream.map_or(folder.clone(), |upstream| folder.join(upstream));
                    for path in spool.export(&envelopes, &folder)? {
                        writeln!(out, "{}", path.display())?;
                    }
                }
                Ok(())
            }
            Self::Replay { spool, which } => {
                let count = each(&spool.select(which.dead())?, SpoolFolder::replay)?;
                Ok(writeln!(out, "dead letters that are sent once more by the sidecar that has this spool: {count}")?)
            }
            Self::Purge { spool, which } => {
                let count = each(&spool.select(which.dead())?, SpoolFolder::purge)?;
                Ok(writeln!(out, "dead letters deleted: {count}")?)
            }
        }
    }
}

/// Does something to what is selected; returns to how many.
fn each(
    selected: &[Selected],
    change: impl Fn(&SpoolFolder, &[SpooledEnvelope]) -> Result<usize, SpoolError>,
) -> Result<usize> {
    selected.iter().try_fold(0, |count, selected| Ok(count + change(&selected.spool, &selected.envelopes)?))
}

fn list(selected: &[Selected], json: bool, out: &mut impl Write) -> Result<()> {
    let (mut waiting, mut dead) = (0, 0);
    for Selected { upstream, envelopes, .. } in selected {
        for envelope in envelopes {
            if json {
                let line = Line { upstream: upstream.as_deref(), envelope };
                writeln!(out, "{}", serde_json::to_string(&line).map_err(io::Error::from)?)?;
                continue;
            }
            let SpooledEnvelope { name, reason, since, category, event_id, bytes, .. } = envelope;
            let (state, id) = (reason.as_deref().unwrap_or("waits"), event_id.as_deref().unwrap_or("-"));
            write!(out, "{since}  {state:<14} {category:<12} {bytes:>9} bytes  event {id:<32}  {name}")?;
            writeln!(out, "{}", upstream.as_ref().map_or(String::new(), |upstream| format!("  for {upstream}")))?;
        }
        let buried = envelopes.iter().filter(|envelope| envelope.reason.is_some()).count();
        (waiting, dead) = (waiting + envelopes.len() - buried, dead + buried);
    }
    if !json {
        writeln!(out, "waiting to be sent: {waiting}, dead letters: {dead}")?;
    }
    Ok(())
}

/// An envelope as JSON has it.
#[derive(Serialize)]
struct Line<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    upstream: Option<&'a str>,
    #[serde(flatten)]
    envelope: &'a SpooledEnvelope,
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

    /// What is selected of the spool and of those of further upstreams in it.
    fn select(self, which: WhichArgs) -> Result<Vec<Selected>> {
        let first = self.folder()?;
        let further = first.further()?.into_iter().map(|(upstream, spool)| (Some(upstream), spool));
        let further = further.collect::<Vec<_>>();
        let selection = Selection { names: which.names, dead: which.dead, older_than: which.older_than };
        let select = |(upstream, spool): (_, SpoolFolder)| {
            let envelopes = spool.list(&selection)?;
            Ok(Selected { upstream, spool, envelopes })
        };
        let selected = [(None, first)].into_iter().chain(further).map(select).collect::<Result<Vec<_>>>()?;
        let names = selection.names.join(", ");
        let found = selected.iter().any(|selected| !selected.envelopes.is_empty());
        if !found && !names.is_empty() && selection.dead {
            let any = Selection { dead: false, ..selection };
            let waits = selected.iter().map(|selected| selected.spool.list(&any)).collect::<Result<Vec<_>, _>>()?;
            ensure!(waits.iter().all(Vec::is_empty), "{names}: no dead letter, it waits to be sent and will be");
        }
        ensure!(names.is_empty() || found, "no envelope of the spool is called {names}");
        Ok(selected)
    }
}

// === impl WhichArgs ===

impl WhichArgs {
    fn dead(self) -> Self {
        Self { dead: true, ..self }
    }
}
