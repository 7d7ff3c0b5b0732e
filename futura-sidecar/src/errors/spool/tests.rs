use std::{fs, os::unix::fs::PermissionsExt, path::Path, sync::Arc};

use futura_metrics::Metrics;
use futures_util::FutureExt;
use tempfile::{TempDir, tempdir};
use tokio::task::spawn_blocking;

use super::{Entry, Spool, SpoolError, SpoolLimits};
use crate::errors::{envelope::ERROR, metrics::ErrorsMetrics};

const LIMITS: SpoolLimits = SpoolLimits { envelopes: 3, bytes: 100 };

fn open(folder: &Path) -> Result<Arc<Spool>, SpoolError> {
    let metrics = ErrorsMetrics::register(&Metrics::new()).expect("free names");
    Spool::open(folder, LIMITS, metrics).map(Arc::new)
}

fn spool() -> (TempDir, Arc<Spool>) {
    let folder = tempdir().expect("a folder");
    let spool = open(folder.path()).expect("a spool");
    (folder, spool)
}

async fn put(spool: &Arc<Spool>, text: &str) -> Result<(), SpoolError> {
    put_as(spool, ERROR, text).await
}

async fn put_as(spool: &Arc<Spool>, category: &'static str, text: &str) -> Result<(), SpoolError> {
    let mut draft = spool.begin(category).await?;
    draft.write(text.as_bytes()).await?;
    draft.commit().await
}

fn text(spool: &Spool, entry: Entry) -> String {
    fs::read_to_string(spool.file(entry)).expect("an envelope")
}

/// Takes out everything, oldest first.
fn drain(spool: &Spool) -> Vec<String> {
    let mut texts = Vec::new();
    while let Some(entry) = spool.next(|_| Some(0)) {
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

#[tokio::test]
async fn envelopes_come_out_in_the_order_of_their_arrival_also_after_a_restart() {
    let (folder, spool) = spool();
    put(&spool, "{}\nfirst").await.expect("room");
    put(&spool, "{}\nsecond").await.expect("room");
    drop(spool);
    let spool = open(folder.path()).expect("the spool again");
    put(&spool, "{}\nthird").await.expect("room");
    assert_eq!(spool.size(), (3, 8 + 9 + 8));
    assert_eq!(drain(&spool), ["{}\nfirst", "{}\nsecond", "{}\nthird"]);
    assert_eq!(spool.size(), (0, 0));
    assert_eq!(names(folder.path()), ["dead", "lock"]);
}

#[tokio::test]
async fn a_crash_leaves_whole_envelopes_and_nothing_else() {
    let (folder, spool) = spool();
    put(&spool, "{}\nwhole").await.expect("room");
    let mut torn = spool.begin(ERROR).await.expect("room");
    torn.write(b"{}\nto").await.expect("room");
    // A process that is killed runs no destructor, and lets go of its lock.
    std::mem::forget(torn);
    let crashed = folder.path().join("crashed");
    fs::create_dir(&crashed).expect("a folder");
    for name in names(folder.path()).iter().filter(|name| name.ends_with(".tmp") || name.ends_with(".envelope")) {
        fs::copy(folder.path().join(name), crashed.join(name)).expect("a copy");
    }
    assert_eq!(names(&crashed).len(), 2);
    let spool = open(&crashed).expect("the spool of the crash");
    assert_eq!(spool.size(), (1, 8));
    put(&spool, "{}\nafter").await.expect("room");
    assert_eq!(drain(&spool), ["{}\nwhole", "{}\nafter"]);
    assert_eq!(names(&crashed), ["dead", "lock"]);
}

#[tokio::test]
async fn a_draft_that_is_given_up_leaves_no_trace() {
    let (folder, spool) = spool();
    let mut draft = spool.begin(ERROR).await.expect("room");
    draft.write(b"{}\n").await.expect("room");
    assert_eq!(names(folder.path()).len(), 3);
    drop(draft);
    assert_eq!(names(folder.path()), ["dead", "lock"]);
    assert_eq!(spool.size(), (0, 0));
    assert_eq!(spool.next(|_| Some(0)), None);
}

#[tokio::test]
async fn a_full_spool_takes_no_more_until_there_is_room() {
    let (_folder, spool) = spool();
    for number in 0..3 {
        put(&spool, &format!("{{}}\n{number}")).await.expect("room");
    }
    assert!(matches!(put(&spool, "{}").await, Err(SpoolError::Full)));
    let oldest = spool.next(|_| Some(0)).expect("an envelope");
    spool.remove(oldest);
    // What is being written counts, or many at once would go past the limit.
    let mut large = spool.begin(ERROR).await.expect("room");
    large.write(&[b' '; 90]).await.expect("room");
    assert!(matches!(large.write(b"more").await, Err(SpoolError::Full)));
    assert!(matches!(spool.begin(ERROR).await.map(drop), Err(SpoolError::Full)));
    drop(large);
    put(&spool, "{}\nfits").await.expect("room");
    assert_eq!(spool.size().0, 3);
}

#[tokio::test]
async fn room_is_reserved_for_errors_in_count_and_in_bytes() {
    let folder = tempdir().expect("a folder");
    let metrics = ErrorsMetrics::register(&Metrics::new()).expect("free names");
    let limits = SpoolLimits { envelopes: 8, bytes: 100 };
    let spool = Arc::new(Spool::open(folder.path(), limits, metrics).expect("a spool"));
    for _ in 0..6 {
        put_as(&spool, "transaction", "{}").await.expect("room");
    }
    assert!(matches!(put_as(&spool, "session", "{}").await, Err(SpoolError::Full)));
    for _ in 0..2 {
        put(&spool, "{}").await.expect("the reserve");
    }
    assert!(matches!(put(&spool, "{}").await, Err(SpoolError::Full)));
    assert_eq!(drain(&spool).len(), 8);
    let mut large = spool.begin("transaction").await.expect("room");
    large.write(&[b' '; 75]).await.expect("room");
    assert!(matches!(large.write(b"x").await, Err(SpoolError::Full)));
    put(&spool, "{} and twenty-two more bytes").await.expect_err("more than there is");
    put(&spool, "{} and twenty-two more..").await.expect("the reserve");
    drop(large);
    put_as(&spool, "transaction", &" ".repeat(75)).await.expect("room again");
}

#[test]
fn one_envelope_is_room_for_any_category() {
    assert_eq!(SpoolLimits { envelopes: 1, bytes: 1 }.without_reserve().envelopes, 1);
}

#[tokio::test]
async fn what_is_of_lower_rank_comes_first() {
    let (_folder, spool) = spool();
    for text in ["{}\n0", "{}\n1", "{}\n2"] {
        put(&spool, text).await.expect("room");
    }
    let number = |ranks: [Option<u32>; 3]| spool.next(|entry| ranks[entry.number as usize]).map(|entry| entry.number);
    assert_eq!(number([Some(2), Some(1), Some(1)]), Some(1));
    assert_eq!(number([Some(1), None, Some(0)]), Some(2));
    assert_eq!(number([None; 3]), None);
}

#[tokio::test]
async fn files_are_opened_off_the_runtime_and_a_draft_nobody_waits_for_leaves_no_trace() {
    let (folder, spool) = spool();
    // Opened on this thread, it would be there at the first poll.
    assert!(spool.begin(ERROR).now_or_never().is_none());
    let left = Arc::clone(&spool);
    let gone = spawn_blocking(move || {
        while left.lock().all.envelopes > 0 {
            std::thread::yield_now();
        }
    });
    tokio::time::timeout(std::time::Duration::from_secs(30), gone).await.expect("it is given up").expect("no panic");
    assert_eq!(names(folder.path()), ["dead", "lock"]);
}

#[tokio::test]
async fn the_oldest_of_an_allowed_category_is_next() {
    let (folder, spool) = spool();
    for category in ["transaction", "error", "error"] {
        let item = if category == ERROR { "event" } else { category };
        put_as(&spool, category, &format!("{{}}\n{{\"type\":\"{item}\"}}\n")).await.expect("room");
    }
    let (any, error) = (spool.next(|_| Some(0)), spool.next(|entry| (entry.category == "error").then_some(0)));
    assert_eq!((any.map(|entry| entry.number), error.map(|entry| entry.number)), (Some(0), Some(1)));
    assert_eq!(spool.next(|entry| (entry.category == "session").then_some(0)), None);
    drop(spool);
    assert_eq!(
        open(folder.path()).expect("the spool again").next(|entry| (entry.category == "error").then_some(0)),
        error
    );
}

#[tokio::test]
async fn dead_letters_are_kept_within_the_limits() {
    let (folder, spool) = spool();
    for number in 0..5 {
        put(&spool, &format!("{{}}\n{number}")).await.expect("room");
        spool.bury(spool.next(|_| Some(0)).expect("an envelope"));
    }
    assert_eq!(spool.size(), (0, 0));
    // What made room is counted, for nobody else would know of it.
    assert_eq!(spool.metrics.evicted.get(), 2);
    let dead = folder.path().join("dead");
    assert_eq!(
        names(&dead),
        ["00000000000000000002.envelope", "00000000000000000003.envelope", "00000000000000000004.envelope"]
    );
    drop(spool);
    // Numbers go on after a restart, so that nothing is written over.
    let spool = open(folder.path()).expect("the spool again");
    put(&spool, "{}\nnew").await.expect("room");
    spool.bury(spool.next(|_| Some(0)).expect("an envelope"));
    assert_eq!(names(&dead).last().map(String::as_str), Some("00000000000000000005.envelope"));
    assert_eq!(names(&dead).len(), 3);
}

#[tokio::test]
async fn a_spool_is_for_one_process_and_its_owner() {
    let (folder, spool) = spool();
    assert!(matches!(open(folder.path()).map(drop), Err(SpoolError::InUse { .. })));
    put(&spool, "{}").await.expect("room");
    let mode = |path: &Path| fs::metadata(path).expect("a file").permissions().mode() & 0o777;
    assert_eq!(mode(&folder.path().join("dead")), 0o700);
    assert_eq!(mode(&spool.file(spool.next(|_| Some(0)).expect("an envelope"))), 0o600);
    let blocked = folder.path().join("file");
    fs::write(&blocked, "").expect("a file");
    let error = open(&blocked).map(drop).expect_err("no folder");
    assert!(crate::chain(&error).contains("file` cannot be used: "), "{}", crate::chain(&error));
}

#[tokio::test]
async fn files_of_others_are_left_alone() {
    let folder = tempdir().expect("a folder");
    fs::write(folder.path().join("notes.txt"), "mine").expect("a file");
    fs::write(folder.path().join("x.envelope"), "not ours").expect("a file");
    let spool = open(folder.path()).expect("a spool");
    assert_eq!(spool.size(), (0, 0));
    assert_eq!(names(folder.path()), ["dead", "lock", "notes.txt", "x.envelope"]);
}
