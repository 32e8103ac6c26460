//! Whom starts and metrics are sent to, in a build that can.

use std::time::Duration;

use super::super::exit::EnvironmentRefused;
use crate::node::{Endpoint, Shared};

#[cfg(feature = "otlp")]
pub(super) use self::otlp::Receiver;

#[cfg(feature = "otlp")]
mod otlp {
    use super::{Duration, Endpoint, EnvironmentRefused, Shared};
    use crate::node::otlp::{Exporter, Metrics, Settings};

    /// So long the agent's end may take for what waits to be sent: after the probes are gone, and within the second that
    /// all of it may take.
    const PATIENCE: Duration = Duration::from_millis(300);

    /// The receiver, if there is one.
    pub(in super::super) struct Receiver(Option<Settings>);

    /// What sends to it.
    pub(in super::super) struct Sending(Option<Exporter>);

    impl Receiver {
        /// By the options or the environment's variables. Metrics are sent if that is asked for, so often if that is said.
        pub(in super::super) fn of(
            option: Option<&Endpoint>,
            metrics: Option<Option<Duration>>,
        ) -> Result<Self, EnvironmentRefused> {
            let metrics = match metrics {
                None => Metrics::Unsent,
                Some(None) => Metrics::Sent,
                Some(Some(interval)) => Metrics::Every(interval),
            };
            let settings = Settings::of(option, metrics, |name| std::env::var(name).ok());
            settings.map(Self).map_err(|error| EnvironmentRefused(error.to_string()))
        }

        /// Whether there is none.
        pub(in super::super) const fn is_nobody(&self) -> bool {
            self.0.is_none()
        }

        /// From now on starts are sent, and metrics if they are to be.
        pub(in super::super) fn begin(self, state: &Shared) -> std::io::Result<Sending> {
            let Self(Some(settings)) = self else { return Ok(Sending(None)) };
            tracing::info!(url = %settings.endpoint(), "starts are sent by OTLP");
            if let Some(interval) = settings.metrics() {
                tracing::info!(seconds = interval.as_secs_f64(), "metrics are sent by OTLP, so often");
            }
            Exporter::begin(settings, state.clone()).map(|exporter| Sending(Some(exporter)))
        }
    }

    impl Sending {
        /// What waits is sent, for a moment.
        pub(in super::super) fn end(self) {
            if let Some(exporter) = self.0 {
                exporter.end(PATIENCE);
            }
        }
    }
}

/// Nobody.
#[cfg(not(feature = "otlp"))]
pub(super) struct Receiver;

#[cfg(not(feature = "otlp"))]
impl Receiver {
    /// None but nobody.
    pub(super) fn of(
        option: Option<&Endpoint>,
        metrics: Option<Option<Duration>>,
    ) -> Result<Self, EnvironmentRefused> {
        match (option, metrics) {
            (None, None) => Ok(Self),
            _ => Err(EnvironmentRefused(
                "this gotrace cannot send by OTLP: it was built without the feature `otlp`. What `cargo xtask dist` makes \
                 has it, and so has `cargo build --release --features otlp`"
                    .to_owned(),
            )),
        }
    }

    /// Always.
    pub(super) const fn is_nobody(&self) -> bool {
        true
    }

    /// Nothing is sent.
    #[expect(clippy::unnecessary_wraps, reason = "as the build that can send has it")]
    pub(super) const fn begin(self, _: &Shared) -> std::io::Result<Self> {
        Ok(self)
    }

    /// Nothing waits.
    pub(super) const fn end(self) {}
}
