use std::{fs, sync::Arc, time::Duration};

use serde_json::Value;
use tempfile::{TempDir, tempdir};
use tokio::{task::JoinSet, time::advance};

use super::{StormConfig, Storms};

const CONFIG: StormConfig = StormConfig { first: 2, window: Duration::from_secs(60) };

fn envelope(number: u64) -> Vec<u8> {
    let event = format!("{{\"event_id\":\"{number:032x}\",\"message\":\"late\",\"extra\":{{\"order\":{number}}}}}");
    format!("{{\"event_id\":\"{number:032x}\"}}\n{{\"type\":\"event\",\"length\":{}}}\n{event}\n", event.len())
        .into_bytes()
}

fn open() -> (TempDir, Storms) {
    let folder = tempdir().expect("a folder");
    let storms = Storms::open(folder.path(), CONFIG).expect("a folder");
    (folder, storms)
}

/// What is told when windows are over: event id, order and how many.
async fn told(storms: &Storms, at_end: bool) -> Vec<(String, u64, u64)> {
    let mut all = Vec::new();
    for count in storms.over(at_end).await {
        let envelope = storms.sample(count.clone()).await.expect("a sample");
        let lines: Vec<_> = envelope.split(|byte| *byte == b'\n').collect();
        let [item, event] = [lines[1], lines[2]].map(|line| serde_json::from_slice::<Value>(line).expect("JSON"));
        assert_eq!(item["length"], lines[2].len());
        let number = |value: &Value| value.as_u64().expect("a number");
        let id = event["event_id"].as_str().expect("an id").trim_start_matches('0').to_owned();
        all.push((id, number(&event["extra"]["order"]), number(&event["extra"]["suppressed_events"])));
        storms.told(&count).await;
    }
    all
}

#[tokio::test]
async fn the_first_go_on_and_the_rest_is_one_event_with_their_number() {
    let (folder, storms) = open();
    let mut admitted = Vec::new();
    for number in 1..=7 {
        admitted.push(storms.admit([7; 16], None, &envelope(number)).await.expect("a disk"));
    }
    assert_eq!(admitted, [true, true, false, false, false, false, false]);
    // Another kind has a count of its own.
    assert!(storms.admit([8; 16], None, &envelope(8)).await.expect("a disk"));
    assert_eq!(told(&storms, true).await, [("3".to_owned(), 3, 5)]);
    assert_eq!(told(&storms, true).await, []);
    let left = fs::read_dir(folder.path().join("storms")).expect("a folder").count();
    assert_eq!(left, 1, "the counts alone");
}

#[tokio::test(start_paused = true)]
async fn a_window_that_is_over_begins_anew() {
    let (_folder, storms) = open();
    for number in 1..=3 {
        storms.admit([7; 16], None, &envelope(number)).await.expect("a disk");
    }
    assert_eq!(told(&storms, false).await, []);
    advance(CONFIG.window).await;
    assert_eq!(told(&storms, false).await, [("3".to_owned(), 3, 1)]);
    assert!(storms.admit([7; 16], None, &envelope(4)).await.expect("a disk"));
}

#[tokio::test]
async fn what_was_counted_outlives_the_process() {
    let (folder, storms) = open();
    for number in 1..=6 {
        storms.admit([7; 16], Some("42"), &envelope(number)).await.expect("a disk");
    }
    drop(storms);
    fs::write(folder.path().join("storms/torn.envelope"), "half").expect("a file");
    let storms = Storms::open(folder.path(), CONFIG).expect("a folder");
    let counts = storms.over(false).await;
    assert_eq!(counts[0].project.as_deref(), Some("42"));
    assert_eq!(told(&storms, false).await, [("3".to_owned(), 3, 4)]);
    drop(storms);
    let storms = Storms::open(folder.path(), CONFIG).expect("a folder");
    assert_eq!(told(&storms, false).await, []);
}

#[tokio::test(flavor = "multi_thread")]
async fn those_that_come_together_are_all_counted() {
    let (folder, storms) = open();
    let storms = Arc::new(storms);
    let mut tasks = JoinSet::new();
    for number in 0..200 {
        let storms = Arc::clone(&storms);
        tasks.spawn(async move { storms.admit([7; 16], None, &envelope(number)).await.expect("a disk") });
    }
    let passed = tasks.join_all().await.into_iter().filter(|passed| *passed).count();
    assert_eq!(passed, 2);
    drop(storms);
    let storms = Storms::open(folder.path(), CONFIG).expect("a folder");
    let told = told(&storms, false).await;
    assert_eq!((told.len(), told[0].2), (1, 198));
}

#[tokio::test]
async fn a_disk_that_fails_acknowledges_nothing() {
    let (folder, storms) = open();
    for number in 1..=2 {
        storms.admit([7; 16], None, &envelope(number)).await.expect("room");
    }
    fs::remove_dir_all(folder.path().join("storms")).expect("a folder");
    assert!(storms.admit([7; 16], None, &envelope(3)).await.is_err());
    fs::create_dir(folder.path().join("storms")).expect("a folder");
    assert!(!storms.admit([7; 16], None, &envelope(4)).await.expect("a disk"));
    assert_eq!(told(&storms, true).await, [("3".to_owned(), 3, 2)]);
}
