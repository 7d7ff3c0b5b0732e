//! Redis, PostgreSQL and MongoDB: the real servers, and servers that misbehave.

use rustls::RootCertStore;
use tempfile::tempdir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::{Metrics, Reason, TcpListener, check_of, closed_port, fails, peers::Peer, run, run_trusting, serve};
use crate::checks::tests::Format;

/// The keys of a check that is given up soon: the target does not answer.
const SOON: &str = "timeout: 300ms";

#[tokio::test]
async fn redis_is_asked_for_all_that_is_configured() {
    let Some(redis) = Peer::redis(&["--requirepass", "secret", "--maxclients", "100"]).await else { return };
    let keys = format!("kind: redis, target: \"{}\"", redis.address);
    fails(run(&keys).await, Reason::Auth, "NOAUTH");
    fails(run(&format!("{keys}, user: default, password: wrong")).await, Reason::Auth, "WRONGPASS");
    fails(run(&format!("{keys}, user: nobody, password: secret")).await, Reason::Auth, "WRONGPASS");
    let keys = format!("{keys}, user: default, password: secret");
    assert_eq!(run(&keys).await, Ok(()));
    let everything = "database: 3, key: \"futura:check\", role: primary, connections_available_min: 10";
    assert_eq!(run(&format!("{keys}, {everything}")).await, Ok(()));
    fails(run(&format!("{keys}, database: 99")).await, Reason::Status, "out of range");
    fails(run(&format!("{keys}, role: replica")).await, Reason::Body, "the role is `master`, expected `slave`");
    fails(run(&format!("{keys}, connections_available_min: 100")).await, Reason::Body, "expected at least 100 left");
    let metrics = Metrics::new();
    check_of(&format!("{keys}, connections_available_min: 1"), RootCertStore::empty(), &metrics).run().await;
    let text = metrics.render(Format::Text);
    for series in [
        "check_target_connections{check=\"c\",kind=\"redis\",state=\"current\"} 1",
        "check_target_connections{check=\"c\",kind=\"redis\",state=\"available\"} 99",
    ] {
        assert!(text.lines().any(|line| line == series), "{series} is not in\n{text}");
    }
    for phase in ["connect", "auth", "first_byte", "transfer"] {
        assert!(
            text.contains(&format!(
                "check_last_phase_duration_seconds{{check=\"c\",kind=\"redis\",phase=\"{phase}\"}}"
            ))
        );
    }
    assert!(!format!("{keys:?}").is_empty() && !text.contains("secret"));
}

#[tokio::test]
async fn a_replica_without_its_primary_fails() {
    let gone = closed_port().await;
    let Some(redis) = Peer::redis(&["--replicaof", &format!("127.0.0.1 {}", gone.port())]).await else { return };
    let keys = format!("kind: redis, target: \"{}\"", redis.address);
    fails(run(&format!("{keys}, role: replica")).await, Reason::Body, "the link to the primary is `down`");
    fails(run(&format!("{keys}, key: k")).await, Reason::Status, "READONLY");
    assert_eq!(run(&keys).await, Ok(()));
}

#[tokio::test]
async fn redis_is_spoken_to_over_tls() {
    let Some((redis, roots)) = Peer::redis_with_tls().await else { return };
    let keys = format!("kind: redis, target: \"{}\"", redis.address);
    assert_eq!(run_trusting(&format!("{keys}, tls: {{}}, key: k"), roots).await, Ok(()));
    fails(run(&format!("{keys}, tls: {{}}")).await, Reason::Tls, "UnknownIssuer");
    fails(run(&format!("{keys}, {SOON}")).await, Reason::Connect, "");
}

#[tokio::test]
async fn postgres_lets_in_by_password_and_answers() {
    for hash in ["scram-sha-256", "md5"] {
        let Some((postgres, roots)) = Peer::postgres(hash).await else { return };
        let target = format!("kind: postgres, target: \"{}\", user: monitor, database: postgres", postgres.address);
        let keys = format!("{target}, password: secret");
        // It listens before it lets anybody in.
        while run(&keys).await.is_err_and(|failure| failure.message.contains("57P03")) {}
        assert_eq!(run(&keys).await, Ok(()));
        assert_eq!(run_trusting(&format!("{keys}, tls: {{}}"), roots).await, Ok(()));
        fails(run(&format!("{keys}, tls: {{}}")).await, Reason::Tls, "UnknownIssuer");
        fails(run(&format!("{target}, password: wrong")).await, Reason::Auth, "28P01");
        fails(run(&target).await, Reason::Auth, "");
        fails(run(&keys.replace("database: postgres", "database: gone")).await, Reason::Status, "3D000");
        let query = "query: \"SELECT n FROM generate_series(7, 2000) AS n ORDER BY n\"";
        assert_eq!(run(&format!("{keys}, {query}, expect: \"7\"")).await, Ok(()));
        fails(run(&format!("{keys}, {query}, expect: \"8\"")).await, Reason::Body, "found `7`, expected `8`");
        fails(run(&format!("{keys}, query: \"SELECT 1 WHERE false\", expect: \"\"")).await, Reason::Body, "no row");
        fails(run(&format!("{keys}, query: \"SELECT nonsense\"")).await, Reason::Status, "42703");
        assert_eq!(run(&format!("{keys}, connections_available_min: 5")).await, Ok(()));
        fails(run(&format!("{keys}, connections_available_min: 20")).await, Reason::Body, "expected at least 20 left");
        fails(run(&format!("{keys}, query: \"SELECT pg_sleep(60)\", {SOON}")).await, Reason::Timeout, "");
        // What was given up here is given up there: the connection is free again.
        let idle = "query: \"SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%pg_sleep(60)%' AND state = 'active' \
                    AND pid <> pg_backend_pid()\", expect: \"0\"";
        while run(&format!("{keys}, {idle}")).await.is_err() {}
    }
}

#[tokio::test]
async fn mongodb_answers_a_ping_and_counts_connections() {
    let Some(server) = Peer::mongodb(tempdir().expect("a folder"), &[]).await else { return };
    let keys = format!("kind: mongodb, target: \"{}\"", server.address);
    assert_eq!(run(&keys).await, Ok(()));
    // This server always tells of none that are available.
    assert_eq!(run(&format!("{keys}, connections_available_min: 0")).await, Ok(()));
    fails(run(&format!("{keys}, connections_available_min: 1")).await, Reason::Body, "0 connections are left");
}

#[tokio::test]
async fn mongodb_lets_in_by_password() {
    let Some(server) = Peer::mongodb(tempdir().expect("a folder"), &[]).await else { return };
    server.create_user("monitor", "s3cr,t=");
    let Some(server) = Peer::mongodb(server.stop(), &["--auth"]).await else { return };
    let keys = format!("kind: mongodb, target: \"{}\", connections_available_min: 0", server.address);
    assert_eq!(run(&format!("{keys}, user: monitor, password: \"s3cr,t=\"")).await, Ok(()));
    fails(run(&format!("{keys}, user: monitor, password: wrong")).await, Reason::Auth, "");
    fails(run(&format!("{keys}, user: nobody, password: \"s3cr,t=\"")).await, Reason::Auth, "");
    fails(run(&keys).await, Reason::Auth, "");
}

/// A server of MongoDB's that answers every command with the same document.
async fn serve_bson(document: &'static [u8]) -> std::net::SocketAddr {
    serve(move |mut stream| async move {
        loop {
            let length = stream.read_u32_le().await?;
            stream.read_exact(&mut vec![0; length as usize - 4]).await?;
            let numbers = [21 + document.len() as u32, 1, 1, 2013, 0];
            let head: Vec<u8> = numbers.into_iter().flat_map(u32::to_le_bytes).collect();
            stream.write_all(&[&head[..], &[0], document].concat()).await?;
        }
    })
    .await
}

#[tokio::test]
async fn mongodb_is_judged_by_what_it_says() {
    let ok = b"\x43\0\0\0\x01ok\0\0\0\0\0\0\0\xf0\x3f\x03connections\0\x25\0\0\0\x10current\0\x16\0\0\0\
               \x12available\0\x96\xcc\x0c\0\0\0\0\0\0\0";
    let keys = format!("kind: mongodb, target: \"{}\"", serve_bson(ok).await);
    assert_eq!(run(&format!("{keys}, connections_available_min: 838806")).await, Ok(()));
    fails(
        run(&format!("{keys}, connections_available_min: 838807")).await,
        Reason::Body,
        "838806 connections are left",
    );
    let refused = b"\x40\0\0\0\x01ok\0\0\0\0\0\0\0\0\0\x10code\0\x0d\0\0\0\x02errmsg\0\x0b\0\0\0not so fast\0\0";
    let keys = format!("kind: mongodb, target: \"{}\"", serve_bson(refused).await);
    fails(run(&keys).await, Reason::Auth, "the server says 13");
    fails(run(&format!("{keys}, user: u, password: p")).await, Reason::Auth, "the server says 13");
    fails(run(&format!("kind: mongodb, target: \"{}\"", serve_bson(b"").await)).await, Reason::Protocol, "not MongoDB");
}

#[tokio::test]
async fn what_is_another_protocol_or_none_fails_within_its_time() {
    let kinds = ["redis", "postgres, user: u", "mongodb"];
    for kind in kinds {
        let closed = closed_port().await;
        fails(run(&format!("kind: {kind}, target: \"{closed}\"")).await, Reason::Connect, "refused");
        let silent = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = silent.local_addr().expect("an address");
        fails(run(&format!("kind: {kind}, target: \"{address}\", {SOON}")).await, Reason::Timeout, "in the phase");
        let hanging_up = serve(|stream| async move {
            drop(stream);
            Ok(())
        })
        .await;
        let failure = run(&format!("kind: {kind}, target: \"{hanging_up}\"")).await.expect_err("a failure");
        assert!(matches!(failure.reason, Reason::Connect | Reason::Protocol), "{kind}: {failure:?}");
        let garbage = serve(|mut stream| async move {
            let endless = [0xff; 4096];
            loop {
                stream.write_all(&endless).await?;
            }
        });
        let keys = format!("kind: {kind}, target: \"{}\"", garbage.await);
        let failure = run(&keys).await.expect_err("a failure");
        assert!(matches!(failure.reason, Reason::Protocol | Reason::Connect), "{kind}: {failure:?}");
    }
}

#[tokio::test]
async fn a_password_is_not_sent_in_plain_text() {
    // A server that asks for the password as it is.
    let asking = serve(|mut stream| async move {
        let length = stream.read_u32().await?;
        stream.read_exact(&mut vec![0; length as usize - 4]).await?;
        stream.write_all(b"R\0\0\0\x08\0\0\0\x03").await?;
        let mut rest = Vec::new();
        stream.read_to_end(&mut rest).await?;
        assert!(rest.is_empty(), "{rest:?}");
        Ok(())
    })
    .await;
    let keys = format!("kind: postgres, target: \"{asking}\", user: u, password: hunter2");
    fails(run(&keys).await, Reason::Auth, "without TLS anybody could read");
    let refusing = serve(|mut stream| async move {
        stream.read_u64().await?;
        stream.write_all(b"N").await
    })
    .await;
    fails(
        run(&format!("kind: postgres, target: \"{refusing}\", user: u, tls: {{}}")).await,
        Reason::Tls,
        "not speak TLS",
    );
}
