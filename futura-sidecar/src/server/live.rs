//! What an open page is told as it happens: a card after each run of its check, and that all of it is to be had anew once a
//! check has come, gone or changed its state.

use std::{collections::HashMap, convert::Infallible, sync::Arc, time::Duration};

use axum::response::sse::Event;
use futures_util::{Stream, StreamExt, stream};
use serde::Serialize;
use tokio::{
    sync::OwnedSemaphorePermit,
    time::{Interval, MissedTickBehavior, interval},
};

use super::{
    Status, page,
    view::{CheckView, Mark, Timestamp},
};

/// How often is looked for what has changed: more would be read by nobody.
const INTERVAL: Duration = Duration::from_secs(1);

/// What a page is about.
pub(super) enum Topic {
    Checks,
    Check(String),
    Errors,
}

/// One page that is open.
struct Feed {
    status: Arc<Status>,
    topic: Topic,
    seen: HashMap<String, Mark>,
    /// What the page of error forwarding said.
    said: Option<String>,
    ticks: Interval,
    _permit: OwnedSemaphorePermit,
}

/// A card in the place of that of the same name.
#[derive(Serialize)]
struct Card {
    name: String,
    html: String,
}

/// Tells of a topic until the sidecar ends.
pub(super) fn stream(
    status: Arc<Status>,
    topic: Topic,
    permit: OwnedSemaphorePermit,
) -> impl Stream<Item = Result<Event, Infallible>> {
    let mut ticks = interval(INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let seen = status.marks();
    let ended = status.ended();
    let feed = Feed { status, topic, seen, said: None, ticks, _permit: permit };
    let events = stream::unfold(feed, |mut feed| async {
        feed.ticks.tick().await;
        Some((stream::iter(feed.changes()), feed))
    });
    events.flatten().map(Ok).take_until(ended)
}

// === impl Feed ===

impl Feed {
    /// What is to be told since the last look.
    fn changes(&mut self) -> Vec<Event> {
        if let Topic::Errors = self.topic {
            return self.errors();
        }
        let marks = self.status.marks();
        let seen = std::mem::replace(&mut self.seen, marks);
        if let Topic::Check(name) = &self.topic {
            return if seen.get(name) == self.seen.get(name) { Vec::new() } else { vec![anew()] };
        }
        let same = |(name, mark): (&String, &Mark)| seen.get(name).is_some_and(|before| before.looks_like(mark));
        if seen.len() != self.seen.len() || !self.seen.iter().all(same) {
            return vec![anew()];
        }
        let now = Timestamp::now();
        let ran =
            self.status.board.checks().into_iter().filter(|check| seen.get(&check.name) != self.seen.get(&check.name));
        ran.filter_map(|check| {
            let html = page::card(&CheckView::new(&check, now), now);
            Event::default().event("card").json_data(Card { name: check.name.clone(), html }).ok()
        })
        .collect()
    }

    /// That what is told of error forwarding is another than before.
    fn errors(&mut self) -> Vec<Event> {
        let said = self.status.errors.as_ref().and_then(|errors| serde_json::to_string(&errors.summary()).ok());
        let before = std::mem::replace(&mut self.said, said);
        if before.is_none() || before == self.said { Vec::new() } else { vec![anew()] }
    }
}

/// Has the page fetch all of its content.
fn anew() -> Event {
    // An event without data is not dispatched.
    Event::default().event("page").data("anew")
}
