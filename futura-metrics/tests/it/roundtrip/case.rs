//! What a program may do to a registry: any sequence of operations, on any texts.

use futura_metrics::label;
use proptest::prelude::{Just, Strategy, any, prop_oneof};

use super::record::FAMILIES;

label! {
    /// Who asks.
    pub enum Guest: "guest";
}

label! {
    /// Who is asked.
    pub enum Host: "host";
}

label! {
    /// What for.
    pub enum Size: "size" { Small => "small", Large => "large" }
}

/// One thing that a program does; texts are picked from a pool, so that a series is met again.
#[derive(Clone, Debug)]
pub(super) enum Operation {
    Call { guest: usize, size: Size, amount: u32 },
    Busy { nanoseconds: u32 },
    Level { guest: usize, host: usize, value: f64 },
    LevelBy { guest: usize, host: usize, delta: f64 },
    Tickets { value: f64 },
    Wait { guest: usize, seconds: f64 },
    WaitIn { guest: usize, microseconds: u32, span: u64 },
    Send { bytes: u32 },
    ClientCall { guest: Option<usize>, quarters: u16 },
    ClientLevel { guest: usize, value: f64 },
    ClientWait { guest: Option<usize>, quarters: u16 },
    ClientCallIn { quarters: u16, trace: u64 },
    ClientWaitIn { quarters: u16, trace: u64 },
}

#[derive(Clone, Debug)]
pub(super) struct Case {
    pub(super) texts: Vec<String>,
    pub(super) helps: Vec<String>,
    pub(super) native: bool,
    pub(super) operations: Vec<Operation>,
}

pub(super) fn cases() -> impl Strategy<Value = Case> {
    let helps = proptest::collection::vec(text().prop_map(|text| into_help(&text)), FAMILIES.len());
    let operations = proptest::collection::vec(operation(), 0..60);
    (proptest::collection::vec(text(), 1..6), helps, any::<bool>(), operations)
        .prop_map(|(texts, helps, native, operations)| Case { texts, helps, native, operations })
}

/// One of each operation.
pub(super) fn everything(native: bool) -> Case {
    let operations = vec![
        Operation::Call { guest: 0, size: Size::Small, amount: 1 },
        Operation::Busy { nanoseconds: 1 },
        Operation::Level { guest: 0, host: 1, value: -0.5 },
        Operation::LevelBy { guest: 1, host: 0, delta: f64::INFINITY },
        Operation::Tickets { value: f64::NAN },
        Operation::Wait { guest: 0, seconds: 0.3 },
        Operation::WaitIn { guest: 1, microseconds: 10, span: 1 },
        Operation::Send { bytes: 2_000_000 },
        Operation::ClientCall { guest: None, quarters: 1 },
        Operation::ClientLevel { guest: 0, value: f64::NEG_INFINITY },
        Operation::ClientWait { guest: Some(1), quarters: 3 },
        Operation::ClientCallIn { quarters: 1, trace: 1 },
        Operation::ClientWaitIn { quarters: 9, trace: 2 },
    ];
    let texts = ["plain", "a \"quoted\"\nback\\slash, {é} # \0"].map(str::to_owned);
    Case {
        texts: texts.into(),
        helps: vec!["A \"help\"\\\nof two lines".to_owned(); FAMILIES.len()],
        native,
        operations,
    }
}

fn text() -> impl Strategy<Value = String> {
    let tricky = [
        "\"", "\\", "\n", "\\n", "{", "}", ",", "=", "#", " # {", " ", "\t", "\r", "\0", "é", "漢", "\u{2028}",
        "le=\"1\"",
    ];
    prop_oneof![
        1 => Just(String::new()),
        4 => proptest::collection::vec(proptest::sample::select(tricky.to_vec()), 0..8).prop_map(|parts| parts.concat()),
        4 => "(?s).{0,20}",
        1 => (1_usize..341, proptest::sample::select(vec!["x", "\\", "\"", "漢"])).prop_map(|(count, part)| part.repeat(count)),
    ]
}

/// A help text, without what Python's parser strips from its ends.
fn into_help(text: &str) -> String {
    let help =
        text.trim_matches(|character: char| character.is_whitespace() || character.is_control() || character == '.');
    if help.is_empty() { "Help".to_owned() } else { help.to_owned() }
}

fn operation() -> impl Strategy<Value = Operation> {
    let pick = || any::<usize>();
    let seconds = prop_oneof![
        6 => 0.0..200.0,
        1 => proptest::sample::select(vec![f64::NAN, f64::NEG_INFINITY, -1.0, -0.0, 0.25, 0.00001, 1.0]),
    ];
    let size = proptest::sample::select(Size::ALL);
    prop_oneof![
        (pick(), size, any::<u32>()).prop_map(|(guest, size, amount)| Operation::Call { guest, size, amount }),
        any::<u32>().prop_map(|nanoseconds| Operation::Busy { nanoseconds }),
        (pick(), pick(), any_float()).prop_map(|(guest, host, value)| Operation::Level { guest, host, value }),
        (pick(), pick(), any_float()).prop_map(|(guest, host, delta)| Operation::LevelBy { guest, host, delta }),
        any_float().prop_map(|value| Operation::Tickets { value }),
        (pick(), seconds).prop_map(|(guest, seconds)| Operation::Wait { guest, seconds }),
        (pick(), any::<u32>(), any::<u64>()).prop_map(|(guest, microseconds, span)| Operation::WaitIn {
            guest,
            microseconds,
            span
        }),
        any::<u32>().prop_map(|bytes| Operation::Send { bytes }),
        (any::<Option<usize>>(), any::<u16>()).prop_map(|(guest, quarters)| Operation::ClientCall { guest, quarters }),
        (pick(), any_float()).prop_map(|(guest, value)| Operation::ClientLevel { guest, value }),
        (any::<Option<usize>>(), 0_u16..500).prop_map(|(guest, quarters)| Operation::ClientWait { guest, quarters }),
        (any::<u16>(), any::<u64>()).prop_map(|(quarters, trace)| Operation::ClientCallIn { quarters, trace }),
        (0_u16..500, any::<u64>()).prop_map(|(quarters, trace)| Operation::ClientWaitIn { quarters, trace }),
    ]
}

fn any_float() -> impl Strategy<Value = f64> {
    let special = [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, -0.0, f64::MIN_POSITIVE, f64::MAX, 1e15, -1e21];
    prop_oneof![any::<f64>(), -1e6..1e6, proptest::sample::select(special.to_vec())]
}
