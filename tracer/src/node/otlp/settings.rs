//! What is sent where: the option and OpenTelemetry's variables.

use std::time::Duration;

use hyper::header::{HeaderName, HeaderValue};
use percent_encoding::percent_decode_str;
use thiserror::Error;

use crate::node::endpoint::{Endpoint, EndpointError};
use crate::node::interval::INTERVALS;

const ENDPOINT: &str = "OTEL_EXPORTER_OTLP_ENDPOINT";
const PROTOCOL: &str = "OTEL_EXPORTER_OTLP_PROTOCOL";
const HEADERS: &str = "OTEL_EXPORTER_OTLP_HEADERS";
const TIMEOUT: &str = "OTEL_EXPORTER_OTLP_TIMEOUT";
const ATTRIBUTES: &str = "OTEL_RESOURCE_ATTRIBUTES";
const SERVICE: &str = "OTEL_SERVICE_NAME";
const INTERVAL: &str = "OTEL_METRIC_EXPORT_INTERVAL";

/// What the specification has where nothing is said.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(10);

/// The same of metrics.
const DEFAULT_INTERVAL: Duration = Duration::from_secs(60);

/// A longer one would only be waited for by starts that find no room.
const LONGEST_TIMEOUT: Duration = Duration::from_secs(60);

/// What is sent where.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where to.
    pub(super) endpoint: Endpoint,
    /// With every request; their values are secrets.
    pub(super) headers: Vec<(HeaderName, HeaderValue)>,
    /// How long one request may take.
    pub(super) timeout: Duration,
    /// Of every resource, in order.
    pub(super) attributes: Vec<(String, String)>,
    /// How often metrics are sent; none when they are not.
    pub(super) metrics: Option<Duration>,
}

/// Whether metrics are sent, as it was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Metrics {
    /// They are not.
    Unsent,
    /// As often as the variable says, else as the specification has it.
    Sent,
    /// So often.
    Every(Duration),
}

/// A variable that is not understood. Its value, which may be a secret, is not told.
#[derive(Debug, Error)]
pub enum SettingsError {
    /// The receiver.
    #[error("{ENDPOINT}: {0}")]
    Endpoint(#[source] EndpointError),
    /// Another protocol is asked for.
    #[error("{PROTOCOL}: only http/protobuf is spoken, which collectors take on port 4318")]
    Protocol,
    /// A list that is none.
    #[error("{0}: a list is needed, such as key=value,other=value, percent-encoded")]
    List(&'static str),
    /// No time.
    #[error("{TIMEOUT}: a number of milliseconds is needed, 60000 at most")]
    Timeout,
    /// No time between.
    #[error("{INTERVAL}: a number of milliseconds is needed, from 1000 to 86400000")]
    Interval,
}

impl Settings {
    /// By the options, else by the variables. None when neither names a receiver.
    ///
    /// # Errors
    /// When a variable that matters is not understood.
    pub fn of(
        option: Option<&Endpoint>,
        metrics: Metrics,
        variable: impl Fn(&str) -> Option<String>,
    ) -> Result<Option<Self>, SettingsError> {
        // Empty is as good as not set, says the specification.
        let variable = |name: &str| variable(name).filter(|value| !value.trim().is_empty());
        let endpoint = match option {
            Some(endpoint) => endpoint.clone(),
            None => match variable(ENDPOINT) {
                Some(text) => text.trim().parse().map_err(SettingsError::Endpoint)?,
                None => return Ok(None),
            },
        };
        if variable(PROTOCOL).is_some_and(|protocol| protocol.trim() != "http/protobuf") {
            return Err(SettingsError::Protocol);
        }
        let timeout = variable(TIMEOUT).map(|text| text.trim().parse().map_err(|_| SettingsError::Timeout));
        let timeout = timeout.transpose()?.map_or(DEFAULT_TIMEOUT, Duration::from_millis);
        if timeout.is_zero() || timeout > LONGEST_TIMEOUT {
            return Err(SettingsError::Timeout);
        }
        let metrics = match metrics {
            Metrics::Unsent => None,
            Metrics::Every(interval) => Some(interval),
            Metrics::Sent => Some(match variable(INTERVAL) {
                Some(text) => interval(&text).ok_or(SettingsError::Interval)?,
                None => DEFAULT_INTERVAL,
            }),
        };
        let mut attributes =
            variable(ATTRIBUTES).map(|text| list(ATTRIBUTES, &text)).transpose()?.unwrap_or_default();
        if let Some(name) = variable(SERVICE) {
            attributes.retain(|(key, _)| key != "service.name");
            attributes.push(("service.name".to_owned(), name));
        }
        let pairs = variable(HEADERS).map(|text| list(HEADERS, &text)).transpose()?.unwrap_or_default();
        let headers = pairs.iter().map(|(name, value)| header(name, value)).collect::<Option<_>>();
        Ok(Some(Self {
            endpoint,
            headers: headers.ok_or(SettingsError::List(HEADERS))?,
            timeout,
            attributes,
            metrics,
        }))
    }

    /// The receiver, to be told.
    #[must_use]
    pub fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// How often metrics are sent, to be told; none when they are not.
    #[must_use]
    pub fn metrics(&self) -> Option<Duration> {
        self.metrics
    }
}

fn interval(text: &str) -> Option<Duration> {
    let interval = Duration::from_millis(text.trim().parse().ok()?);
    INTERVALS.contains(&interval).then_some(interval)
}

/// Pairs as in W3C's Baggage.
fn list(name: &'static str, text: &str) -> Result<Vec<(String, String)>, SettingsError> {
    let pair = |member: &str| {
        let (key, value) = member.split_once('=')?;
        let value = percent_decode_str(value.trim()).decode_utf8().ok()?;
        let key = percent_decode_str(key.trim()).decode_utf8().ok()?;
        (!key.is_empty()).then(|| (key.into_owned(), value.into_owned()))
    };
    let members = text.split(',').filter(|member| !member.trim().is_empty());
    members.map(pair).collect::<Option<_>>().ok_or(SettingsError::List(name))
}

fn header(name: &str, value: &str) -> Option<(HeaderName, HeaderValue)> {
    let mut value = HeaderValue::from_str(value).ok()?;
    value.set_sensitive(true);
    Some((name.parse().ok()?, value))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(option: Option<&str>, variables: &[(&str, &str)]) -> Result<Option<Settings>, SettingsError> {
        let option = option.map(|text| text.parse::<Endpoint>().unwrap());
        Settings::of(option.as_ref(), Metrics::Sent, |name| {
            variables.iter().find(|(own, _)| *own == name).map(|(_, value)| (*value).to_owned())
        })
    }

    #[test]
    fn the_option_is_stronger_than_the_variable() {
        assert!(of(None, &[(ENDPOINT, " "), (PROTOCOL, "grpc")]).unwrap().is_none());
        let set = [(ENDPOINT, "http://a:4318")];
        assert_eq!(of(None, &set).unwrap().unwrap().endpoint.to_string(), "http://a:4318");
        assert_eq!(of(Some("http://b"), &set).unwrap().unwrap().endpoint.to_string(), "http://b");
    }

    #[test]
    fn variables_are_read_as_the_specification_has_them() {
        let variables = [
            (HEADERS, "authorization=Bearer%20secret, x-scope = a%2Cb "),
            (ATTRIBUTES, "deployment.environment.name=prod,service.name=all"),
            (SERVICE, "cart"),
            (TIMEOUT, "1500"),
            (INTERVAL, " 5000 "),
            (PROTOCOL, "http/protobuf"),
        ];
        let settings = of(Some("http://a"), &variables).unwrap().unwrap();
        assert_eq!(settings.timeout, Duration::from_millis(1500));
        assert_eq!(settings.metrics, Some(Duration::from_secs(5)));
        let attributes = [("deployment.environment.name", "prod"), ("service.name", "cart")];
        assert_eq!(settings.attributes, attributes.map(|(key, value)| (key.to_owned(), value.to_owned())));
        let headers: Vec<_> =
            settings.headers.iter().map(|(name, value)| (name.as_str(), value.to_str().unwrap())).collect();
        assert_eq!(headers, [("authorization", "Bearer secret"), ("x-scope", "a,b")]);
        assert!(!format!("{settings:?}").contains("secret"));
    }

    #[test]
    fn metrics_are_sent_when_that_is_asked_for_and_the_option_says_how_often() {
        let every = |metrics, variables: &[(&str, &str)]| {
            let endpoint = "http://a".parse().unwrap();
            let of = |name: &str| {
                variables.iter().find(|(own, _)| *own == name).map(|(_, value)| (*value).to_owned())
            };
            Settings::of(Some(&endpoint), metrics, of).unwrap().unwrap().metrics
        };
        let set = [(INTERVAL, "5000")];
        // What does not matter is not looked at.
        assert_eq!(every(Metrics::Unsent, &[(INTERVAL, "often")]), None);
        assert_eq!(every(Metrics::Every(Duration::from_secs(2)), &set), Some(Duration::from_secs(2)));
        assert_eq!(every(Metrics::Sent, &set), Some(Duration::from_secs(5)));
        assert_eq!(every(Metrics::Sent, &[]), Some(Duration::from_secs(60)));
    }

    #[test]
    fn what_is_not_understood_is_named_and_no_secret_told() {
        for (name, value) in [
            (PROTOCOL, "grpc"),
            (HEADERS, "secret"),
            (HEADERS, "a b=secret"),
            (HEADERS, "a=secret%0A"),
            (ATTRIBUTES, "=secret"),
            (TIMEOUT, "10s"),
            (TIMEOUT, "0"),
            (INTERVAL, "5s"),
            (INTERVAL, "999"),
            (INTERVAL, "86400001"),
        ] {
            let error = of(Some("http://a"), &[(name, value)]).unwrap_err().to_string();
            assert!(error.starts_with(name) && !error.contains("secret"), "{value}: {error}");
        }
        let error = of(None, &[(ENDPOINT, "https://a")]).unwrap_err();
        assert!(error.to_string().contains("no TLS"), "{error}");
    }
}
