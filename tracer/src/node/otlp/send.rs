//! One request to the receiver, and what its answer means.

use std::time::{Duration, SystemTime};

use hyper::header::{CONTENT_TYPE, RETRY_AFTER};
use prost::Message;
use ureq::Agent;
use ureq::http::{HeaderMap, StatusCode};

use super::settings::Settings;
use crate::node::workload::label;

/// So much of an answer is read.
const MOST_ANSWER: u64 = 64 << 10;

/// What became of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// The receiver took it, but for so many of its spans or data points, and said why.
    Taken { rejected: u64, why: String },
    /// It may be taken later, after that time if the receiver says one.
    Later { after: Option<Duration>, why: String },
    /// It is not wanted, now or later.
    Refused { why: String },
}

/// Makes the requests.
pub(super) struct Sender {
    agent: Agent,
    url: String,
    settings: Settings,
}

impl Sender {
    /// What makes requests to the receiver's path of a signal, such as `v1/traces`.
    pub(super) fn new(settings: Settings, path: &str) -> Self {
        // A receiver that has moved is for people to look after: secrets in headers go nowhere else.
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .user_agent(concat!("gotrace/", env!("CARGO_PKG_VERSION")));
        Self { agent: config.build().into(), url: settings.endpoint.url(path), settings }
    }

    /// Where to.
    pub(super) fn url(&self) -> &str {
        &self.url
    }

    /// Sends, for so long at most, and no longer than is set.
    pub(super) fn send(&self, body: &[u8], longest: Duration) -> Answer {
        let timeout = longest.min(self.settings.timeout);
        let mut request = self
            .agent
            .post(&self.url)
            .config()
            .timeout_global(Some(timeout))
            .build()
            .header(CONTENT_TYPE, "application/x-protobuf");
        for (name, value) in &self.settings.headers {
            request = request.header(name, value);
        }
        let mut response = match request.send(body) {
            Ok(response) => response,
            Err(error) => return Answer::Later { after: None, why: error.to_string() },
        };
        let body = response.body_mut().with_config().limit(MOST_ANSWER).read_to_vec();
        let (status, headers) = (response.status(), response.headers());
        if status.is_success() {
            return taken(&body.unwrap_or_default());
        }
        let why = said(status, &body.unwrap_or_default());
        // Of others the protocol says that they must not be sent again.
        match status.as_u16() {
            429 | 502 | 503 | 504 => Answer::Later { after: retry_after(headers, SystemTime::now()), why },
            _ => Answer::Refused { why },
        }
    }
}

/// A status of gRPC's, which the receiver gives with its refusals (google/rpc/status.proto).
#[derive(Clone, PartialEq, Message)]
struct Refusal {
    #[prost(string, tag = "2")]
    message: String,
}

/// What a receiver answers: `ExportTraceServiceResponse` and `ExportMetricsServiceResponse` are one but for a field's name.
#[derive(Clone, PartialEq, Message)]
struct Response {
    #[prost(message, optional, tag = "1")]
    partial_success: Option<PartialSuccess>,
}

/// What it did not want.
#[derive(Clone, PartialEq, Message)]
struct PartialSuccess {
    #[prost(int64, tag = "1")]
    rejected: i64,
    #[prost(string, tag = "2")]
    error_message: String,
}

fn taken(body: &[u8]) -> Answer {
    // What cannot be read as an answer says nothing against the request.
    let partial = Response::decode(body).unwrap_or_default().partial_success.unwrap_or_default();
    let rejected = u64::try_from(partial.rejected).unwrap_or(0);
    Answer::Taken { rejected, why: label(&partial.error_message) }
}

fn said(status: StatusCode, body: &[u8]) -> String {
    match Refusal::decode(body) {
        Ok(Refusal { message }) if !message.is_empty() => format!("{status}: {}", label(&message)),
        _ => status.to_string(),
    }
}

/// Seconds, or a date; at least a second, lest a receiver that says 0 is asked all the time.
fn retry_after(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let value = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    let date = || httpdate::parse_http_date(value).ok()?.duration_since(now).ok();
    let after = value.parse().map(Duration::from_secs).ok().or_else(date);
    after.map(|after| after.max(Duration::from_secs(1)))
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use opentelemetry_proto::tonic::collector::metrics::v1::{
        ExportMetricsPartialSuccess, ExportMetricsServiceResponse,
    };
    use opentelemetry_proto::tonic::collector::trace::v1::{
        ExportTracePartialSuccess, ExportTraceServiceResponse,
    };

    use super::*;

    #[test]
    fn what_was_not_wanted_is_told() {
        let error_message = "too\u{1b}old".to_owned();
        let partial = ExportTracePartialSuccess { rejected_spans: 3, error_message: error_message.clone() };
        let spans = ExportTraceServiceResponse { partial_success: Some(partial) }.encode_to_vec();
        let partial = ExportMetricsPartialSuccess { rejected_data_points: 3, error_message };
        let points = ExportMetricsServiceResponse { partial_success: Some(partial) }.encode_to_vec();
        for body in [spans, points] {
            assert_eq!(taken(&body), Answer::Taken { rejected: 3, why: r"too\u{1b}old".to_owned() });
        }
        let all = Answer::Taken { rejected: 0, why: String::new() };
        assert_eq!(taken(&[]), all);
        assert_eq!(taken(b"<html>"), all);
    }

    #[test]
    fn a_refusal_says_why_when_it_is_one_of_the_protocol() {
        let refusal = Refusal { message: "no such tenant".to_owned() }.encode_to_vec();
        assert_eq!(said(StatusCode::BAD_REQUEST, &refusal), "400 Bad Request: no such tenant");
        assert_eq!(said(StatusCode::NOT_FOUND, b"404 page not found"), "404 Not Found");
    }

    #[test]
    fn the_receiver_says_when_to_come_again_in_seconds_or_as_a_date() {
        let of = |value: &str| {
            let headers = HeaderMap::from_iter([(RETRY_AFTER, value.parse().unwrap())]);
            retry_after(&headers, UNIX_EPOCH + Duration::from_secs(784_111_777 - 30))
        };
        assert_eq!(of("120"), Some(Duration::from_secs(120)));
        assert_eq!(of("Sun, 06 Nov 1994 08:49:37 GMT"), Some(Duration::from_secs(30)));
        assert_eq!(of("Sun, 06 Nov 1983 08:49:37 GMT"), None);
        assert_eq!(of("soon"), None);
        assert_eq!(of("0"), Some(Duration::from_secs(1)));
    }
}
