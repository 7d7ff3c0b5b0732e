use std::{
    collections::BTreeMap,
    convert::Infallible,
    io,
    net::SocketAddr,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use axum::{
    Router,
    body::{Body, Bytes},
    extract::Request,
    response::{IntoResponse, Response},
    routing::{any, get},
};
use futura_metrics::{
    Metrics,
    exposition::Format,
    http::HttpLayer,
    specs::http::{Method, UNMATCHED},
};
use http::{StatusCode, header};
use http_body_util::{BodyExt, StreamBody};
use hyper_util::rt::TokioIo;
use proptest::{prelude::ProptestConfig, prop_assert_eq, proptest};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};
use tower::{Layer, Service, ServiceExt as _};

const ROUTES: [(Method, &str); 8] = [
    (Method::Get, "/events/{id}"),
    (Method::Get, "/stream"),
    (Method::Get, "/broken"),
    (Method::Get, "/panic"),
    (Method::Get, "/panic-in-body"),
    (Method::Get, "/empty"),
    (Method::Get, "/echo"),
    (Method::Get, "/never"),
];

fn router() -> Router {
    Router::new()
        .route("/events/{id}", get(|| async { "an event" }))
        .route("/stream", get(|| async { chunks([Ok("one"), Ok("two")]) }))
        .route("/broken", get(|| async { chunks([Ok("one"), Err(io::Error::other("disk on fire"))]) }))
        .route("/panic", get(|| async { panic!("a bug") as &str }))
        .route(
            "/panic-in-body",
            get(|| async {
                Body::from_stream(futures_util::stream::poll_fn(|_| panic!("a bug") as Poll<Option<io::Result<Bytes>>>))
            }),
        )
        .route("/empty", get(|| async { StatusCode::NO_CONTENT }))
        .route("/echo", get(echo))
        .route("/never", get(|| async { std::future::pending::<&str>().await }))
        .route("/nested/{id}/{*rest}", any(|| async { "any" }))
}

fn chunks<const N: usize>(chunks: [io::Result<&'static str>; N]) -> Body {
    let frames = chunks.map(|chunk| chunk.map(|text| http_body::Frame::data(Bytes::from(text))));
    Body::new(StreamBody::new(futures_util::stream::iter(frames)))
}

/// Leaves HTTP and says back what it hears.
async fn echo(request: Request) -> impl IntoResponse {
    tokio::spawn(async {
        let connection = hyper::upgrade::on(request).await.unwrap();
        let (mut from, mut to) = tokio::io::split(TokioIo::new(connection));
        tokio::io::copy(&mut from, &mut to).await.unwrap();
        to.shutdown().await.unwrap();
    });
    (StatusCode::SWITCHING_PROTOCOLS, [(header::CONNECTION, "upgrade"), (header::UPGRADE, "echo")])
}

/// The layer inside the router, and outermost with declared routes: both must count the same.
fn both_forms() -> [(Metrics, tower::util::BoxCloneSyncService<Request, Response, Infallible>); 2] {
    let (inside, outside) = (Metrics::new(), Metrics::new());
    let inner = router().layer(HttpLayer::new(&inside).unwrap());
    let outer = HttpLayer::with_routes(&outside, ROUTES.into_iter().chain([(Method::Get, "/nested/{id}/{*rest}")]))
        .unwrap()
        .layer(router());
    let outer = outer.map_response(|response: Response<_>| response.map(Body::new));
    [
        (inside, tower::util::BoxCloneSyncService::new(inner.into_service())),
        (outside, tower::util::BoxCloneSyncService::new(outer)),
    ]
}

fn request(method: &str, path: &str) -> Request {
    Request::builder().method(method).uri(path).body(Body::empty()).unwrap()
}

/// What was counted, without the series at zero.
fn counted(metrics: &Metrics) -> Vec<String> {
    let text = metrics.render(Format::Text);
    let lines = text.lines().filter(|line| line.starts_with("http_requests_total{") && !line.ends_with(" 0"));
    let mut lines: Vec<String> = lines.map(|line| line["http_requests_total".len()..].to_owned()).collect();
    lines.sort();
    lines
}

fn assert_nothing_in_flight(metrics: &Metrics) {
    let text = metrics.render(Format::Text);
    for line in text.lines().filter(|line| line.starts_with("http_requests_in_flight{")) {
        assert!(line.ends_with(" 0"), "{line}");
    }
}

/// Sends one request, reads the body as far as it goes, and checks what was counted, in both forms.
async fn check(method: &str, path: &str, expected: &str) {
    for (metrics, mut service) in both_forms() {
        let response = service.ready().await.unwrap().call(request(method, path)).await.unwrap();
        let _ = response.into_body().collect().await;
        assert_eq!(counted(&metrics), [expected], "{method} {path}");
        assert_nothing_in_flight(&metrics);
    }
}

#[tokio::test]
async fn a_request_counts_under_its_template() {
    check("GET", "/events/7", r#"{method="GET",path="/events/{id}",status="200"} 1"#).await;
    check("GET", "/nested/7/a/b/c", r#"{method="GET",path="/nested/{id}/{*rest}",status="200"} 1"#).await;
    check("GET", "/stream", r#"{method="GET",path="/stream",status="200"} 1"#).await;
    check("HEAD", "/stream", r#"{method="HEAD",path="/stream",status="200"} 1"#).await;
}

#[tokio::test]
async fn unknown_paths_and_methods_fold() {
    check("GET", "/wp-login.php", &format!(r#"{{method="GET",path="{UNMATCHED}",status="404"}} 1"#)).await;
    check("DELETE", "/events/7", r#"{method="DELETE",path="/events/{id}",status="405"} 1"#).await;
    check("BREW", "/events/7", r#"{method="OTHER",path="/events/{id}",status="405"} 1"#).await;
}

#[tokio::test]
async fn failures_count_as_server_errors() {
    check("GET", "/broken", r#"{method="GET",path="/broken",status="500"} 1"#).await;
    check("GET", "/panic", r#"{method="GET",path="/panic",status="500"} 1"#).await;
}

#[tokio::test]
async fn a_client_that_goes_away_before_the_head_counts_as_499() {
    for (metrics, mut service) in both_forms() {
        let mut answer = service.ready().await.unwrap().call(request("GET", "/never"));
        assert!(futures_util::poll!(&mut answer).is_pending());
        assert!(metrics.render(Format::Text).contains("http_requests_in_flight{method=\"GET\",path=\"/never\"} 1\n"));
        drop(answer);
        assert_eq!(counted(&metrics), [r#"{method="GET",path="/never",status="499"} 1"#]);
        assert_nothing_in_flight(&metrics);
    }
}

#[tokio::test]
async fn a_client_that_goes_away_in_the_body_counts_as_499() {
    for (metrics, mut service) in both_forms() {
        let mut response = service.ready().await.unwrap().call(request("GET", "/stream")).await.unwrap();
        response.body_mut().frame().await.unwrap().unwrap();
        drop(response);
        assert_eq!(counted(&metrics), [r#"{method="GET",path="/stream",status="499"} 1"#]);
        assert_nothing_in_flight(&metrics);
    }
}

#[tokio::test]
async fn declared_routes_start_at_zero() {
    let metrics = Metrics::new();
    let _layer = HttpLayer::with_routes(&metrics, ROUTES).unwrap();
    let text = metrics.render(Format::Text);
    for status in [200, 500] {
        let series = format!("http_requests_total{{method=\"GET\",path=\"/events/{{id}}\",status=\"{status}\"}} 0\n");
        assert!(text.contains(&series), "{text}");
    }
}

#[test]
fn a_route_that_conflicts_is_an_error_that_names_it() {
    let error =
        HttpLayer::with_routes(&Metrics::new(), [(Method::Get, "/a/{b}"), (Method::Get, "/a/{c}")]).unwrap_err();
    assert_eq!(error.to_string(), "route `/a/{c}`");
}

#[test]
fn a_scan_adds_one_path_and_no_forged_value() {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        for (metrics, mut service) in both_forms() {
            for number in 0..1_000 {
                let forged = format!("FORGED{number}");
                for method in ["GET", &forged] {
                    let request = request(method, &format!("/scan/{number}?q={number}"));
                    service.ready().await.unwrap().call(request).await.unwrap();
                }
            }
            assert_eq!(
                counted(&metrics),
                [
                    format!(r#"{{method="GET",path="{UNMATCHED}",status="404"}} 1000"#),
                    format!(r#"{{method="OTHER",path="{UNMATCHED}",status="404"}} 1000"#),
                ]
            );
        }
    });
}

async fn serve(metrics: &Metrics) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let app = HttpLayer::with_routes(metrics, ROUTES).unwrap().wrap(router());
    tokio::spawn(async move { axum::serve(listener, app).await });
    address
}

/// Waits until something was counted: over a socket the server learns of the end after the client.
async fn eventually_counted(metrics: &Metrics) -> Vec<String> {
    tokio::time::timeout(Duration::from_secs(30), async {
        loop {
            let counted = counted(metrics);
            if !counted.is_empty() {
                return counted;
            }
            tokio::task::yield_now().await;
        }
    })
    .await
    .expect("a request was counted")
}

#[tokio::test]
async fn over_a_real_socket_each_ending_counts_once() {
    let cases = [
        ("GET /events/7 HTTP/1.1", true, r#"{method="GET",path="/events/{id}",status="200"} 1"#),
        ("HEAD /events/7 HTTP/1.1", true, r#"{method="HEAD",path="/events/{id}",status="200"} 1"#),
        ("GET /empty HTTP/1.1", true, r#"{method="GET",path="/empty",status="204"} 1"#),
        ("HEAD /stream HTTP/1.1", true, r#"{method="HEAD",path="/stream",status="200"} 1"#),
        ("GET /stream HTTP/1.1", true, r#"{method="GET",path="/stream",status="200"} 1"#),
        ("GET /broken HTTP/1.1", true, r#"{method="GET",path="/broken",status="500"} 1"#),
        ("GET /panic HTTP/1.1", true, r#"{method="GET",path="/panic",status="500"} 1"#),
        ("GET /panic-in-body HTTP/1.1", true, r#"{method="GET",path="/panic-in-body",status="500"} 1"#),
        ("GET /never HTTP/1.1", false, r#"{method="GET",path="/never",status="499"} 1"#),
    ];
    for (head, wait, expected) in cases {
        let metrics = Metrics::new();
        let mut stream = TcpStream::connect(serve(&metrics).await).await.unwrap();
        stream.write_all(format!("{head}\r\nhost: x\r\nconnection: close\r\n\r\n").as_bytes()).await.unwrap();
        if wait {
            let _ = stream.read_to_end(&mut Vec::new()).await;
        } else {
            // The server must have begun with the request before the client hangs up on it.
            let in_flight = |text: &str| {
                text.lines().any(|line| line.starts_with("http_requests_in_flight{") && line.ends_with(" 1"))
            };
            while !in_flight(&metrics.render(Format::Text)) {
                tokio::task::yield_now().await;
            }
        }
        drop(stream);
        assert_eq!(eventually_counted(&metrics).await, [expected], "{head}");
        assert_nothing_in_flight(&metrics);
    }
}

#[tokio::test]
async fn an_upgrade_counts_at_its_head_and_the_connection_lives_on() {
    let metrics = Metrics::new();
    let mut stream = TcpStream::connect(serve(&metrics).await).await.unwrap();
    let head = "GET /echo HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: echo\r\n\r\n";
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\n") {
        answer.push(stream.read_u8().await.unwrap());
    }
    assert!(answer.starts_with(b"HTTP/1.1 101 "), "{}", String::from_utf8_lossy(&answer));
    let expected = [r#"{method="GET",path="/echo",status="101"} 1"#];
    assert_eq!(eventually_counted(&metrics).await, expected);
    assert_nothing_in_flight(&metrics);
    stream.write_all(b"ping").await.unwrap();
    let mut echoed = [0; 4];
    stream.read_exact(&mut echoed).await.unwrap();
    assert_eq!(&echoed, b"ping");
    stream.shutdown().await.unwrap();
    assert_eq!(stream.read_to_end(&mut Vec::new()).await.unwrap(), 0, "the other side hangs up as well");
    assert_eq!(counted(&metrics), expected, "the end of the connection counts nothing");
    assert_nothing_in_flight(&metrics);
}

#[tokio::test]
async fn a_layer_of_a_router_that_panics_when_it_is_called_is_answered_for() {
    for outermost in [false, true] {
        let metrics = Metrics::new();
        let panics = tower::util::MapRequestLayer::new(|_: Request| -> Request { panic!("a bug in a layer") });
        let router = Router::new().route("/events/{id}", get(|| async { "" })).layer(panics);
        let mut app = if outermost {
            let layer = HttpLayer::with_routes(&metrics, ROUTES).unwrap();
            tower::util::BoxCloneSyncService::new(layer.layer(router).map_response(|response| response.map(Body::new)))
        } else {
            tower::util::BoxCloneSyncService::new(router.layer(HttpLayer::new(&metrics).unwrap()))
        };
        let response = app.ready().await.unwrap().call(request("GET", "/events/7")).await.unwrap();
        assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
        drop(response);
        assert_eq!(counted(&metrics), [r#"{method="GET",path="/events/{id}",status="500"} 1"#]);
        assert_nothing_in_flight(&metrics);
    }
}

/// How a request may end.
#[derive(Clone, Copy, Debug)]
enum Ending {
    Finished,
    FailedBeforeHead,
    BodyFailed,
    GoneBeforeHead,
    GoneInBody,
    Panicked,
    PanickedInCall,
    PanickedInBody,
    Upgraded,
    HeadOnly,
    WithoutContent,
}

impl Ending {
    const ALL: [Self; 11] = [
        Self::Finished,
        Self::FailedBeforeHead,
        Self::BodyFailed,
        Self::GoneBeforeHead,
        Self::GoneInBody,
        Self::Panicked,
        Self::PanickedInCall,
        Self::PanickedInBody,
        Self::Upgraded,
        Self::HeadOnly,
        Self::WithoutContent,
    ];

    fn method(self) -> &'static str {
        if let Self::HeadOnly = self { "HEAD" } else { "GET" }
    }

    fn status(self) -> &'static str {
        match self {
            Self::Finished | Self::HeadOnly => "200",
            Self::FailedBeforeHead | Self::BodyFailed => "500",
            Self::Panicked | Self::PanickedInCall | Self::PanickedInBody => "500",
            Self::GoneBeforeHead | Self::GoneInBody => "499",
            Self::Upgraded => "101",
            Self::WithoutContent => "204",
        }
    }

    /// What a service answers that makes a request end like this.
    async fn answer(self) -> Result<Response, io::Error> {
        match self {
            Self::FailedBeforeHead => Err(io::Error::other("no answer")),
            Self::GoneBeforeHead => std::future::pending().await,
            Self::Panicked | Self::PanickedInCall => panic!("a bug"),
            // Nobody reads the body of an answer to HEAD, whatever the service gave it.
            Self::Finished | Self::GoneInBody | Self::HeadOnly => Ok(Response::new(chunks([Ok("one"), Ok("two")]))),
            Self::BodyFailed => Ok(Response::new(chunks([Ok("one"), Err(io::Error::other("disk on fire"))]))),
            Self::PanickedInBody => Ok(Response::new(Body::from_stream(PanickingStream))),
            Self::Upgraded => Ok(with_status(StatusCode::SWITCHING_PROTOCOLS)),
            Self::WithoutContent => Ok(with_status(StatusCode::NO_CONTENT)),
        }
    }

    /// The same as what a service does when it is called.
    fn call(self) -> impl Future<Output = Result<Response, io::Error>> {
        assert!(!matches!(self, Self::PanickedInCall), "a bug before there is a future");
        self.answer()
    }

    /// Plays the client, and what becomes of the task that serves it.
    async fn play(self, layer: &HttpLayer) {
        let mut service = layer.layer(tower::service_fn(move |_: Request| self.call()));
        if let Self::PanickedInCall = self {
            let mut call = || service.call(request(self.method(), "/events/7"));
            assert!(catch_unwind(AssertUnwindSafe(|| drop(call()))).is_err(), "it passes on");
            return;
        }
        let mut answer = Box::pin(service.ready().await.unwrap().call(request(self.method(), "/events/7")));
        if let Self::GoneBeforeHead = self {
            assert!(futures_util::poll!(&mut answer).is_pending());
            return;
        }
        let Ok(mut response) = answer.await else { return };
        match self {
            Self::GoneInBody => drop(response.body_mut().frame().await),
            Self::PanickedInBody => {
                let served = tokio::spawn(response.into_body().collect());
                assert!(served.await.unwrap_err().is_panic());
            }
            // What the server does with these: it sends the head and drops the body unread.
            Self::Upgraded | Self::HeadOnly | Self::WithoutContent => drop(response),
            _ => drop(response.into_body().collect().await),
        }
    }
}

/// The status says that there is no body, so nobody reads the one that there is all the same.
fn with_status(status: StatusCode) -> Response {
    let mut response = Response::new(chunks([Ok("unread")]));
    *response.status_mut() = status;
    response
}

struct PanickingStream;

impl futures_util::Stream for PanickingStream {
    type Item = io::Result<Bytes>;

    fn poll_next(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<io::Result<Bytes>>> {
        panic!("a bug in a body")
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]
    #[test]
    fn however_requests_end_each_counts_once_and_none_stays_in_flight(
        endings in proptest::collection::vec(proptest::sample::select(&Ending::ALL), 0..40),
    ) {
        let metrics = Metrics::new();
        let layer = HttpLayer::with_routes(&metrics, ROUTES).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            for ending in &endings {
                ending.play(&layer).await;
            }
        });
        let mut expected = BTreeMap::new();
        for ending in &endings {
            *expected.entry((ending.method(), ending.status())).or_insert(0) += 1;
        }
        let expected: Vec<String> = expected
            .iter()
            .map(|((method, status), count)| format!(r#"{{method="{method}",path="/events/{{id}}",status="{status}"}} {count}"#))
            .collect();
        prop_assert_eq!(counted(&metrics), expected);
        assert_nothing_in_flight(&metrics);
    }
}
