use std::{fs, sync::Arc};

use futura_metrics::{Metrics, specs::errors::DropReason};
use http::{HeaderMap, StatusCode};
use tempfile::{TempDir, tempdir};
use tokio::time::{Duration, Instant, advance};

use super::{Forwarder, LastFailure, Outcome, judge};
use crate::{
    errors::{
        Upstream,
        limits::Paused,
        metrics::ErrorsMetrics,
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
        let mut draft = spool.begin("error").await.expect("room");
        draft.write(b"{}\n{\"type\":\"event\"}\n{}\n").await.expect("room");
        draft.commit().await.expect("a disk");
    }
    let upstream = Upstream("http://public@127.0.0.1:1/42".parse().expect("a DSN"));
    let failure = LastFailure::default();
    let network = Network::system();
    (folder, Forwarder::new(spool, upstream, &network, metrics, failure, Paused::default()).expect("a client"))
}

fn next(forwarder: &Forwarder) -> Option<Entry> {
    forwarder.spool.next(|entry| forwarder.limits.rank(entry, Instant::now()))
}

fn outcome(status: StatusCode) -> Outcome {
    judge(status, HeaderMap::new())
}

/// The numbers of the envelopes in turn, when the first always ends so and all others are delivered.
async fn order(forwarder: &mut Forwarder, first: fn() -> Outcome) -> Vec<u64> {
    let mut order = Vec::new();
    while forwarder.spool.size().0 > 0 {
        let Some(entry) = next(forwarder) else {
            advance(LONG).await;
            continue;
        };
        order.push(entry.number);
        let outcome = if entry.number == 0 { first() } else { outcome(StatusCode::OK) };
        forwarder.conclude(entry, outcome).await;
        assert!(order.len() < 1000, "it never ends: {order:?}");
        // Envelopes go on arriving, one at a time.
        if forwarder.spool.size().0 == 1 && entry.number == 0 {
            let mut draft = forwarder.spool.begin("error").await.expect("room");
            draft.write(b"{}").await.expect("room");
            draft.commit().await.expect("a disk");
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
        let tries = order.iter().filter(|number| **number == 0).count();
        assert_eq!(tries, 11, "{order:?}");
        assert_eq!(forwarder.metrics.dropped(reason).get(), 1);
        assert!(folder.path().join("dead/00000000000000000000.envelope").exists());
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
        forwarder.conclude(next(&forwarder).expect("an envelope"), outcome(status)).await;
    }
    assert_eq!(forwarder.spool.size().0, 3);
    assert_eq!(fs::read_dir(folder.path().join("dead")).expect("a folder").count(), 0);
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
