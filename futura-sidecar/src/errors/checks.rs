//! Failing checks as events: one when a check goes down, and a note in the same issue when it is up again.
//!
//! An event's id is made of the check and of when it began to fail, so that a restart tells nothing twice.

use std::{collections::HashMap, future::Future, pin::pin, sync::Arc, time::Duration};

use serde_json::{Value, json};
use time::{UtcDateTime, format_description::well_known::Rfc3339};
use tokio::{
    select,
    time::{MissedTickBehavior, interval},
};

use super::{envelope::derived_id, receive::Receiver};
use crate::{
    board::Board,
    checks::Check,
    history::{FailedRun, State},
};

/// How often is looked for what has changed.
const INTERVAL: Duration = Duration::from_secs(1);

/// What a check counts as, and since when its runs end so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Mark {
    up: bool,
    since_ms: u64,
}

/// Reports until `closed`. What finds no room in the spool is reported at a later look.
pub(super) async fn run(board: Arc<Board>, receiver: Arc<Receiver>, closed: impl Future<Output = ()>) {
    let (mut closed, mut ticks, mut told) = (pin!(closed), interval(INTERVAL), HashMap::new());
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        select! {
            () = &mut closed => return,
            _ = ticks.tick() => {}
        }
        look(&board, &receiver, &mut told).await;
    }
}

async fn look(board: &Board, receiver: &Receiver, told: &mut HashMap<String, Mark>) {
    let checks = board.checks();
    told.retain(|name, _| checks.iter().any(|check| check.name == *name));
    for check in checks {
        let Some(mark) = Mark::of(&check) else { continue };
        let before = told.get(&check.name).copied();
        let is_news = match before {
            // A check that is up from the start is what everybody expects.
            None => !mark.up,
            Some(before) => before.up != mark.up || (!mark.up && before.since_ms != mark.since_ms),
        };
        if is_news {
            let event = check.history.with(|state| event(&check, mark, state));
            if let Err(error) = receiver.take_event(&event).await {
                tracing::debug!(check = %check.name, %error, "a check cannot be reported yet");
                continue;
            }
        }
        told.insert(check.name.clone(), mark);
    }
}

// === impl Mark ===

impl Mark {
    /// None where the check has not run, or is not to be looked at now.
    fn of(check: &Check) -> Option<Self> {
        if check.suspension().is_some() {
            return None;
        }
        let up = check.is_up()?;
        Some(Self { up, since_ms: check.history.with(|state| state.since_ms) })
    }
}

fn event(check: &Check, mark: Mark, history: &State) -> Value {
    let Mark { up, since_ms } = mark;
    let name = &check.name;
    let failed = history.last_failure.as_ref();
    let text = match failed.filter(|_| !up) {
        Some(FailedRun { failure, .. }) => {
            format!("the check `{name}` is down: {}: {}", failure.reason.as_str(), failure.message)
        }
        None if up => format!("resolved: the check `{name}` is up again"),
        None => format!("the check `{name}` is down"),
    };
    let phases: serde_json::Map<_, _> = failed
        .into_iter()
        .flat_map(|failed| &failed.phases)
        .map(|(phase, took)| (format!("{}_seconds", phase.as_str()), json!(took.as_secs_f64())))
        .collect();
    let began = UtcDateTime::from_unix_timestamp(i64::try_from(since_ms / 1000).unwrap_or(i64::MAX));
    let began = began.ok().and_then(|began| began.format(&Rfc3339).ok());
    json!({
        "event_id": derived_id(&json!(["futura-check", name, since_ms, up])).simple(),
        "timestamp": began,
        "platform": "other",
        "logger": "futura-sidecar",
        "level": if up { "info" } else { "error" },
        "logentry": { "formatted": text },
        "fingerprint": ["futura-check", name],
        "tags": {
            "check": name,
            "check.kind": check.kind().as_str(),
            "check.status": if up { "up" } else { "down" },
            "check.reason": failed.map(|failed| failed.failure.reason.as_str()),
        },
        "extra": { "target": check.target(), "phases": phases },
    })
}
