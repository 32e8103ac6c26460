//! Starts as traces, and metrics if they are asked for, sent to an OTLP receiver over HTTP.
//!
//! The agent hands a start over and goes on (`Outbox`); there is room or it is counted. One thread (`worker.rs`) makes
//! requests of what waits and may take its time: nothing else waits for it, but for a moment at the agent's end. So does
//! another with the metrics (`metrics/`), which it reads as whoever asks over HTTP does.

mod attributes;
mod counts;
mod deadline;
mod metrics;
mod resource;
mod retry;
mod send;
mod sent;
mod settings;
mod spans;
mod start;
mod worker;

use std::sync::Arc;
use std::sync::mpsc::{self, SyncSender};
use std::time::Duration;
use std::{fs, io, thread};

use self::counts::{Counts, Dropped};
use self::deadline::Deadline;
use self::metrics::Reporter;
use self::resource::Common;
use self::send::Sender;
pub(super) use self::sent::Sent;
pub use self::settings::{Metrics, Settings, SettingsError};
pub(super) use self::start::{Start, Whose};
use self::worker::Worker;
use super::state::Shared;
use crate::units::Nanos;

/// So many starts are on their way to the thread that sends.
const MOST_QUEUED: usize = 1024;

/// What the agent tells.
#[derive(Debug)]
enum Message {
    /// A start is over.
    Start(Box<Start>),
    /// One that began then was ready.
    Ready { pid: u32, begin: Nanos, ready: Nanos },
}

/// Where the agent puts what is to be sent. Never waits.
#[derive(Debug)]
pub(super) struct Outbox {
    queue: SyncSender<Message>,
    counts: Arc<Counts>,
}

impl Outbox {
    /// A start is over.
    pub(super) fn start(&self, start: Start) {
        self.counts.queue();
        if self.queue.try_send(Message::Start(Box::new(start))).is_err() {
            self.counts.give_up(1, Dropped::NoRoom);
        }
    }

    /// The start of that process was ready. Told while the start waits, else its span ends at `main.main`.
    pub(super) fn ready(&self, pid: u32, begin: Nanos, ready: Nanos) {
        let _ = self.queue.try_send(Message::Ready { pid, begin, ready });
    }
}

/// The threads that send.
pub struct Exporter {
    state: Shared,
    deadline: Deadline,
    starts: Arc<Counts>,
    metrics: Option<Reporting>,
    /// Nothing comes; it closes when the threads have ended.
    ended: mpsc::Receiver<()>,
}

/// The metrics' part of it.
struct Reporting {
    counts: Arc<metrics::Counts>,
    /// Nothing is put in; it closes at the agent's end.
    working: SyncSender<()>,
}

impl Exporter {
    /// From now on the starts that the agent sees are sent, and its metrics if they are asked for.
    ///
    /// # Errors
    /// When the kernel gives no thread, or not the id of this boot.
    pub fn begin(settings: Settings, state: Shared) -> io::Result<Self> {
        let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id")?;
        let (queue, queued) = mpsc::sync_channel(MOST_QUEUED);
        let (end, ended) = mpsc::channel();
        let (counts, deadline) = (Arc::new(Counts::default()), Deadline::default());
        let common = Common::new(settings.attributes.clone());
        let metrics = settings.metrics.map(|interval| {
            let (counts, (working, works)) = (Arc::new(metrics::Counts::default()), mpsc::sync_channel(0));
            let reporter = Reporter::new(
                state.clone(),
                Sender::new(settings.clone(), "v1/metrics"),
                common.agent(&boot),
                interval,
                Arc::clone(&counts),
                works,
                deadline.clone(),
            );
            (reporter, Reporting { counts, working })
        });
        let sender = Sender::new(settings, "v1/traces");
        let worker = Worker::new(queued, sender, common, boot, Arc::clone(&counts), deadline.clone());
        spawn("otlp", end.clone(), move || worker.run())?;
        let metrics = match metrics {
            None => None,
            Some((reporter, metrics)) => {
                spawn("otlp-metrics", end, move || reporter.run())?;
                Some(metrics)
            }
        };
        let mut locked = state.lock();
        locked.sent.starts = Some(Arc::clone(&counts));
        locked.sent.metrics = metrics.as_ref().map(|metrics| Arc::clone(&metrics.counts));
        locked.outbox = Some(Outbox { queue, counts: Arc::clone(&counts) });
        drop(locked);
        Ok(Self { state, deadline, starts: counts, metrics, ended })
    }

    /// Sends what waits, for so long at most, and ends.
    pub fn end(self, patience: Duration) {
        self.deadline.set(patience);
        // By these the threads know.
        drop(self.state.lock().outbox.take());
        let metrics = self.metrics.map(|Reporting { counts, working }| {
            drop(working);
            counts
        });
        let _ = self.ended.recv_timeout(patience);
        match metrics.map(|counts| counts.is_complete()) {
            Some(false) => tracing::warn!("OTLP: the last metrics were not sent"),
            Some(true) => tracing::info!("OTLP: the last metrics were sent"),
            None => {}
        }
        let counts = &self.starts;
        let unsent = counts.waiting() + Dropped::ALL.map(|why| counts.dropped(why)).iter().sum::<u64>();
        let sent = counts.sent();
        if unsent > 0 {
            tracing::warn!(sent, unsent, "OTLP: starts that were not sent");
        } else {
            tracing::info!(sent, "OTLP: every start was sent");
        }
    }
}

/// Begins a thread, of whose end the other side of `end` knows.
fn spawn(name: &str, end: mpsc::Sender<()>, work: impl FnOnce() + Send + 'static) -> io::Result<()> {
    let work = move || {
        work();
        drop(end);
    };
    thread::Builder::new().name(name.to_owned()).spawn(work).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::StartupTimeline;

    #[test]
    fn nobody_waits_for_room_and_what_finds_none_is_counted() {
        let (queue, queued) = mpsc::sync_channel(2);
        let outbox = Outbox { queue, counts: Arc::default() };
        for _ in 0..5 {
            outbox.start(Start::of_nothing(StartupTimeline::default()));
            outbox.ready(7, Nanos(0), Nanos(1));
        }
        let counts = &outbox.counts;
        // The first start and that it was ready.
        assert_eq!((counts.dropped(Dropped::NoRoom), counts.waiting()), (4, 1));
        drop(queued);
        outbox.start(Start::of_nothing(StartupTimeline::default()));
        assert_eq!(counts.dropped(Dropped::NoRoom), 5);
    }
}
