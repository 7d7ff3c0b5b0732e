//! The command `drill`: an alert sent through Alertmanager, to see that its message arrives.

use std::{
    future::pending,
    io::{self, BufRead, IsTerminal, Write},
    net::SocketAddr,
    thread,
    time::Duration,
};

use anyhow::{Context, Error, anyhow};
use clap::Args;
use futura_alert_rules::{Alert, Site, rules};
use futura_dashboards::generate::SiteArgs;
use futura_metrics::shutdown;
use futura_sidecar::{Drill, DrillConfig, DrillError, Receiver, Witness, Word, parse_duration};
use tokio::{select, sync::mpsc};
use url::Url;

use crate::{
    Failed, INTERRUPTED,
    access::{AccessArgs, parse_url},
    ask, failure, usage,
    verify::unavailable,
};

/// The end of the help.
pub(crate) const EXAMPLES: &str = "\
Examples:
  futura-sidecar drill HighErrorRate --alertmanager http://localhost:9093
      ask a person whether the messages arrived
  futura-sidecar drill HighErrorRate --alertmanager http://localhost:9093 --receiver-listen 127.0.0.1:9471
      wait for a receiver of Alertmanager that points at http://127.0.0.1:9471/
  futura-sidecar drill --all --alertmanager https://alerts.example.org --label cluster=production
      every alert, as each quarter

Exit codes:
  0 when of every alert a message arrived, and one of its end, 1 when not, 64 for a wrong command line, 69 when Alertmanager cannot be asked,
  130 after Ctrl-C, when the alert is resolved";

/// How long Alertmanager may take to answer.
const TIMEOUT: Duration = Duration::from_secs(10);

#[derive(Args)]
pub(crate) struct DrillArgs {
    /// The alerts, by name.
    #[arg(value_name = "ALERT", required_unless_present = "all")]
    alerts: Vec<String>,
    /// Every alert, one after the other.
    #[arg(long, conflicts_with = "alerts")]
    all: bool,
    /// Where Alertmanager is.
    #[arg(long, value_name = "URL", value_parser = parse_url)]
    alertmanager: Url,
    /// Where to listen for the messages, as a webhook or like Slack; without it a person is asked whether they arrived.
    #[arg(long, value_name = "ADDRESS")]
    receiver_listen: Option<SocketAddr>,
    /// How long each message may take: that of the end comes after Alertmanager's `group_interval`, 5m by default.
    #[arg(long, value_name = "DURATION", default_value = "6m", value_parser = parse_duration)]
    wait: Duration,
    /// A label that Prometheus adds to every alert (`external_labels`), such as `cluster=production`. May be given several times.
    #[arg(long = "label", value_name = "NAME=VALUE", value_parser = parse_label)]
    labels: Vec<(String, String)>,
    /// Where Prometheus is, as messages link to it.
    #[arg(long, value_name = "URL", default_value = "http://localhost:9090", value_parser = parse_url)]
    prometheus: Url,
    #[command(flatten)]
    access: AccessArgs,
    #[command(flatten)]
    site: SiteArgs,
}

/// Drills the alerts and tells how long each message took.
pub(crate) fn run(args: DrillArgs) -> Result<(), Failed> {
    let site = args.site.site().map_err(usage)?;
    let alerts = chosen(&args.alerts, args.all, &site).map_err(usage)?;
    if args.receiver_listen.is_none() && !io::stdin().is_terminal() {
        let missing = "nobody can be asked, as standard input is no terminal: give --receiver-listen ADDRESS";
        return Err(usage(anyhow!(missing)));
    }
    let config =
        DrillConfig { site, wait: args.wait, labels: args.labels.into_iter().collect(), prometheus: args.prometheus };
    let api = args.access.config(args.alertmanager, TIMEOUT);
    ask(async {
        let (witness, receiving) = match args.receiver_listen {
            None => (Witness::Operator(words()), None),
            Some(address) => {
                let receiver = Receiver::bind(address).await.map_err(failure)?;
                tell(&format!("point a receiver of Alertmanager at {}", receiver.url()));
                let (messages, receiving) = receiver.run();
                (Witness::Receiver(messages), Some(receiving))
            }
        };
        let receiving = async {
            match receiving {
                Some(receiving) => receiving.await,
                None => pending().await,
            }
        };
        let drilling = async {
            let drill = Drill::begin(api, config, witness).await.map_err(failed)?;
            drill_all(drill, &alerts).await
        };
        select! {
            drilled = drilling => drilled,
            () = receiving => Err(failure(anyhow!("the receiver ended"))),
        }
    })
}

/// The alerts of these names, or all.
fn chosen(names: &[String], all: bool, site: &Site) -> Result<Vec<Alert>, Error> {
    let alerts = rules::alerts(site);
    if all {
        return Ok(alerts.collect());
    }
    let alerts: Vec<_> = alerts.collect();
    if let Some(unknown) = names.iter().find(|name| !alerts.iter().any(|alert| alert.name == **name)) {
        let known: Vec<_> = alerts.iter().map(|alert| alert.name).collect();
        return Err(anyhow!("no alert is called `{unknown}`, but {}", known.join(", ")));
    }
    Ok(alerts.into_iter().filter(|alert| names.iter().any(|name| name == alert.name)).collect())
}

async fn drill_all(mut drill: Drill, alerts: &[Alert]) -> Result<(), Failed> {
    let mut faults = 0;
    for alert in alerts {
        let sent = drill.alert(alert).map_err(failed)?;
        let drilled = select! {
            drilled = drill.run(&sent, tell) => Some(drilled),
            () = shutdown::signal() => None,
        };
        match drilled {
            None => {
                drill.give_up(&sent).await.map_err(failed)?;
                return Err(Failed(INTERRUPTED, anyhow!("interrupted: alert `{}` is resolved", alert.name)));
            }
            // That one goes on for real is no reason to leave the others out.
            Some(Err(error @ DrillError::Fires(_))) => {
                faults += 1;
                writeln!(io::stdout(), "{error}").map_err(failure)?;
            }
            Some(Err(error)) => return Err(failed(error)),
            Some(Ok(drilled)) => {
                faults += usize::from(!drilled.is_well());
                writeln!(io::stdout(), "{drilled}").map_err(failure)?;
            }
        }
    }
    if faults == 0 { Ok(()) } else { Err(failure(anyhow!("{faults} of {} alerts did not come through", alerts.len()))) }
}

/// What a person says on standard input, a line each.
fn words() -> mpsc::Receiver<Word> {
    let (sender, words) = mpsc::channel(1);
    // A read of standard input cannot be given up, so its thread ends with the process.
    thread::spawn(move || {
        for line in io::stdin().lock().lines().map_while(Result::ok) {
            let word = match line.trim().to_ascii_lowercase().as_str() {
                "y" | "yes" => Word::Came,
                "n" | "no" => Word::Missing,
                _ => {
                    tell("answer y or n");
                    continue;
                }
            };
            if sender.blocking_send(word).is_err() {
                break;
            }
        }
    });
    words
}

fn tell(text: &str) {
    // Nothing is left to tell it to if standard error is closed.
    let _ = writeln!(io::stderr(), "{text}");
}

fn parse_label(text: &str) -> Result<(String, String), String> {
    let label = text.split_once('=').filter(|(name, _)| !name.is_empty());
    let (name, value) = label
        .with_context(|| format!("`{text}` is no label such as `cluster=production`"))
        .map_err(|error| error.to_string())?;
    Ok((name.to_owned(), value.to_owned()))
}

fn failed(error: DrillError) -> Failed {
    match error {
        DrillError::Api(error) => unavailable(error),
        error => failure(error),
    }
}
