//! How many more connections a server would take, which three kinds ask.

use futura_metrics::specs::checks::Reason;

use crate::{
    config::{Section, form},
    network::{Connections, Failure, Trace},
};

/// Reads the least number that has to be left.
pub(super) fn read(section: &mut Section<'_, '_>) -> Option<Option<u64>> {
    section.or("connections_available_min", |value| form::number(value).map(Some), None)
}

/// Takes down what the server counted, and fails if too few are left.
pub(super) fn judge(counted: Connections, least: u64, trace: &mut Trace) -> Result<(), Failure> {
    trace.connections = Some(counted);
    let Connections { current, available } = counted;
    if available < least {
        let message = format!("{available} connections are left and {current} open, expected at least {least} left");
        return Err(Failure::new(Reason::Body, message));
    }
    Ok(())
}
