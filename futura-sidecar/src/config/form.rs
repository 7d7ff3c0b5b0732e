//! The forms of values: what each key takes, and the message that says so with an example.

use std::{
    fs, io,
    net::SocketAddr,
    path::{self, PathBuf},
    time::Duration,
};

use serde_yaml::Value;
use uuid::Uuid;

use super::duration;

/// A text.
pub(crate) fn text(value: &Value) -> Result<String, String> {
    match value {
        Value::String(text) => Ok(text.clone()),
        Value::Number(_) | Value::Bool(_) => {
            Err(format!("{0} is no text: write it in quotes, as `\"{1}\"`", shown(value), plain(value)))
        }
        _ => Err(format!("{} is no text", shown(value))),
    }
}

/// A text that may hold a secret, which no message shows.
pub(crate) fn secret(value: &Value) -> Result<String, String> {
    match value {
        Value::String(text) => Ok(text.clone()),
        _ => Err("no text: write it in quotes".to_owned()),
    }
}

/// `true` or `false`, be it from a variable.
pub(crate) fn flag(value: &Value) -> Result<bool, String> {
    let read = value.as_bool().or_else(|| value.as_str()?.parse().ok());
    read.ok_or_else(|| format!("{} is neither `true` nor `false`", shown(value)))
}

/// A whole number, be it from a variable.
pub(crate) fn number(value: &Value) -> Result<u64, String> {
    let read = value.as_u64().or_else(|| value.as_str()?.parse().ok());
    read.ok_or_else(|| format!("{} is no whole number such as `10000`", shown(value)))
}

/// A duration with its unit.
pub(crate) fn duration(value: &Value) -> Result<Duration, String> {
    match value {
        Value::Sequence(_) | Value::Mapping(_) => Err(format!("{} is no duration such as `10s`", shown(value))),
        _ => duration::parse(&plain(value)),
    }
}

/// An IP address and a port.
pub(crate) fn socket_address(value: &Value) -> Result<SocketAddr, String> {
    plain(value).parse().map_err(|_| {
        format!(
            "{} is no IP address with a port: write one such as `127.0.0.1:9469`, or `0.0.0.0:9469` for every network",
            shown(value)
        )
    })
}

/// A folder that can be used.
pub(crate) fn folder(value: &Value) -> Result<PathBuf, String> {
    usable(text(value)?.into())
}

/// A folder that this process can make and write. It is tried with an empty folder in it, which is gone again at the end.
pub(crate) fn usable(folder: PathBuf) -> Result<PathBuf, String> {
    let unusable = |error: io::Error| format!("the folder `{}` cannot be used: {error}", folder.display());
    let absolute = path::absolute(&folder).map_err(unusable)?;
    // Where the folder is not there yet, it will be made in the nearest one above it that is.
    let there = absolute.ancestors().find(|above| above.symlink_metadata().is_ok()).unwrap_or(&absolute);
    let trial = there.join(format!(".futura-{}", Uuid::new_v4()));
    let tried = fs::create_dir(&trial).and_then(|()| fs::remove_dir(&trial));
    match tried {
        Ok(()) => Ok(folder),
        Err(error) => Err(format!("{}, so nothing can be made in `{}`", unusable(error), there.display())),
    }
}

/// A value as messages show it.
pub(crate) fn shown(value: &Value) -> String {
    match value {
        Value::Null => "nothing".to_owned(),
        Value::Sequence(_) => "a list".to_owned(),
        Value::Mapping(_) => "a mapping".to_owned(),
        _ => format!("`{}`", plain(value)),
    }
}

/// A value as it stands in the file, where that is one word.
fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Number(number) => number.to_string(),
        Value::Bool(flag) => flag.to_string(),
        _ => String::new(),
    }
}
