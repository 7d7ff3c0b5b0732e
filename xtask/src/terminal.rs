//! What the commands print: plain lines on stdout, in order with what the child programs write.

use std::{
    fmt::Display,
    io::{IsTerminal, Write, stdout},
};

/// Prints one line. A reader that went away is no reason to leave programs behind, so a failure is not told.
pub(crate) fn line(text: impl Display) {
    let mut stdout = stdout().lock();
    let _ = writeln!(stdout, "{text}").and_then(|()| stdout.flush());
}

/// Prints a heading, bold where the output is a terminal.
pub(crate) fn heading(text: impl Display) {
    let (bold, plain) = if stdout().is_terminal() { ("\x1b[1m", "\x1b[0m") } else { ("", "") };
    line(format_args!("\n{bold}==> {text}{plain}"));
}
