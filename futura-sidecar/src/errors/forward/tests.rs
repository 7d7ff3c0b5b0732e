use std::{fs, sync::Arc};

use futura_metrics::{Metrics, specs::errors::DropReason};
use http::{HeaderMap, StatusCode};
use tempfile::{TempDir, tempdir};
use tokio::time::{Duration, Instant, advance};

use super::{
    Forwarder, LastFailure,
    sender::{Attempt, Outcome, judge},
    target::WINDOW,
};
use crate::{
    errors::{
        Upstream,
        limits::Paused,
        metrics::ErrorsMetrics,
        reports::Discards,
        spool::{Entry, Spool, SpoolLimits},
    },
    network::Network,
};

/// More than the longest pause.
const LONG: Duration = Duration::from_secs(3600);

/// A forwarder that is told what became of its deliveries, with this many envelopes in its spool.
async fn forwarder(envelopes: usize) -> (TempDir, Forwarder) {
    let folder = tempdir().expect("a folder");
    let metrics = ErrorsMetrics::register(&Metrics::new()).expect("free names");
    let limits = SpoolLimits { envelopes: 100, bytes: 10_000 };
    let spool = Arc::new(Spool::open(folder.path(), limits, metrics.clone()).expect("a spool"));
    for _ in 0..envelopes {
        spool.put("error", None, b"{}\n{\"type\":\"event\"}\n{}\n".to_vec()).await.expect("room");
    }
    let upstream = Upstream("http://public@127.0.0.1:1/42".parse().expect("a DSN"));
    let failure = LastFailure::default();
    let network = Network::system();
    let upstreams = [(upstream, Paused::default())];
    (folder, Forwarder::new(spool, upstreams, &network, metrics, failure, Discards::default()).expect("a client"))
}

fn next(forwarder: &Forwarder) -> Option<Entry> {
    forwarder.next(Instant::now()).map(|(entry, _)| entry)
}

/// An attempt that begins and ends now.
fn attempt(entry: Entry, outcome: Outcome) -> Attempt {
    Attempt { entry, target: 0, began: Instant::now(), outcome }
}

fn outcome(status: StatusCode) -> Outcome {
    judge(status, HeaderMap::new())
}

/// The envelopes in turn, by their place at the start, when the first always ends so and all others are delivered.
async fn order(forwarder: &mut Forwarder, first: fn() -> Outcome) -> Vec<usize> {
    let (mut order, mut known) = (Vec::new(), forwarder.spool.entries());
    while forwarder.spool.size().0 > 0 {
        let Some(entry) = next(forwarder) else {
            advance(LONG).await;
            continue;
        };
        let place = known.iter().position(|other| *other == entry).unwrap_or_else(|| {
            known.push(entry);
            known.len() - 1
        });
        order.push(place);
        let outcome = if place == 0 { first() } else { outcome(StatusCode::OK) };
        forwarder.conclude(attempt(entry, outcome)).await;
        assert!(order.len() < 1000, "it never ends: {order:?}");
        // Envelopes go on arriving, one at a time.
        if forwarder.spool.size().0 == 1 && place == 0 {
            forwarder.spool.put("error", None, b"{}".to_vec()).await.expect("room");
        }
    }
    order
}

#[tokio::test(start_paused = true)]
async fn an_envelope_that_always_fails_holds_nobody_up_and_is_buried() {
    let fails: [(fn() -> Outcome, DropReason); 4] = [
        (|| outcome(StatusCode::INTERNAL_SERVER_ERROR), DropReason::Undeliverable),
        (|| outcome(StatusCode::FORBIDDEN), DropReason::Undeliverable),
        (|| Outcome::Failed(None, "no answer within 30s".to_owned()), DropReason::Undeliverable),
        (|| Outcome::Unread("EIO".to_owned()), DropReason::SpoolError),
    ];
    for (fail, reason) in fails {
        let (folder, mut forwarder) = forwarder(3).await;
        let order = order(&mut forwarder, fail).await;
        assert_eq!(order[..4], [0, 1, 2, 0], "{order:?}");
        let tries = order.iter().filter(|place| **place == 0).count();
        assert_eq!(tries, 11, "{order:?}");
        assert_eq!(forwarder.metrics.dropped(reason).get(), 1);
        let name = format!("dead/{:020}-{}.envelope", 0, reason.as_str());
        assert!(folder.path().join(name).exists());
    }
}

#[tokio::test(start_paused = true)]
async fn an_upstream_that_takes_nothing_buries_nothing() {
    let (folder, mut forwarder) = forwarder(3).await;
    for number in 0..200 {
        while next(&forwarder).is_none() {
            assert_eq!(forwarder.spool.size().0, 3, "after {number} failures");
            advance(LONG).await;
        }
        let statuses = [401, 403, 404, 405, 500, 502, 503];
        let status = StatusCode::from_u16(statuses[number % statuses.len()]).expect("a status");
        let entry = next(&forwarder).expect("an envelope");
        forwarder.conclude(attempt(entry, outcome(status))).await;
    }
    assert_eq!(forwarder.spool.size().0, 3);
    assert_eq!(fs::read_dir(folder.path().join("dead")).expect("a folder").count(), 0);
}

#[tokio::test(start_paused = true)]
async fn more_go_at_once_as_they_are_delivered_and_one_alone_after_a_failure() {
    let (_folder, mut forwarder) = forwarder(90).await;
    let send = |forwarder: &mut Forwarder| {
        let mut round = Vec::new();
        while let Some(entry) = next(forwarder) {
            forwarder.targets[0].sending.insert(entry.number, 1);
            round.push(entry);
        }
        round
    };
    let mut rounds = Vec::new();
    for _ in 0..5 {
        let round = send(&mut forwarder);
        rounds.push(round.len());
        for entry in round {
            forwarder.conclude(attempt(entry, outcome(StatusCode::OK))).await;
        }
    }
    assert_eq!(rounds, [1, 2, 8, WINDOW, WINDOW]);
    // All that were on their way fail for one cause, which is one failure.
    let round: Vec<_> = send(&mut forwarder)
        .into_iter()
        .map(|entry| attempt(entry, Outcome::Unreachable("refused".to_owned())))
        .collect();
    for attempt in round {
        advance(Duration::from_millis(1)).await;
        forwarder.conclude(attempt).await;
    }
    assert_eq!(next(&forwarder), None);
    advance(Duration::from_secs(1)).await;
    assert_eq!(send(&mut forwarder).len(), 1);
    assert_eq!(forwarder.spool.size().0, 90 - rounds.iter().sum::<usize>());
}

#[tokio::test(start_paused = true)]
async fn what_is_wrong_is_news_once() {
    let failure = LastFailure::default();
    let told = ["a", "a", "b", "a"].map(|message| failure.set(Some(message.to_owned())));
    assert_eq!(told, [true, false, true, true]);
    assert_eq!((failure.set(None), failure.set(None)), (true, false));
}

#[test]
fn only_what_is_wrong_with_an_envelope_is_refused() {
    for status in [400, 413, 415, 422] {
        assert!(matches!(outcome(StatusCode::from_u16(status).expect("a status")), Outcome::Refused(_)), "{status}");
    }
    for status in [301, 401, 402, 403, 404, 405, 407, 408, 410, 500, 503] {
        assert!(matches!(outcome(StatusCode::from_u16(status).expect("a status")), Outcome::Failed(..)), "{status}");
    }
    let Outcome::Failed(_, message) = outcome(StatusCode::FORBIDDEN) else { panic!("held") };
    assert_eq!(message, "the upstream answered 403 Forbidden: see to the DSN in `errors.upstream`");
}
