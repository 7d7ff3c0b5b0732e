use std::path::Path;

use proptest::{collection::vec, prop_assert_eq, proptest, sample::select};
use serde_json::Value;

use super::{
    event,
    positions::Identity,
    record::{Joiner, Record},
};

/// What is found in a log that comes in these pieces.
fn records(pieces: &[&[u8]]) -> Vec<Record> {
    let (mut joiner, mut found) = (Joiner::new(0), Vec::new());
    pieces.iter().for_each(|piece| joiner.feed(piece, &mut found));
    joiner.finish(&mut found);
    found
}

fn texts(log: &str) -> Vec<String> {
    records(&[log.as_bytes()]).into_iter().map(|record| record.text).collect()
}

fn event(text: &str) -> Option<Value> {
    let record = Record { offset: 7, text: text.to_owned() };
    event::of(&record, Path::new("/var/log/shop.log"), &Identity { device: 1, inode: 2 })
}

const RUST: &str = "thread 'main' panicked at src/main.rs:2:5:\nno seat is left\nnote: run with `RUST_BACKTRACE=1`\n";
const PYTHON: &str = "ERROR:shop:order failed\nTraceback (most recent call last):\n  File \"a.py\", line 1, in f\n    g()\nValueError: no seat\n";
const CHAINED: &str = "Traceback (most recent call last):\n  File \"a.py\"\nKeyError: 7\n\nDuring handling of the above exception, another exception occurred:\n\nTraceback (most recent call last):\n  File \"b.py\"\nshop.OrderError: late\n";
const JAVA: &str = "2026-11-27 19:00:00 ERROR [main] Orders - late\njava.lang.IllegalStateException: no seat\n\tat a.B.c(B.java:1)\nCaused by: java.io.IOException: gone\n\t... 3 more\n";
const GO: &str = "panic: no seat\n\ngoroutine 1 [running]:\nmain.main()\n\t/src/main.go:3 +0x1\nexit status 2\n";

#[test]
fn a_stack_trace_belongs_to_the_line_before_it() {
    for trace in [RUST, PYTHON, CHAINED, GO] {
        let log = format!("INFO started\n{trace}2026-11-27T19:00:01Z INFO next\n");
        assert_eq!(texts(&log), ["INFO started", trace.trim_end(), "2026-11-27T19:00:01Z INFO next"]);
    }
    // A line that names an error without a place is a record of its own.
    assert_eq!(texts(JAVA).len(), 2);
}

#[test]
fn what_a_container_runtime_puts_around_is_taken_off() {
    let cri = "2026-11-27T19:33:48.123456789Z stderr P ERROR half \n2026-11-27T19:33:48.123456790Z stderr F and half\n2026-11-27T19:33:49.1Z stdout F   at a frame\n";
    assert_eq!(texts(cri), ["ERROR half and half\n  at a frame"]);
    let docker = "{\"log\":\"ERROR late\\n\",\"stream\":\"stderr\",\"time\":\"2026-11-27T19:33:48Z\"}\n{\"log\":\"\\tat a frame\\n\",\"stream\":\"stderr\",\"time\":\"2026-11-27T19:33:48Z\"}\n";
    assert_eq!(texts(docker), ["ERROR late\n\tat a frame"]);
    let own = "{\"log\":\"INFO\",\"level\":\"error\"}\n";
    assert_eq!(texts(own), [own.trim_end()]);
}

#[test]
fn what_is_too_long_is_cut_and_what_follows_is_whole() {
    let found = texts(&format!("ERROR {}\nINFO next\n", "a".repeat(1_000_000)));
    assert_eq!((found[0].len(), found[1].as_str()), (64 * 1024, "INFO next"));
    let trace: String = std::iter::repeat_n("\tat a frame\n", 100_000).collect();
    let found = texts(&format!("ERROR late\n{trace}INFO next\n"));
    assert!(found[0].len() <= 128 * 1024 && found[1] == "INFO next");
}

#[test]
fn errors_are_told_from_the_rest() {
    for (line, is_error) in [
        ("2026-11-27T19:00:00Z ERROR shop: order failed", true),
        ("[error] 7#7: *1 connect() failed", true),
        ("level=error msg=late", true),
        ("E1127 19:00:00.000000 1 orders.go:3] late", true),
        ("thread 'main' panicked at src/main.rs:2:5:", true),
        ("INFO no errors were found", false),
        ("GET /error 200", false),
        ("level=info msg=\"an error was repaired\"", false),
        ("{\"level\":\"info\",\"message\":\"ERROR\"}", false),
        ("{\"level\":50,\"msg\":\"late\"}", true),
        ("{\"level\":30,\"msg\":\"late\"}", false),
        ("{\"levelname\":\"CRITICAL\",\"message\":\"late\"}", true),
        ("{\"severity\":\"ERROR\"}", true),
        ("{\"message\":\"no level\"}", false),
        ("", false),
    ] {
        assert_eq!(event(line).is_some(), is_error, "{line}");
    }
}

#[test]
fn an_event_says_what_the_record_says() {
    let json = r#"{"timestamp":"2026-11-27T19:00:00Z","level":"ERROR","fields":{"message":"late"},"target":"shop::orders","span":{"trace_id":"0af7651916cd43dd8448eb211c80319c","span_id":"b7ad6b7169203331"}}"#;
    let told = event(json).expect("an error");
    for (pointer, expected) in [
        ("/level", "error"),
        ("/logentry/formatted", "late"),
        ("/logger", "shop::orders"),
        ("/timestamp", "2026-11-27T19:00:00Z"),
        ("/contexts/trace/trace_id", "0af7651916cd43dd8448eb211c80319c"),
        ("/extra/log_path", "/var/log/shop.log"),
        ("/tags/log", "shop.log"),
    ] {
        assert_eq!(told.pointer(pointer).and_then(Value::as_str), Some(expected), "{pointer} in {told}");
    }
    let exception = |text: &str| event(text).expect("an error")["exception"]["values"][0].clone();
    let named = |text: &str| format!("{} {}", exception(text)["type"], exception(text)["value"]);
    assert_eq!(named(RUST.trim_end()), "\"panic\" \"no seat is left\"");
    assert_eq!(named(PYTHON.trim_end()), "\"ValueError\" \"no seat\"");
    assert_eq!(named(CHAINED.trim_end()), "\"shop.OrderError\" \"late\"");
    assert_eq!(named(GO.trim_end()), "\"panic\" \"no seat\"");
    assert_eq!(event("ERROR a\n\tb").expect("an error")["extra"]["record"], "ERROR a\n\tb");
    assert_eq!(event("ERROR a"), event("ERROR a"), "its id is made of it");
}

proptest! {
    #[test]
    fn it_is_all_the_same_in_which_pieces_a_log_comes(
        lines in vec(select(vec![RUST, PYTHON, CHAINED, JAVA, GO, "INFO a\n", "{\"a\":1}\n", "\n", "\tat b\n", "é\r\n"]), 0..8),
        cuts in vec(1_usize..9, 0..80),
    ) {
        let log = lines.concat().into_bytes();
        let (mut rest, mut pieces) = (&log[..], Vec::new());
        for cut in cuts {
            let (piece, after) = rest.split_at(cut.min(rest.len()));
            pieces.push(piece);
            rest = after;
        }
        pieces.push(rest);
        prop_assert_eq!(records(&pieces), records(&[&log]));
    }

    #[test]
    fn records_begin_where_they_say(lines in vec(select(vec![PYTHON, "INFO a\n", "{\"a\":1}\n", "ERROR b\n"]), 0..8)) {
        let log = lines.concat();
        for record in records(&[log.as_bytes()]) {
            let begins = usize::try_from(record.offset).expect("a short log");
            prop_assert_eq!(&log[begins..begins + record.text.len()], &record.text);
        }
    }
}
