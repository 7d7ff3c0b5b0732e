use proptest::{collection::vec, prelude::any, prop_assert, proptest};

use super::{Answer, Question, Reader, class, kind};

fn question() -> Question {
    Question::new("Example.org", 15, 1, true).expect("a name")
}

/// An answer to [`question`], with these records and counts after the question.
fn message(flags: u16, counts: [u16; 3], records: &[u8]) -> Vec<u8> {
    let mut message = question().encode(7);
    message[2..4].copy_from_slice(&flags.to_be_bytes());
    for (place, count) in counts.iter().enumerate() {
        message[6 + 2 * place..8 + 2 * place].copy_from_slice(&count.to_be_bytes());
    }
    message.extend_from_slice(records);
    message
}

fn read(message: &[u8]) -> Option<Answer> {
    Reader::new(message).answer(7, &question())
}

/// A record of the name in the question.
fn record(kind: u16, data: &[u8]) -> Vec<u8> {
    let length = u16::try_from(data.len()).expect("a short record");
    [&[0xc0, 12][..], &kind.to_be_bytes(), &[0, 1, 0, 0, 0, 60], &length.to_be_bytes(), data].concat()
}

#[test]
fn records_read_as_zone_files_write_them() {
    let records = [
        record(15, &[0, 10, 4, b'm', b'a', b'i', b'l', 0xc0, 12]),
        record(1, &[192, 0, 2, 1]),
        record(28, &[0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]),
        record(16, b"\x03a\"b\x01\xff"),
        record(6, b"\x02ns\xc0\x0c\x03a.b\xc0\x0c\0\0\0\x2a\0\0\0\x01\0\0\0\x02\0\0\0\x03\0\0\0\x04"),
        record(257, b"\0\x05issueca.example"),
        record(33, &[0, 1, 0, 2, 0x14, 0x51, 0xc0, 12]),
        record(65280, &[1, 0xab]),
    ];
    let answer = read(&message(0x8183, [8, 0, 0], &records.concat())).expect("an answer");
    let texts: Vec<_> = answer.answers.iter().map(ToString::to_string).collect();
    assert_eq!(
        texts,
        [
            "Example.org.\t60\tIN\tMX\t10 mail.Example.org.",
            "Example.org.\t60\tIN\tA\t192.0.2.1",
            "Example.org.\t60\tIN\tAAAA\t2001:db8::1",
            "Example.org.\t60\tIN\tTXT\t\"a\\\"b\" \"\\255\"",
            "Example.org.\t60\tIN\tSOA\tns.Example.org. a\\.b.Example.org. 42 1 2 3 4",
            "Example.org.\t60\tIN\tCAA\t0 issue \"ca.example\"",
            "Example.org.\t60\tIN\tSRV\t1 2 5201 Example.org.",
            "Example.org.\t60\tIN\tTYPE65280\t\\# 2 01ab",
        ]
    );
    assert_eq!((answer.code_name().as_str(), answer.answers[4].serial), ("NXDOMAIN", Some(42)));
}

#[test]
fn what_answers_something_else_is_no_answer() {
    let good = message(0x8180, [1, 0, 0], &record(15, &[0, 1, 0]));
    assert!(read(&good).is_some());
    let changed = |place: usize, byte: u8| {
        let mut other = good.clone();
        other[place] = byte;
        read(&other)
    };
    assert_eq!(changed(1, 8), None, "another number");
    assert_eq!(changed(2, 1), None, "a question");
    assert_eq!(changed(13, b'f'), None, "another name");
    assert_eq!(changed(26, 16), None, "another type");
    assert!(changed(13, b'e').is_some(), "the same name in lower case");
    assert_eq!(changed(7, 9), None, "more records than there are");
    assert_eq!(changed(2, 0x83).map(|answer| (answer.truncated, answer.answers.len())), Some((true, 1)));
}

#[test]
fn names_lead_back_and_end() {
    let itself = [&[0xc0, 29][..], &[0, 1, 0, 1, 0, 0, 0, 0, 0, 0]].concat();
    assert_eq!(read(&message(0x8180, [1, 0, 0], &itself)), None, "a pointer to itself");
    let ahead = [&[0xc0, 200][..], &[0, 1, 0, 1, 0, 0, 0, 0, 0, 0]].concat();
    assert_eq!(read(&message(0x8180, [1, 0, 0], &ahead)), None, "a pointer ahead");
    for name in ["a..b", ".a", &"a".repeat(64), &vec!["a".repeat(60); 5].join(".")] {
        assert_eq!(Question::new(name, 1, 1, true), None, "{name}");
    }
    assert_eq!(Question::new(".", 2, 1, true).map(|question| question.name), Some(vec![0]));
    assert_eq!((kind("mx"), kind("TYPE7"), kind("NOPE"), class("CH")), (Some(15), Some(7), None, Some(3)));
}

proptest! {
    #[test]
    fn whatever_comes_is_read_to_an_end(bytes in vec(any::<u8>(), 0..200), records in 0_u16..9) {
        let answer = read(&message(0x8180, [records, records, records], &bytes));
        prop_assert!(answer.is_none_or(|answer| answer.answers.len() <= bytes.len()));
        drop(read(&bytes));
    }
}
