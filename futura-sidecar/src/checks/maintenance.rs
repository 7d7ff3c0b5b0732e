//! Maintenance windows: times in which a check is not run, so that nobody is woken for what was announced.

use std::time::{SystemTime, UNIX_EPOCH};

use serde_yaml::Value;
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use crate::config::{Section, form};

/// How many windows may be listed.
const WINDOWS_LIMIT: usize = 100;

const DAY: u64 = 24 * 60 * 60;

/// The days of a week as they are written, from the day that the Unix epoch began on.
const DAYS: [&str; 7] = ["thu", "fri", "sat", "sun", "mon", "tue", "wed"];

/// One window, its beginning in it and its end not. Times of day are UTC.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Window {
    /// From one second since the Unix epoch to another.
    Once { from: u64, to: u64 },
    /// On some days of the week, from one second of the day to another; past midnight where it ends before it begins.
    Weekly { days: [bool; 7], from: u64, to: u64 },
}

/// Either end of a window.
enum Edge {
    Moment(u64),
    TimeOfDay(u64),
}

// === impl Window ===

impl Window {
    /// Reads the list below `maintenance`.
    pub(crate) fn read_all(section: &mut Section<'_, '_>) -> Option<Vec<Self>> {
        section.each("maintenance", WINDOWS_LIMIT, Self::read)
    }

    fn read(section: &mut Section<'_, '_>) -> Option<Self> {
        let from = section.required("from", edge, "\"02:00\"");
        let to = section.required("to", edge, "\"04:00\"");
        let days = section.or("days", |value| days(value).map(Some), None);
        match (from?, to?, days?) {
            (Edge::Moment(from), Edge::Moment(to), None) if from < to => Some(Self::Once { from, to }),
            (Edge::TimeOfDay(from), Edge::TimeOfDay(to), days) if from != to => {
                Some(Self::Weekly { days: days.unwrap_or([true; 7]), from, to })
            }
            _ => {
                let ways = "two times of day, with or without `days`, or two moments, of which `from` is the earlier";
                section.report("to", format!("this is no window: write {ways}"));
                None
            }
        }
    }

    pub(crate) fn holds(&self, now: SystemTime) -> bool {
        let now = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        match *self {
            Self::Once { from, to } => (from..to).contains(&now),
            Self::Weekly { days, from, to } => {
                let (day, second) = (now / DAY, now % DAY);
                let on = |day: u64| days[(day % 7) as usize];
                match from < to {
                    true => on(day) && (from..to).contains(&second),
                    // The hours after midnight belong to the day before.
                    false => (on(day) && second >= from) || (on(day + 6) && second < to),
                }
            }
        }
    }
}

/// `02:00`, or a moment such as `2026-12-24T22:00:00Z`.
fn edge(value: &Value) -> Result<Edge, String> {
    let text = form::text(value)?;
    let time_of_day = || {
        let (hours, minutes) = text.split_once(':')?;
        let (hours, minutes): (u64, u64) = (hours.parse().ok()?, minutes.parse().ok()?);
        (hours < 24 && minutes < 60).then_some(Edge::TimeOfDay((hours * 60 + minutes) * 60))
    };
    let moment = || {
        let seconds = OffsetDateTime::parse(&text, &Rfc3339).ok()?.unix_timestamp();
        u64::try_from(seconds).ok().map(Edge::Moment)
    };
    time_of_day().or_else(moment).ok_or_else(|| {
        format!(
            "`{text}` is neither a time of day in UTC such as `\"02:00\"` nor a moment such as `2026-12-24T22:00:00Z`"
        )
    })
}

fn days(value: &Value) -> Result<[bool; 7], String> {
    let wrong = || format!("{} is no list of days such as `[sat, sun]`", form::shown(value));
    let names = value.as_sequence().filter(|names| !names.is_empty()).ok_or_else(wrong)?;
    let mut days = [false; 7];
    for name in names {
        let day = DAYS.iter().position(|day| name.as_str() == Some(day)).ok_or_else(wrong)?;
        days[day] = true;
    }
    Ok(days)
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use time::{OffsetDateTime, format_description::well_known::Rfc3339};

    use super::Window;
    use crate::config::Config;

    fn windows(list: &str) -> Vec<Window> {
        let text = format!("{{ checks: [], maintenance: {list} }}");
        Config::parse(&text, |_| None).unwrap_or_else(|problems| panic!("{problems:?}")).maintenance
    }

    fn at(moment: &str) -> SystemTime {
        let seconds = OffsetDateTime::parse(moment, &Rfc3339).expect("a moment").unix_timestamp();
        SystemTime::UNIX_EPOCH + Duration::from_secs(seconds as u64)
    }

    #[test]
    fn a_window_holds_from_its_beginning_to_its_end() {
        // 2026-11-21 is a Saturday.
        for (list, inside, outside) in [
            (
                "[{ from: 2026-11-21T22:00:00Z, to: 2026-11-22T01:00:00+01:00 }]",
                &["2026-11-21T22:00:00Z", "2026-11-21T23:59:59Z"][..],
                &["2026-11-21T21:59:59Z", "2026-11-22T00:00:00Z"][..],
            ),
            (
                "[{ from: \"02:00\", to: \"04:00\", days: [sat] }]",
                &["2026-11-21T02:00:00Z", "2026-11-21T03:59:59Z"],
                &["2026-11-21T04:00:00Z", "2026-11-20T03:00:00Z", "2026-11-22T03:00:00Z"],
            ),
            (
                "[{ from: \"22:00\", to: \"02:00\", days: [sat] }]",
                &["2026-11-21T22:00:00Z", "2026-11-22T01:59:59Z"],
                &["2026-11-21T01:00:00Z", "2026-11-22T02:00:00Z", "2026-11-22T22:00:00Z"],
            ),
            ("[{ from: \"00:00\", to: \"23:59\" }]", &["2026-11-23T12:00:00Z"], &["2026-11-23T23:59:30Z"]),
        ] {
            let windows = windows(list);
            let holds = |moment: &str| windows.iter().any(|window| window.holds(at(moment)));
            assert!(inside.iter().all(|moment| holds(moment)), "{list}");
            assert!(!outside.iter().any(|moment| holds(moment)), "{list}");
        }
    }

    #[test]
    fn what_is_no_window_is_told() {
        for (list, part) in [
            ("[{ from: \"02:00\", to: \"02:00\" }]", "no window"),
            ("[{ from: \"02:00\", to: 2026-11-22T01:00:00Z }]", "no window"),
            ("[{ from: 2026-11-22T01:00:00Z, to: 2026-11-21T01:00:00Z }]", "no window"),
            ("[{ from: 2026-11-21T01:00:00Z, to: 2026-11-22T01:00:00Z, days: [sat] }]", "no window"),
            ("[{ from: \"25:00\", to: \"02:00\" }]", "neither a time of day"),
            ("[{ from: \"02:00\", to: \"03:00\", days: [someday] }]", "no list of days"),
            ("[{ from: \"02:00\" }]", "missing"),
        ] {
            let problems = Config::parse(&format!("{{ maintenance: {list} }}"), |_| None).expect_err(list);
            assert!(problems[0].message.contains(part), "{problems:?}");
        }
    }
}
