//! The thread that sends metrics: when, and what its answer means for the next time.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use opentelemetry_proto::tonic::resource::v1::Resource;
use prost::Message as _;

use super::begins::Begins;
use super::counts::{Counts, Failed};
use super::exposition;
use super::request::{Context, request};
use crate::node::metrics::open_metrics;
use crate::node::otlp::deadline::Deadline;
use crate::node::otlp::retry::pause;
use crate::node::otlp::send::{Answer, Sender};
use crate::node::registry::Running;
use crate::node::state::Shared;
use crate::units::{boot_clock, wall_clock_at};

/// So long before it is told what processes have, they are asked: within a second the agent asks, and most answer at once.
const LEAD: Duration = Duration::from_secs(2);

/// The longest that a receiver can have nothing sent to it.
const LONGEST_SILENCE: Duration = Duration::from_hours(1);

/// What became of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    /// The receiver took it.
    Taken,
    /// It did not.
    Failed,
    /// It did not, and is left alone for so long.
    PutOff(Duration),
}

/// Sends metrics until the agent ends.
pub(in crate::node::otlp) struct Reporter {
    state: Shared,
    sender: Sender,
    resource: Resource,
    interval: Duration,
    counts: Arc<Counts>,
    /// Nothing comes; it closes at the agent's end.
    working: Receiver<()>,
    /// By when it is to have ended then.
    deadline: Deadline,
    begins: Begins,
    /// How often in a row the receiver did not take them.
    failures: u32,
    /// What was said of that, while it lasts.
    trouble: Option<String>,
}

impl Reporter {
    pub(in crate::node::otlp) fn new(
        state: Shared,
        sender: Sender,
        resource: Resource,
        interval: Duration,
        counts: Arc<Counts>,
        working: Receiver<()>,
        deadline: Deadline,
    ) -> Self {
        let begins = Begins::new(wall_clock_at(boot_clock()));
        let (failures, trouble) = (0, None);
        Self { state, sender, resource, interval, counts, working, deadline, begins, failures, trouble }
    }

    /// Works.
    pub(in crate::node::otlp) fn run(mut self) {
        let mut due = Instant::now() + self.interval;
        loop {
            if self.ends_before(due.checked_sub(LEAD).unwrap_or(due)) {
                break;
            }
            self.state.lock().scraped = true;
            if self.ends_before(due) {
                break;
            }
            let outcome = self.send(Duration::MAX);
            let now = Instant::now();
            due = match outcome {
                Outcome::PutOff(pause) => now + pause,
                // What would have come meanwhile is left out.
                _ => Some(due + self.interval).filter(|due| *due > now).unwrap_or(now + self.interval),
            };
        }
        // The end: whatever the receiver said, if there is time.
        let left = self.deadline.left();
        if !left.is_zero() && self.send(left) == Outcome::Taken {
            self.counts.complete();
        }
    }

    /// Waits until then, or until the agent ends.
    fn ends_before(&self, then: Instant) -> bool {
        let wait = then.saturating_duration_since(Instant::now());
        self.working.recv_timeout(wait) == Err(RecvTimeoutError::Disconnected)
    }

    /// Sends what there is now, for so long at most.
    fn send(&mut self, longest: Duration) -> Outcome {
        let answer = match self.body() {
            Ok(body) => self.sender.send(&body, longest),
            Err(why) => {
                self.counts.fail(Failed::Unreadable);
                self.complain(why);
                return Outcome::Failed;
            }
        };
        match answer {
            Answer::Taken { rejected, why } => {
                self.failures = 0;
                self.counts.deliver(rejected);
                if rejected > 0 {
                    self.complain(format!("the receiver does not want some data points: {why}"));
                } else if self.trouble.take().is_some() {
                    tracing::info!(url = self.sender.url(), "OTLP: the receiver takes metrics again");
                }
                Outcome::Taken
            }
            Answer::Refused { why } => {
                self.failures = 0;
                self.counts.fail(Failed::Refused);
                self.complain(format!("the receiver refuses metrics: {why}"));
                Outcome::Failed
            }
            Answer::Later { after, why } => {
                self.failures = self.failures.saturating_add(1);
                self.counts.fail(Failed::Unreachable);
                self.complain(format!("metrics were not sent, and are tried again: {why}"));
                Outcome::PutOff(after.unwrap_or_else(|| pause(self.failures)).min(LONGEST_SILENCE))
            }
        }
    }

    /// Says it, unless that was what was said last.
    fn complain(&mut self, what: String) {
        if self.trouble.as_ref() != Some(&what) {
            tracing::warn!(url = self.sender.url(), "OTLP: {what}");
            self.trouble = Some(what);
        }
    }

    /// What there is now, as a request.
    fn body(&mut self) -> Result<Vec<u8>, String> {
        let text = open_metrics(&self.state).map_err(|error| error.to_string())?;
        let began: HashMap<String, u64> = {
            let state = self.state.lock();
            let of = |running: &Running| Some((running.process.pid.to_string(), running.began?));
            state.registry.iter().filter_map(of).collect()
        };
        let families = exposition::read(&text).map_err(|error| error.to_string())?;
        let context = Context {
            resource: self.resource.clone(),
            begins: &mut self.begins,
            processes: &|pid| began.get(pid).copied(),
            time: wall_clock_at(boot_clock()),
        };
        Ok(request(&families, context).encode_to_vec())
    }
}
