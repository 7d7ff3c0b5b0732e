//! The command `verify`: every panel and rule asked of a live Prometheus.

use std::{
    io::{self, IsTerminal, Write},
    time::Duration,
};

use anyhow::anyhow;
use clap::Args;
use futura_dashboards::generate::SiteArgs;
use futura_sidecar::{ApiError, Summary, VerifyConfig, parse_duration, questions, verify};
use url::Url;

use crate::{
    Failed, UNAVAILABLE,
    access::{AccessArgs, parse_url},
    ask, failure, usage,
};

/// The end of the help.
pub(crate) const EXAMPLES: &str = "\
Examples:
  futura-sidecar verify --prometheus http://localhost:9090
  futura-sidecar verify --prometheus https://prometheus.example.org/ --bearer-token-file token --slow 500ms
  futura-sidecar verify --prometheus http://localhost:9090 --skip kubernetes-cluster --json

Exit codes:
  0 when every query has data in time, 1 when one has not, 64 for a wrong command line, 69 when Prometheus cannot be asked";

#[derive(Args)]
pub(crate) struct VerifyArgs {
    /// Where Prometheus is.
    #[arg(long, value_name = "URL", value_parser = parse_url)]
    prometheus: Url,
    /// From which time on an answer is slow.
    #[arg(long, value_name = "DURATION", default_value = "1s", value_parser = parse_duration)]
    slow: Duration,
    /// How long an answer may take at all.
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = parse_duration)]
    timeout: Duration,
    /// How far back panels look.
    #[arg(long, value_name = "DURATION", default_value = "6h", value_parser = parse_duration)]
    range: Duration,
    /// How many queries are asked at once.
    #[arg(long, value_name = "NUMBER", default_value_t = 4, value_parser = clap::value_parser!(u8).range(1..=64))]
    parallel: u8,
    /// An alert, a dashboard or a panel that is left out, by name, uid or title. May be given several times.
    #[arg(long, value_name = "NAME")]
    skip: Vec<String>,
    /// Prints a JSON object for each query, one a line, and the summary to standard error.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    access: AccessArgs,
    #[command(flatten)]
    site: SiteArgs,
}

/// Asks, prints what there is to see to, and fails if there is any.
pub(crate) fn run(args: VerifyArgs) -> Result<(), Failed> {
    let mut questions = questions(&args.site.site().map_err(usage)?);
    for skipped in &args.skip {
        let before = questions.len();
        questions.retain(|question| question.name != skipped && question.dashboard != Some(skipped));
        if questions.len() == before {
            return Err(usage(anyhow!("--skip {skipped}: no alert, dashboard or panel is called so")));
        }
    }
    let config = VerifyConfig { slow: args.slow, parallel: args.parallel.into(), range: args.range };
    let (all, mut done, terminal) = (questions.len(), 0, io::stderr().is_terminal());
    let progress = |_: &_| {
        done += 1;
        if terminal {
            // Progress that cannot be shown is no failure; the last is wiped away.
            let _ = if done < all { write!(io::stderr(), "\r{done}/{all}") } else { write!(io::stderr(), "\r\x1b[K") };
        }
    };
    let api = args.access.config(args.prometheus, args.timeout);
    let verified = ask(async { verify(api, &config, questions, progress).await.map_err(unavailable) })?;
    let mut out = io::stdout().lock();
    for verified in &verified {
        if args.json {
            writeln!(out, "{}", serde_json::to_string(verified).map_err(failure)?).map_err(failure)?;
        } else if verified.is_finding() {
            writeln!(out, "{verified}").map_err(failure)?;
        }
    }
    let summary = Summary::of(&verified);
    match summary.is_well() {
        false => Err(failure(anyhow!("{summary}"))),
        true if args.json => writeln!(io::stderr(), "{summary}").map_err(failure),
        true => writeln!(out, "{summary}").map_err(failure),
    }
}

/// A server that cannot be asked, or a secret that cannot be had to ask it.
pub(crate) fn unavailable(error: ApiError) -> Failed {
    match error {
        ApiError::Secret(_) => usage(error),
        _ => Failed(UNAVAILABLE, error.into()),
    }
}
