//! Starts as traces, sent to an OTLP receiver over HTTP.
//!
//! The agent hands a start over and goes on (`Outbox`); there is room or it is counted. One thread (`worker.rs`) makes
//! requests of what waits and may take its time: nothing else waits for it, but for a moment at the agent's end.

mod attributes;
mod counts;
mod resource;
mod send;
mod settings;
mod spans;
mod start;
mod worker;

use std::sync::mpsc::{self, SyncSender};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};
use std::{fs, io, thread};

pub(super) use self::counts::{Counts, Dropped};
use self::resource::Common;
use self::send::Sender;
pub use self::settings::{Settings, SettingsError};
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

    /// What became of what was put in.
    pub(super) fn counts(&self) -> &Counts {
        &self.counts
    }
}

/// The thread that sends.
pub struct Exporter {
    state: Shared,
    deadline: Arc<OnceLock<Instant>>,
    /// Nothing comes; it closes when the thread has ended.
    ended: mpsc::Receiver<()>,
}

impl Exporter {
    /// From now on the starts that the agent sees are sent.
    ///
    /// # Errors
    /// When the kernel gives no thread, or not the id of this boot.
    pub fn begin(settings: Settings, state: Shared) -> io::Result<Self> {
        let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id")?;
        let (queue, queued) = mpsc::sync_channel(MOST_QUEUED);
        let (end, ended) = mpsc::channel();
        let (counts, deadline) = (Arc::new(Counts::default()), Arc::new(OnceLock::new()));
        let common = Common::new(settings.attributes.clone());
        let worker = Worker::new(
            queued,
            Sender::new(settings),
            common,
            boot,
            Arc::clone(&counts),
            Arc::clone(&deadline),
        );
        thread::Builder::new().name("otlp".to_owned()).spawn(move || {
            worker.run();
            drop(end);
        })?;
        state.lock().outbox = Some(Outbox { queue, counts });
        Ok(Self { state, deadline, ended })
    }

    /// Sends what waits, for so long at most, and ends.
    pub fn end(self, patience: Duration) {
        let _ = self.deadline.set(Instant::now() + patience);
        let Some(outbox) = self.state.lock().outbox.take() else { return };
        let counts = Arc::clone(&outbox.counts);
        // By this the thread knows.
        drop(outbox);
        let _ = self.ended.recv_timeout(patience);
        let unsent = counts.waiting() + Dropped::ALL.map(|why| counts.dropped(why)).iter().sum::<u64>();
        let sent = counts.sent();
        if unsent > 0 {
            tracing::warn!(sent, unsent, "OTLP: starts that were not sent");
        } else {
            tracing::info!(sent, "OTLP: every start was sent");
        }
    }
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
        let counts = outbox.counts();
        // The first start and that it was ready.
        assert_eq!((counts.dropped(Dropped::NoRoom), counts.waiting()), (4, 1));
        drop(queued);
        outbox.start(Start::of_nothing(StartupTimeline::default()));
        assert_eq!(counts.dropped(Dropped::NoRoom), 5);
    }
}
