//! The command `errors explain`: what is removed from an event, without a sidecar that runs.

use std::{
    fs,
    io::{self, Read as _, Write as _},
    path::{Path, PathBuf},
};

use anyhow::{Context, anyhow};
use clap::Args;
use futura_sidecar::{Config, Explanation, Scrubber};

use crate::{Failed, failure, usage};

/// The end of the help.
pub(crate) const EXAMPLES: &str = "\
Examples:
  futura-sidecar errors explain event.json                        what the defaults remove
  futura-sidecar errors explain event.json --config sidecar.yaml  what this configuration removes
  futura-sidecar errors explain event.json --output -             and what is left

Exit codes:
  0 when all could be scrubbed, 1 when the file or an event in it cannot be read, 64 for a wrong command line or configuration";

/// How large a file with an event may be that is explained, in bytes; Sentry's own limit of an envelope.
const EXPLAINED_LIMIT: u64 = 200 * 1024 * 1024;

#[derive(Args)]
pub(crate) struct ExplainArgs {
    /// An event in JSON, or an envelope as SDKs send it; `-` reads standard input.
    file: PathBuf,
    /// The configuration whose `errors.scrub` is to apply; without it the defaults do.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Where to write the event or envelope as it would be sent; `-` is standard output, and the list goes to standard error.
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
}

/// Prints what is removed from the event or envelope in a file.
pub(crate) fn run(args: &ExplainArgs) -> Result<(), Failed> {
    let scrubber = match &args.config {
        None => Scrubber::default(),
        Some(file) => {
            let errors = Config::load(file).map_err(usage)?.errors;
            errors.map(|errors| errors.scrub).unwrap_or_default()
        }
    };
    let name = args.file.display();
    let bytes = read(&args.file).with_context(|| format!("cannot read `{name}`")).map_err(failure)?;
    let explanation = Explanation::of(&scrubber, bytes).with_context(|| name.to_string()).map_err(failure)?;
    let standard = Path::new("-");
    match args.output.as_deref() {
        None => writeln!(io::stdout(), "{explanation}").map_err(failure)?,
        Some(output) if output == standard => {
            writeln!(io::stderr(), "{explanation}").map_err(failure)?;
            io::stdout().write_all(&explanation.scrubbed).map_err(failure)?;
        }
        Some(output) => {
            writeln!(io::stdout(), "{explanation}").map_err(failure)?;
            let written = fs::write(output, &explanation.scrubbed);
            written.with_context(|| format!("cannot write `{}`", output.display())).map_err(failure)?;
        }
    }
    match explanation.removed.first() {
        Some(item) => Err(failure(anyhow!("{name}: an item of type `{}` could not be scrubbed", item.kind))),
        None => Ok(()),
    }
}

fn read(file: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let read = match file == Path::new("-") {
        true => io::stdin().lock().take(EXPLAINED_LIMIT + 1).read_to_end(&mut bytes),
        false => fs::File::open(file)?.take(EXPLAINED_LIMIT + 1).read_to_end(&mut bytes),
    }?;
    if read as u64 > EXPLAINED_LIMIT {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, format!("it is larger than {EXPLAINED_LIMIT} bytes")));
    }
    Ok(bytes)
}
