//! An HTTP client for programs on loopback.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use reqwest::{Method, RequestBuilder};
use serde_json::Value;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

/// How long any answer may take; a program that needs longer here hangs.
const LIMIT: Duration = Duration::from_secs(30);

/// A client without proxies, as every address is on this machine.
#[derive(Clone, Debug)]
pub(crate) struct Client(reqwest::Client);

/// An answer, read to its end.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: String,
}

// === impl Client ===

impl Client {
    pub(crate) fn new() -> Result<Self> {
        // Installing fails only where a provider is installed already, which serves as well.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = reqwest::Client::builder().no_proxy().timeout(LIMIT).build();
        client.map(Self).context("cannot set up an HTTP client")
    }

    pub(crate) fn request(&self, method: Method, url: &str) -> RequestBuilder {
        self.0.request(method, url)
    }

    /// The body of a GET that must succeed.
    pub(crate) async fn get(&self, url: &str) -> Result<String> {
        let answer = send(self.request(Method::GET, url)).await?;
        ensure!((200..300).contains(&answer.status), "{url} answers {}: {}", answer.status, answer.body.trim());
        Ok(answer.body)
    }

    /// The JSON of a GET with these query parameters that must succeed.
    pub(crate) async fn json(&self, url: &str, query: &[(&str, &str)]) -> Result<Value> {
        let request = self.request(Method::GET, url).query(query);
        let answer = send(request).await?;
        ensure!(answer.status == 200, "{url} answers {}: {}", answer.status, answer.body.trim());
        serde_json::from_str(&answer.body).with_context(|| format!("{url} does not answer with JSON"))
    }
}

/// Sends a request and reads the answer, whatever its status.
pub(crate) async fn send(request: RequestBuilder) -> Result<Answer> {
    let response = request.send().await?;
    let status = response.status().as_u16();
    Ok(Answer { status, body: response.text().await? })
}

/// Announces a JSON body of this length to a server on loopback; returns the head of what the server says to that.
///
/// It says `100 Continue` once the handler wants the body, and anything else where it does not want it.
pub(crate) async fn announce_body(port: u16, route: &str, length: usize) -> Result<(TcpStream, String)> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await?;
    let head = format!(
        "POST {route} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Type: application/json\r\n\
         Content-Length: {length}\r\nExpect: 100-continue\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await?;
    let mut answer = Vec::new();
    let read = async {
        while !answer.windows(4).any(|end| end == b"\r\n\r\n") {
            ensure!(stream.read_buf(&mut answer).await? > 0, "the connection was closed without an answer");
        }
        Ok(())
    };
    timeout(LIMIT, read).await.context("no answer to an announced body")??;
    Ok((stream, String::from_utf8_lossy(&answer).into_owned()))
}
