//! Dialogues in lines, names, pings and health services.

use super::tls::certified;
use super::*;

#[tokio::test]
async fn a_dialogue_goes_line_by_line_and_over_to_tls() {
    let (acceptor, roots) = certified(&["mail.local"], None);
    let address = serve(move |mut stream| {
        let acceptor = acceptor.clone();
        async move {
            stream.write_all(b"hold on\r\n220 mail.local ready\r\n").await?;
            expect_line(&mut stream, "EHLO mail.local").await?;
            stream.write_all(b"250-SIZE 1\r\n250 STARTTLS\r\n").await?;
            expect_line(&mut stream, "STARTTLS").await?;
            stream.write_all(b"220 go ahead\r\n").await?;
            let mut stream = acceptor.accept(stream).await?;
            expect_line(&mut stream, "QUIT").await?;
            stream.write_all(b"221 bye\r\n").await?;
            stream.shutdown().await
        }
    })
    .await;
    let dialogue = "[{ expect: \"^220 ([a-z.]+) ready$\", send: \"EHLO ${1}\" }, { expect: \"^250 STARTTLS\", send: STARTTLS }, \
                     { expect: \"^220\", starttls: true }, { send: QUIT }, { expect: \"^221\" }]";
    // `${1}` would be a variable of the environment: it is written `$1` where it stands alone.
    let dialogue = dialogue.replace("${1}", "$1");
    let keys = format!("kind: tcp, target: \"mail.local:{}\", tls: {{}}, dialogue: {dialogue}", address.port());
    assert_eq!(run_trusting(&keys, roots).await, Ok(()));

    let banner = serve(|mut stream| async move { stream.write_all(b"SSH-2.0-x\n").await }).await;
    let keys = format!("kind: tcp, target: \"{banner}\", dialogue: [{{ expect: \"^SSH-1\" }}]");
    fails(run(&keys).await, Reason::Body, "no line matched `^SSH-1` in turn 1");
    let endless = serve(|mut stream| async move {
        loop {
            stream.write_all(&[b'.'; 65536]).await?;
        }
    })
    .await;
    let keys = format!("kind: tcp, target: \"{endless}\", dialogue: [{{ expect: x }}]");
    fails(run(&keys).await, Reason::Protocol, "a line of more than 65536 bytes");
    let hasty = serve(|mut stream| async move {
        stream.write_all(b"220 go ahead\r\n250 forged\r\n").await?;
        stream.read_to_end(&mut Vec::new()).await.map(drop)
    })
    .await;
    let keys = format!("kind: tcp, target: \"{hasty}\", tls: {{}}, dialogue: [{{ expect: \"^220\", starttls: true }}]");
    fails(run(&keys).await, Reason::Protocol, "went on in plain text");
}

async fn expect_line(stream: &mut (impl AsyncRead + Unpin), expected: &str) -> io::Result<()> {
    let mut line = Vec::new();
    while !line.ends_with(b"\n") {
        line.push(stream.read_u8().await?);
    }
    assert_eq!(String::from_utf8_lossy(&line), format!("{expected}\n"));
    Ok(())
}

/// Answers each query over UDP with the same flags and records.
async fn serve_dns(flags: u16, answers: u16, records: &'static [u8]) -> SocketAddr {
    let socket = UdpSocket::bind("127.0.0.1:0").await.expect("a port");
    let address = socket.local_addr().expect("an address");
    tokio::spawn(async move {
        let mut query = [0; 512];
        while let Ok((length, from)) = socket.recv_from(&mut query).await {
            let mut answer = query[..length].to_vec();
            answer[2..4].copy_from_slice(&flags.to_be_bytes());
            answer[6..8].copy_from_slice(&answers.to_be_bytes());
            answer.extend_from_slice(records);
            // Somebody else's answer comes first: it has another number.
            let forged = [&[!query[0]][..], &answer[1..]].concat();
            drop(socket.send_to(&forged, from).await);
            drop(socket.send_to(&answer, from).await);
        }
    });
    address
}

#[tokio::test]
async fn dns_is_judged_by_code_and_records() {
    let a = b"\xc0\x0c\0\x01\0\x01\0\0\0\x3c\0\x04\xc0\0\x02\x01";
    let good = serve_dns(0x8180, 1, a).await;
    let keys = format!("kind: dns, target: \"{good}\", query: example.org");
    assert_eq!(run(&keys).await, Ok(()));
    assert_eq!(run(&format!("{keys}, answer_matches: \"^192\\\\.0\"")).await, Ok(()));
    fails(run(&format!("{keys}, answer_matches: \"^10\"")).await, Reason::Body, "the first is 192.0.2.1");
    fails(run(&format!("{keys}, answers_min: 2")).await, Reason::Body, "1 records, expected at least 2");
    fails(run(&format!("{keys}, record: MX")).await, Reason::Body, "0 records");
    let unknown = serve_dns(0x8183, 0, b"").await;
    let keys = format!("kind: dns, target: \"{unknown}\", query: example.org");
    fails(run(&keys).await, Reason::Status, "NXDOMAIN, expected NOERROR");
    assert_eq!(run(&format!("{keys}, code: NXDOMAIN")).await, Ok(()));
    let garbage = serve_dns(0x8180, 9, b"\xc0").await;
    fails(
        run(&format!("kind: dns, target: \"{garbage}\", query: a")).await,
        Reason::Protocol,
        "no answer to the query",
    );
    let closed = closed_port().await;
    fails(run(&format!("kind: dns, target: \"{closed}\", query: a")).await, Reason::Connect, "refused");
    let silent = UdpSocket::bind("127.0.0.1:0").await.expect("a port");
    let silent = silent.local_addr().map(|address| (silent, address)).expect("an address");
    let keys = format!("kind: dns, target: \"{}\", query: a, timeout: 50ms", silent.1);
    fails(run(&keys).await, Reason::Timeout, "in the phase `first_byte`");
}

#[tokio::test]
async fn a_truncated_answer_is_asked_for_again_over_tcp() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let socket = UdpSocket::bind(address).await.expect("the same port");
    tokio::spawn(async move {
        let mut query = [0; 512];
        while let Ok((length, from)) = socket.recv_from(&mut query).await {
            query[2..4].copy_from_slice(&0x8380_u16.to_be_bytes());
            drop(socket.send_to(&query[..length], from).await);
        }
    });
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let length = usize::from(stream.read_u16().await.expect("a length"));
            let mut answer = vec![0; length];
            stream.read_exact(&mut answer).await.expect("a query");
            answer[2..4].copy_from_slice(&0x8180_u16.to_be_bytes());
            answer[7] = 1;
            answer.extend_from_slice(b"\xc0\x0c\0\x01\0\x01\0\0\0\x3c\0\x04\xc0\0\x02\x01");
            let length = u16::try_from(answer.len()).expect("short");
            stream.write_all(&[&length.to_be_bytes()[..], &answer].concat()).await.expect("a reader");
        }
    });
    assert_eq!(run(&format!("kind: dns, target: \"{address}\", query: example.org")).await, Ok(()));
}

#[tokio::test]
async fn a_ping_of_this_host_comes_back_where_the_kernel_permits_it() {
    for target in ["127.0.0.1", "::1"] {
        let target = if target.contains(':') { format!("[{target}]") } else { target.to_owned() };
        match run(&format!("kind: icmp, target: \"{target}\", payload: 1000")).await {
            Ok(()) => {}
            Err(failure) => fails(Err(failure), Reason::Connect, "ping_group_range"),
        }
    }
}

/// A health service over HTTP/2 without TLS that answers with these trailers.
async fn serve_grpc(message: &'static [u8], status: &'static str) -> SocketAddr {
    serve(move |stream| async move {
        let answer = service_fn(move |request: http::Request<Incoming>| async move {
            assert_eq!(request.uri().path(), "/grpc.health.v1.Health/Check");
            assert_eq!(request.headers()["content-type"], "application/grpc");
            let trailers =
                HeaderMap::from_iter([(HeaderName::from_static("grpc-status"), HeaderValue::from_static(status))]);
            let body = Full::new(Bytes::from_static(message)).with_trailers(async move { Some(Ok(trailers)) });
            Ok::<_, io::Error>(http::Response::new(body))
        });
        let served = http2::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(stream), answer).await;
        served.map_err(io::Error::other)
    })
    .await
}

#[tokio::test]
async fn grpc_is_judged_by_what_the_health_service_says() {
    let check =
        async |message, status| run(&format!("kind: grpc, target: \"{}\"", serve_grpc(message, status).await)).await;
    assert_eq!(check(&[0, 0, 0, 0, 2, 8, 1], "0").await, Ok(()));
    fails(check(&[0, 0, 0, 0, 2, 8, 2], "0").await, Reason::Body, "the service is NOT_SERVING");
    fails(check(&[], "5").await, Reason::Status, "status NOT_FOUND, expected OK");
    let plain = serve_bytes(OK).await;
    fails(run(&format!("kind: grpc, target: \"{plain}\"")).await, Reason::Protocol, "");
    let silent = serve(|mut stream| async move { stream.read_to_end(&mut Vec::new()).await.map(drop) }).await;
    fails(run(&format!("kind: grpc, target: \"{silent}\", timeout: 200ms")).await, Reason::Timeout, "first_byte");
}
