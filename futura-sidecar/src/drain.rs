//! `futura-sidecar drain`: asks a sidecar that runs to suspend the checks of its own pod, which a preStop hook can run in an image
//! without a shell.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

use anyhow::{Context, Result, bail};

/// How long the sidecar may take: the pod's end waits for the hook.
const PATIENCE: Duration = Duration::from_secs(2);

/// How much of an answer is read, in bytes.
const ANSWER_LIMIT: u64 = 4096;

/// Asks the sidecar at `address` to suspend them, or to go on with them; what it says.
pub(crate) fn ask(address: SocketAddr, undo: bool) -> Result<String> {
    let path = if undo { "/-/undrain" } else { "/-/drain" };
    let answer = exchange(address, path).with_context(|| format!("the sidecar at `{address}` cannot be asked"))?;
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
    if !head.starts_with("HTTP/1.1 200") {
        bail!("the sidecar at `{address}` says `{}`", head.lines().next().unwrap_or_default());
    }
    Ok(body.trim_end().to_owned())
}

fn exchange(address: SocketAddr, path: &str) -> Result<String> {
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let request = format!("POST {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\ncontent-length: 0\r\n\r\n");
    stream.write_all(request.as_bytes())?;
    let mut answer = String::new();
    stream.take(ANSWER_LIMIT).read_to_string(&mut answer)?;
    Ok(answer)
}
