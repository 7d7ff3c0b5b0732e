//! A proxy that asks for a password, and otherwise lets everybody through.

use std::net::SocketAddr;

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, Result, copy_bidirectional},
    net::{TcpListener, TcpStream},
};

/// `user:secret`.
const PASSWORD: &str = "basic dxnlcjpzzwnyzxq=";

pub(super) async fn serve() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(async move { drop(pass(stream).await) });
        }
    });
    address
}

async fn pass(mut stream: TcpStream) -> Result<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await?);
    }
    let head = String::from_utf8_lossy(&head).into_owned();
    if !head.to_lowercase().contains(PASSWORD) {
        return stream.write_all(b"HTTP/1.1 407 Proxy Authentication Required\r\ncontent-length: 0\r\n\r\n").await;
    }
    let (method, rest) = head.split_once(' ').expect("a request");
    let whole = rest.strip_prefix("http://").unwrap_or(rest);
    let end = whole.find(['/', ' ']).expect("a request");
    let mut target = TcpStream::connect(&whole[..end]).await?;
    match method {
        "CONNECT" => stream.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n").await?,
        _ => target.write_all(format!("{method} {}", &whole[end..]).as_bytes()).await?,
    }
    copy_bidirectional(&mut stream, &mut target).await.map(drop)
}
