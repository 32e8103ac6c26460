//! The thread that sends: what waits, what is tried again, and what is given up.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use prost::Message as _;

use super::Message;
use super::counts::{Counts, Dropped};
use super::deadline::Deadline;
use super::resource::Common;
use super::retry::pause;
use super::send::{Answer, Sender};
use super::spans::request;
use super::start::Start;

/// So long a start waits for its being ready, and for others to be sent with.
const HOLD: Duration = Duration::from_secs(5);

/// So many starts are sent at once; when so many wait, none waits longer.
const MOST_AT_ONCE: usize = 128;

/// So many starts wait, besides those on their way here.
const MOST_WAITING: usize = 1024;

/// So long the same starts are tried again.
const PERSISTENCE: Duration = Duration::from_secs(60);

/// How it is said that starts find no room: not more often than this.
const NOTICE: Duration = Duration::from_secs(10);

/// Sends starts until nobody can give it any.
pub(super) struct Worker {
    queue: Receiver<Message>,
    sender: Sender,
    common: Common,
    /// The id of this boot of the machine.
    boot: String,
    counts: Arc<Counts>,
    /// When it is to have ended; set before nobody can give it starts any more.
    deadline: Deadline,
    /// With when they came.
    waiting: VecDeque<(Instant, Start)>,
    batch: Option<Batch>,
    /// Before that nothing is sent.
    not_before: Instant,
    /// Whether the last request failed.
    troubled: bool,
    /// How many had found no room when that was told last, and when.
    noticed: (u64, Instant),
}

/// A request that is made until it is answered.
struct Batch {
    body: Vec<u8>,
    starts: usize,
    begun: Instant,
    tries: u32,
}

impl Worker {
    pub(super) fn new(
        queue: Receiver<Message>,
        sender: Sender,
        common: Common,
        boot: String,
        counts: Arc<Counts>,
        deadline: Deadline,
    ) -> Self {
        let now = Instant::now();
        let (waiting, batch, not_before, troubled) = (VecDeque::new(), None, now, false);
        let noticed = (0, now);
        Self { queue, sender, common, boot, counts, deadline, waiting, batch, not_before, troubled, noticed }
    }

    /// Works.
    pub(super) fn run(mut self) {
        while self.listen() {
            self.notice();
            while Instant::now() >= self.not_before && self.step(Instant::now(), PERSISTENCE) {}
        }
        // The end: everything once more, as long as there is time.
        while !self.deadline.left().is_zero() && self.step(Instant::now() + HOLD, self.deadline.left()) {
            if self.troubled {
                break;
            }
        }
        let unsent = self.batch.map_or(0, |batch| batch.starts) + self.waiting.len();
        self.counts.give_up(unsent, Dropped::Unreachable);
    }

    /// Waits until there is something to do, and takes in what has come. Whether more may come.
    fn listen(&mut self) -> bool {
        let first = match self.wakes() {
            None => self.queue.recv().map_err(|_| RecvTimeoutError::Disconnected),
            Some(at) => self.queue.recv_timeout(at.saturating_duration_since(Instant::now())),
        };
        match first {
            Ok(message) => self.take(message),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return false,
        }
        while let Ok(message) = self.queue.try_recv() {
            self.take(message);
        }
        true
    }

    /// When there is something to do; none when nothing waits.
    fn wakes(&self) -> Option<Instant> {
        if self.batch.is_some() || self.waiting.len() >= MOST_AT_ONCE {
            return Some(self.not_before);
        }
        self.waiting.front().map(|(came, _)| (*came + HOLD).max(self.not_before))
    }

    fn take(&mut self, message: Message) {
        match message {
            Message::Start(start) if self.waiting.len() < MOST_WAITING => {
                self.waiting.push_back((Instant::now(), *start));
            }
            Message::Start(_) => self.counts.give_up(1, Dropped::NoRoom),
            Message::Ready { pid, begin, ready } => {
                let is_it = |start: &&mut Start| start.pid == pid && start.timeline.begin == begin;
                let found = self.waiting.iter_mut().rev().map(|(_, start)| start).find(is_it);
                if let Some(start) = found {
                    start.ready = Some(ready);
                }
            }
        }
    }

    /// Makes one request, if there is one to be made at that time. Whether one was made.
    fn step(&mut self, now: Instant, longest: Duration) -> bool {
        let Some(mut batch) = self.batch.take().or_else(|| self.gather(now)) else { return false };
        batch.tries += 1;
        let answer = self.sender.send(&batch.body, longest);
        self.troubled = !matches!(answer, Answer::Taken { .. });
        match answer {
            Answer::Taken { rejected, why } => {
                self.counts.deliver(batch.starts);
                self.counts.reject(rejected);
                if rejected > 0 {
                    tracing::warn!(
                        url = self.sender.url(),
                        rejected,
                        "OTLP: the receiver does not want some spans: {why}"
                    );
                } else if batch.tries > 1 {
                    tracing::info!(url = self.sender.url(), "OTLP: the receiver takes starts again");
                }
            }
            Answer::Refused { why } => {
                self.counts.give_up(batch.starts, Dropped::Refused);
                tracing::warn!(
                    url = self.sender.url(),
                    starts = batch.starts,
                    "OTLP: the receiver refuses starts: {why}"
                );
            }
            Answer::Later { after, why } => self.again(batch, after, &why),
        }
        true
    }

    /// Tries it again later, or gives it up.
    fn again(&mut self, batch: Batch, after: Option<Duration>, why: &str) {
        let pause = after.unwrap_or_else(|| pause(batch.tries));
        let Some(next) = Instant::now().checked_add(pause).filter(|next| *next <= batch.begun + PERSISTENCE)
        else {
            self.counts.give_up(batch.starts, Dropped::Unreachable);
            self.not_before = Instant::now() + pause.min(PERSISTENCE);
            tracing::warn!(
                url = self.sender.url(),
                starts = batch.starts,
                "OTLP: starts are given up: {why}"
            );
            return;
        };
        if batch.tries == 1 && !self.deadline.is_set() {
            tracing::warn!(
                url = self.sender.url(),
                starts = batch.starts,
                "OTLP: not sent, and tried again: {why}"
            );
        }
        self.not_before = next;
        self.batch = Some(batch);
    }

    /// Those whose time has come.
    fn gather(&mut self, now: Instant) -> Option<Batch> {
        let is_due = |came: &Instant| *came + HOLD <= now;
        let due = if self.waiting.len() >= MOST_AT_ONCE {
            MOST_AT_ONCE
        } else {
            self.waiting.iter().take_while(|(came, _)| is_due(came)).count()
        };
        let starts: Vec<Start> = self.waiting.drain(..due).map(|(_, start)| start).collect();
        let body = || request(&starts, &self.common, &self.boot).encode_to_vec();
        (!starts.is_empty()).then(|| Batch {
            body: body(),
            starts: starts.len(),
            begun: Instant::now(),
            tries: 0,
        })
    }

    /// Says now and then that starts find no room.
    fn notice(&mut self) {
        let (known, last) = self.noticed;
        let dropped = self.counts.dropped(Dropped::NoRoom);
        if dropped > known && (known == 0 || last.elapsed() >= NOTICE) {
            tracing::warn!(starts = dropped - known, "OTLP: too many starts wait; these are not sent");
            self.noticed = (dropped, Instant::now());
        }
    }
}
