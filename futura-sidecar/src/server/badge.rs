//! Badges: small pictures for READMEs and wikis.

use super::{
    html::{Escaped, Percent},
    view::{CheckState, CheckView},
};

/// About how wide a letter is at the badge's size, in pixels.
const LETTER: usize = 7;

/// A badge that tells a check's state.
pub(super) fn state(check: &CheckView) -> String {
    let colour = match check.state {
        CheckState::Up => "#11693b",
        CheckState::Down => "#a51621",
        CheckState::Failing => "#8a4b00",
        CheckState::Suspended | CheckState::Pending => "#55606e",
    };
    draw(&check.name, check.suspended.unwrap_or(check.state.as_str()), colour)
}

/// A badge that tells a check's uptime over one of the spans; none of a span that there is not.
pub(super) fn uptime(check: &CheckView, span: &str) -> Option<String> {
    let known = ["24h", "7d", "30d"].contains(&span);
    let ratio = check.uptime_ratio.get(span);
    let colour = match ratio {
        Some(ratio) if *ratio >= 0.999 => "#11693b",
        Some(ratio) if *ratio >= 0.99 => "#8a4b00",
        Some(_) => "#a51621",
        None => "#55606e",
    };
    let text = ratio.map_or("no runs".to_owned(), |ratio| Percent(*ratio).to_string());
    known.then(|| draw(&format!("{} {span}", check.name), &text, colour))
}

fn draw(label: &str, value: &str, colour: &str) -> String {
    let width = |text: &str| text.chars().count() * LETTER + 12;
    let (left, right) = (width(label), width(value));
    let (whole, label, value) = (left + right, Escaped(label), Escaped(value));
    let (middle, end) = (left / 2, left + right / 2);
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{whole}\" height=\"20\" role=\"img\" aria-label=\"{label}: {value}\">\
         <title>{label}: {value}</title><rect width=\"{left}\" height=\"20\" fill=\"#333c48\"/>\
         <rect x=\"{left}\" width=\"{right}\" height=\"20\" fill=\"{colour}\"/>\
         <g fill=\"#fff\" text-anchor=\"middle\" font-family=\"system-ui,sans-serif\" font-size=\"12\">\
         <text x=\"{middle}\" y=\"14\">{label}</text><text x=\"{end}\" y=\"14\">{value}</text></g></svg>\n"
    )
}
