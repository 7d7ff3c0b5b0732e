//! One call of gRPC's health service, `grpc.health.v1.Health/Check`, over a connection of its own.
//!
//! The two messages of the service have a field each, so they are read and written here.

use bytes::Bytes;
use futura_metrics::specs::checks::Reason;
use http::{
    HeaderMap, HeaderValue, Method, StatusCode,
    header::{CONTENT_TYPE, TE},
};
use url::Url;

use super::{Failure, HttpClient, HttpRequest, HttpResponse, Trace};

/// What the service says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ServingStatus {
    Unknown,
    Serving,
    NotServing,
    ServiceUnknown,
}

/// What came of a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Health {
    /// gRPC's status code: 0 for OK.
    pub(crate) status: u32,
    /// What the server says besides a status that is not OK.
    pub(crate) message: String,
    /// What the service says, if the call was OK.
    pub(crate) serving: Option<ServingStatus>,
}

const PATH: &str = "/grpc.health.v1.Health/Check";

/// How much of an answer is read: the right one has seven bytes.
const ANSWER_LIMIT: usize = 4096;

/// gRPC's names of its status codes, by their numbers.
pub(crate) const CODES: [&str; 17] = [
    "OK",
    "CANCELLED",
    "UNKNOWN",
    "INVALID_ARGUMENT",
    "DEADLINE_EXCEEDED",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
    "FAILED_PRECONDITION",
    "ABORTED",
    "OUT_OF_RANGE",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
    "DATA_LOSS",
    "UNAUTHENTICATED",
];

/// Asks the server at `origin` for the health of `service`; the empty name is the whole server's.
pub(crate) async fn check(
    client: &HttpClient,
    trace: &mut Trace,
    origin: &Url,
    service: &str,
    metadata: &HeaderMap,
) -> Result<Health, Failure> {
    let url = origin.join(PATH).map_err(|error| Failure::new(Reason::Protocol, error.to_string()))?;
    let mut headers = metadata.clone();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    headers.insert(TE, HeaderValue::from_static("trailers"));
    let request = HttpRequest { method: &Method::POST, url: &url, headers, body: request(service) };
    let mut response = client.send(trace, request).await?;
    if response.status != StatusCode::OK {
        return Err(Failure::new(Reason::Protocol, format!("HTTP status {}, where gRPC answers 200", response.status)));
    }
    // A call that fails may have nothing but a head.
    if let Some(health) = Health::of(&response.headers, &[]) {
        return Ok(health);
    }
    let (body, trailers) = read(&mut response, trace).await?;
    Health::of(&trailers, &body).ok_or_else(|| Failure::new(Reason::Protocol, "an answer without `grpc-status`"))
}

fn request(service: &str) -> Bytes {
    let mut message = Vec::new();
    if !service.is_empty() {
        message.push(1 << 3 | 2);
        varint(&mut message, service.len());
        message.extend_from_slice(service.as_bytes());
    }
    let length = u32::try_from(message.len()).unwrap_or(u32::MAX);
    [&[0][..], &length.to_be_bytes(), &message].concat().into()
}

fn varint(message: &mut Vec<u8>, mut number: usize) {
    while number >= 0x80 {
        message.push(number as u8 | 0x80);
        number >>= 7;
    }
    message.push(number as u8);
}

async fn read(response: &mut HttpResponse, trace: &mut Trace) -> Result<(Vec<u8>, HeaderMap), Failure> {
    let (mut body, mut trailers) = (Vec::new(), HeaderMap::new());
    while let Some(frame) = response.frame(trace).await? {
        match frame.into_data() {
            Ok(data) if body.len() + data.len() > ANSWER_LIMIT => {
                return Err(Failure::new(Reason::Protocol, format!("an answer of more than {ANSWER_LIMIT} bytes")));
            }
            Ok(data) => body.extend_from_slice(&data),
            Err(frame) => trailers = frame.into_trailers().unwrap_or_default(),
        }
    }
    Ok((body, trailers))
}

// === impl Health ===

impl Health {
    /// Reads the status and, if it is OK, the message; none without a status.
    fn of(headers: &HeaderMap, body: &[u8]) -> Option<Self> {
        let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        let status = text("grpc-status")?.parse().ok()?;
        let message = text("grpc-message").unwrap_or_default().to_owned();
        Some(Self { status, message, serving: (status == 0).then(|| ServingStatus::read(body)) })
    }

    /// The name of the status.
    pub(crate) fn status_name(&self) -> String {
        let name = usize::try_from(self.status).ok().and_then(|status| CODES.get(status));
        name.map_or_else(|| format!("Code({})", self.status), |name| (*name).to_owned())
    }
}

// === impl ServingStatus ===

impl ServingStatus {
    pub(crate) const ALL: [Self; 4] = [Self::Unknown, Self::Serving, Self::NotServing, Self::ServiceUnknown];

    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Unknown => "UNKNOWN",
            Self::Serving => "SERVING",
            Self::NotServing => "NOT_SERVING",
            Self::ServiceUnknown => "SERVICE_UNKNOWN",
        }
    }

    /// Reads the one field of a message that is not compressed; what it does not say is unknown.
    fn read(body: &[u8]) -> Self {
        match body {
            [0, _, _, _, length, 0x08, status, ..] if *length >= 2 => {
                Self::ALL.get(usize::from(*status)).copied().unwrap_or(Self::Unknown)
            }
            _ => Self::Unknown,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{HeaderMap, HeaderValue, Health, ServingStatus, request};

    #[test]
    fn a_request_names_its_service() {
        assert_eq!(request("")[..], [0, 0, 0, 0, 0]);
        assert_eq!(request("ab")[..], [0, 0, 0, 0, 4, 10, 2, b'a', b'b']);
        let long = request(&"a".repeat(200));
        assert_eq!(long[..8], [0, 0, 0, 0, 203, 10, 200, 1]);
    }

    #[test]
    fn an_answer_says_what_the_service_is() {
        let status = |text: &'static str| {
            HeaderMap::from_iter([("grpc-status".parse().expect("a name"), HeaderValue::from_static(text))])
        };
        let health = |text, body: &[u8]| Health::of(&status(text), body);
        let serving = |body: &[u8]| health("0", body).and_then(|health| health.serving);
        assert_eq!(serving(&[0, 0, 0, 0, 2, 8, 1]), Some(ServingStatus::Serving));
        assert_eq!(serving(&[0, 0, 0, 0, 2, 8, 2]), Some(ServingStatus::NotServing));
        assert_eq!(serving(&[0, 0, 0, 0, 0]), Some(ServingStatus::Unknown));
        assert_eq!(serving(&[0, 0, 0, 0, 2, 8, 99]), Some(ServingStatus::Unknown));
        assert_eq!(
            health("12", &[]).map(|health| (health.status_name(), health.serving)),
            Some(("UNIMPLEMENTED".to_owned(), None))
        );
        assert_eq!(Health::of(&HeaderMap::new(), &[]), None);
    }
}
