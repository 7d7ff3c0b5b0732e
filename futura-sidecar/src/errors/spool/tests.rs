use std::{fs, os::unix::fs::PermissionsExt, path::Path, sync::Arc};

use futura_metrics::{Metrics, specs::errors::DropReason};
use futures_util::future::join_all;
use tempfile::{TempDir, tempdir};
use uuid::Uuid;

use super::{Entry, Spool, SpoolError, SpoolLimits, Taken, segment::HEAD};
use crate::errors::{envelope::ERROR, metrics::ErrorsMetrics};

const LIMITS: SpoolLimits = SpoolLimits { envelopes: 3, bytes: 100 + 3 * HEAD };

fn open_with(folder: &Path, limits: SpoolLimits) -> Result<Arc<Spool>, SpoolError> {
    let metrics = ErrorsMetrics::register(&Metrics::new()).expect("free names");
    Spool::open(folder, limits, metrics).map(Arc::new)
}

fn open(folder: &Path) -> Result<Arc<Spool>, SpoolError> {
    open_with(folder, LIMITS)
}

fn spool() -> (TempDir, Arc<Spool>) {
    let folder = tempdir().expect("a folder");
    let spool = open(folder.path()).expect("a spool");
    (folder, spool)
}

async fn put(spool: &Spool, text: &str) -> Result<Taken, SpoolError> {
    put_as(spool, ERROR, None, text).await
}

async fn put_as(spool: &Spool, category: &'static str, id: Option<Uuid>, text: &str) -> Result<Taken, SpoolError> {
    spool.put(category, id, text.as_bytes().to_vec()).await
}

/// Puts the event of an id.
async fn send(spool: &Spool, id: u128) -> Taken {
    let envelope = format!("{{\"event_id\":\"{id:032x}\"}}\n{{\"type\":\"event\"}}\n{{}}");
    put_as(spool, ERROR, Some(Uuid::from_u128(id)), &envelope).await.expect("room")
}

fn next(spool: &Spool) -> Option<Entry> {
    spool.next(|_| true, |_| Some(0))
}

fn text(spool: &Spool, entry: Entry) -> String {
    String::from_utf8(spool.read(entry).expect("an envelope")).expect("text")
}

/// Takes out everything, oldest first.
fn drain(spool: &Spool) -> Vec<String> {
    let mut texts = Vec::new();
    while let Some(entry) = next(spool) {
        texts.push(text(spool, entry));
        spool.remove(entry);
    }
    texts
}

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).expect("a folder");
    let mut names: Vec<_> =
        entries.map(|entry| entry.expect("an entry").file_name().into_string().expect("text")).collect();
    names.sort();
    names
}

/// What a spool leaves that is empty.
const EMPTY: [&str; 4] = ["dead", "incoming", "lock", "recent"];

/// Copies what a process leaves that is killed now.
fn crash(folder: &Path) -> TempDir {
    let crashed = tempdir().expect("a folder");
    for name in names(folder).iter().filter(|name| !["dead", "incoming"].contains(&name.as_str())) {
        fs::copy(folder.join(name), crashed.path().join(name)).expect("a copy");
    }
    crashed
}

#[tokio::test]
async fn envelopes_come_out_in_the_order_of_their_arrival_also_after_a_restart() {
    let (folder, spool) = spool();
    put(&spool, "{}\nfirst").await.expect("room");
    put(&spool, "{}\nsecond").await.expect("room");
    drop(spool);
    let spool = open(folder.path()).expect("the spool again");
    put(&spool, "{}\nthird").await.expect("room");
    assert_eq!(spool.size(), (3, 8 + 9 + 8 + 3 * HEAD));
    // The category of what was read again is that of its text.
    assert_eq!(drain(&spool), ["{}\nthird", "{}\nfirst", "{}\nsecond"]);
    assert_eq!(spool.size(), (0, 0));
    assert_eq!(names(folder.path()), EMPTY);
}

#[tokio::test]
async fn a_crash_leaves_what_was_acknowledged_and_nothing_that_was_delivered() {
    let limits = SpoolLimits { envelopes: 100, bytes: 2_000_000 };
    let folder = tempdir().expect("a folder");
    let spool = open_with(folder.path(), limits).expect("a spool");
    for text in ["first", "second", "third"] {
        put(&spool, text).await.expect("room");
    }
    let large = "x".repeat(600_000);
    put(&spool, &large).await.expect("room");
    spool.remove(next(&spool).expect("the first"));
    let crashed = crash(folder.path());
    let again = open_with(crashed.path(), limits).expect("the spool of the crash");
    assert_eq!(drain(&again), ["second", "third", &large]);
    assert_eq!(names(crashed.path()), EMPTY);
}

#[tokio::test]
async fn what_a_crash_tore_off_costs_nothing_else() {
    let (folder, spool) = spool();
    for text in ["first", "second"] {
        put(&spool, text).await.expect("room");
    }
    let name = names(folder.path()).into_iter().find(|name| name.ends_with(".segment")).expect("a segment");
    let whole = fs::read(folder.path().join(&name)).expect("a file");
    for cut in 0..=whole.len() {
        let crashed = crash(folder.path());
        fs::write(crashed.path().join(&name), &whole[..cut]).expect("a file");
        let again = open(crashed.path()).expect("the spool of the crash");
        put(&again, "after").await.expect("room");
        let record = |text: &str| HEAD as usize + text.len();
        let mut expected = vec!["after"];
        expected.extend((cut >= record("first")).then_some("first"));
        expected.extend((cut >= record("first") + record("second")).then_some("second"));
        assert_eq!(drain(&again), expected, "{cut}");
        assert_eq!(names(crashed.path()), EMPTY);
    }
}

#[tokio::test]
async fn an_event_that_comes_again_is_known_also_after_a_restart() {
    let folder = tempdir().expect("a folder");
    let limits = SpoolLimits { envelopes: 100, bytes: 1_000_000 };
    let spool = open_with(folder.path(), limits).expect("a spool");
    assert_eq!(
        (send(&spool, 1).await, send(&spool, 2).await, send(&spool, 1).await),
        (Taken::New, Taken::New, Taken::Known)
    );
    spool.remove(next(&spool).expect("the first"));
    let at_once = join_all([3, 3, 3].map(|id| send(&spool, id))).await;
    assert_eq!(at_once.iter().filter(|taken| **taken == Taken::New).count(), 1);
    drop(spool);
    let spool = open_with(folder.path(), limits).expect("the spool again");
    for id in 1..=3 {
        assert_eq!(send(&spool, id).await, Taken::Known, "{id}");
    }
    assert_eq!(drain(&spool).len(), 2);
}

#[tokio::test]
async fn many_at_once_share_a_segment() {
    let folder = tempdir().expect("a folder");
    let spool = open_with(folder.path(), SpoolLimits { envelopes: 1000, bytes: 1_000_000 }).expect("a spool");
    let texts: Vec<_> = (0..200).map(|number| format!("{{}}\n{number:03}")).collect();
    for taken in join_all(texts.iter().map(|text| put(&spool, text))).await {
        assert_eq!(taken.expect("room"), Taken::New);
    }
    assert_eq!(names(folder.path()).len(), EMPTY.len() + 1);
    let mut drained = drain(&spool);
    drained.sort();
    assert_eq!(drained, texts);
    assert_eq!(names(folder.path()), EMPTY);
}

#[tokio::test]
async fn a_full_spool_takes_no_more_until_there_is_room() {
    let (_folder, spool) = spool();
    for number in 0..3 {
        put(&spool, &format!("{{}}\n{number}")).await.expect("room");
    }
    assert!(matches!(put(&spool, "{}").await, Err(SpoolError::Full)));
    drain(&spool);
    assert!(matches!(put(&spool, &"x".repeat(101 + 2 * HEAD as usize)).await, Err(SpoolError::Full)));
    put(&spool, "{}\nfits").await.expect("room");
    assert_eq!(spool.size().0, 1);
}

#[tokio::test]
async fn others_take_no_room_that_is_reserved_for_errors() {
    let folder = tempdir().expect("a folder");
    let spool = open_with(folder.path(), SpoolLimits { envelopes: 8, bytes: 1000 }).expect("a spool");
    for _ in 0..6 {
        put_as(&spool, "transaction", None, "{}").await.expect("room");
    }
    assert!(matches!(put_as(&spool, "session", None, "{}").await, Err(SpoolError::Full)));
    for _ in 0..2 {
        put(&spool, "{}").await.expect("the reserve");
    }
    assert!(matches!(put(&spool, "{}").await, Err(SpoolError::Full)));
    assert_eq!(drain(&spool).len(), 8);
}

#[tokio::test]
async fn errors_come_first_and_what_is_of_lower_rank_before_the_rest() {
    let folder = tempdir().expect("a folder");
    let spool = open_with(folder.path(), SpoolLimits { envelopes: 8, bytes: 1000 }).expect("a spool");
    for (category, text) in [("transaction", "t"), (ERROR, "e0"), (ERROR, "e1"), (ERROR, "e2")] {
        put_as(&spool, category, None, text).await.expect("room");
    }
    let errors: Vec<_> = spool.shared.lock().queues[ERROR].numbers().collect();
    let chosen = |ranks: [Option<u32>; 3], allowed: &dyn Fn(&str) -> bool| {
        let rank =
            |entry: Entry| errors.iter().position(|number| *number == entry.number).map_or(Some(0), |at| ranks[at]);
        spool.next(allowed, rank).map(|entry| text(&spool, entry))
    };
    let any: &dyn Fn(&str) -> bool = &|_| true;
    assert_eq!(chosen([Some(2), Some(1), Some(1)], any).as_deref(), Some("e1"));
    assert_eq!(chosen([Some(1), None, Some(0)], any).as_deref(), Some("e2"));
    assert_eq!(chosen([None; 3], any).as_deref(), Some("t"));
    assert_eq!(chosen([Some(0); 3], &|category| category != ERROR).as_deref(), Some("t"));
    assert_eq!(chosen([None; 3], &|category| category == ERROR), None);
}

#[tokio::test]
async fn dead_letters_are_kept_within_the_limits() {
    let (folder, spool) = spool();
    for number in 0..5 {
        put(&spool, &format!("{{}}\n{number}")).await.expect("room");
        spool.bury(next(&spool).expect("an envelope"), DropReason::Refused).expect("a disk");
    }
    assert_eq!(spool.size(), (0, 0));
    // What made room is counted, for nobody else would know of it.
    assert_eq!(spool.shared.metrics.evicted.get(), 2);
    let dead = folder.path().join("dead");
    assert_eq!(names(&dead).len(), 3);
    let last = names(&dead).pop().expect("the last");
    assert!(last.ends_with("-refused.envelope"), "{last}");
    assert_eq!(fs::read_to_string(dead.join(&last)).expect("a file"), "{}\n4");
    drop(spool);
    // After a restart the oldest goes first too, and none takes the name of another.
    let spool = open(folder.path()).expect("the spool again");
    put(&spool, "{}\nnew").await.expect("room");
    spool.bury(next(&spool).expect("an envelope"), DropReason::Refused).expect("a disk");
    let texts: Vec<_> = names(&dead).iter().map(|name| fs::read_to_string(dead.join(name)).expect("a file")).collect();
    assert_eq!(texts, ["{}\n3", "{}\n4", "{}\nnew"]);
}

#[tokio::test]
async fn a_dead_letter_that_cannot_be_written_stays_in_the_spool() {
    let (folder, spool) = spool();
    put(&spool, "{}\nkept").await.expect("room");
    let entry = next(&spool).expect("an envelope");
    let (dead, hidden) = (folder.path().join("dead"), folder.path().join("hidden"));
    fs::rename(&dead, &hidden).expect("a folder");
    spool.bury(entry, DropReason::Refused).expect_err("no folder");
    assert_eq!(text(&spool, entry), "{}\nkept");
    fs::rename(&hidden, &dead).expect("a folder");
    spool.bury(entry, DropReason::Refused).expect("a disk");
    assert_eq!((next(&spool), names(&dead).len()), (None, 1));
}

#[tokio::test]
async fn a_dead_letter_is_no_stranger_after_a_restart_though_its_segment_is_still_there() {
    let folder = tempdir().expect("a folder");
    let limits = SpoolLimits { envelopes: 100, bytes: 1_000_000 };
    let spool = open_with(folder.path(), limits).expect("a spool");
    send(&spool, 1).await;
    send(&spool, 2).await;
    spool.bury(next(&spool).expect("the first"), DropReason::Refused).expect("a disk");
    drop(spool);
    let spool = open_with(folder.path(), limits).expect("the spool again");
    assert_eq!((send(&spool, 2).await, send(&spool, 1).await), (Taken::Known, Taken::New));
}

#[tokio::test]
async fn what_is_limited_keeps_no_segment_of_others() {
    let folder = tempdir().expect("a folder");
    let spool = open_with(folder.path(), SpoolLimits { envelopes: 100, bytes: 10_000 }).expect("a spool");
    for category in ["transaction", "session", "session"] {
        put_as(&spool, category, None, "{}").await.expect("room");
    }
    while let Some(entry) = spool.next(|category| category == "session", |_| Some(0)) {
        spool.remove(entry);
    }
    assert_eq!(spool.size(), (1, 2 + HEAD));
}

#[tokio::test]
async fn a_disk_that_fails_is_told_and_leaves_room_for_what_comes_when_it_works_again() {
    let (folder, spool) = spool();
    let hidden = folder.path().with_extension("hidden");
    fs::rename(folder.path(), &hidden).expect("a folder");
    assert!(matches!(put(&spool, "{}").await, Err(SpoolError::Io { .. })));
    assert_eq!(spool.size(), (0, 0));
    fs::rename(&hidden, folder.path()).expect("a folder");
    put(&spool, "{}\nagain").await.expect("room");
    assert_eq!(drain(&spool), ["{}\nagain"]);
}

#[tokio::test]
async fn a_spool_is_for_one_process_and_its_owner() {
    let (folder, spool) = spool();
    assert!(matches!(open(folder.path()).map(drop), Err(SpoolError::InUse { .. })));
    put(&spool, "{}").await.expect("room");
    let mode = |path: &Path| fs::metadata(path).expect("a file").permissions().mode() & 0o777;
    assert_eq!(mode(&folder.path().join("dead")), 0o700);
    for name in names(folder.path()).iter().filter(|name| !["dead", "incoming"].contains(&name.as_str())) {
        assert_eq!(mode(&folder.path().join(name)), 0o600, "{name}");
    }
    let blocked = folder.path().join("file");
    fs::write(&blocked, "").expect("a file");
    let error = open(&blocked).map(drop).expect_err("no folder");
    assert!(crate::chain(&error).contains("file` cannot be used: "), "{}", crate::chain(&error));
}

#[tokio::test]
async fn files_of_others_are_left_alone() {
    let folder = tempdir().expect("a folder");
    fs::write(folder.path().join("notes.txt"), "mine").expect("a file");
    fs::write(folder.path().join("x.segment"), "not ours").expect("a file");
    let spool = open(folder.path()).expect("a spool");
    assert_eq!(spool.size(), (0, 0));
    assert_eq!(names(folder.path()), ["dead", "incoming", "lock", "notes.txt", "recent", "x.segment"]);
}
