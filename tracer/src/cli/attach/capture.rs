//! `-o FILE.gotrace`: what is seen of the program goes into a capture, as it comes.

use std::time::{Duration, Instant};

use super::super::recorder::Recorder;
use crate::capture::record::{Answers, Begin, Followed, Verb, Why};
use crate::capture::{RecordedSymbols, Recording};
use crate::model::{Look, Subject};
use crate::stream::RawRecord;
use crate::target::gobin::CollectorLayout;
use crate::units::Nanos;

/// So long after the begin there is the first checkpoint, which a report can be made from whatever happens then.
const FIRST: Duration = Duration::from_secs(1);

/// So far apart checkpoints are at last.
const APART: Duration = Duration::from_secs(10);

/// A checkpoint may take one part in so many of gotrace's time.
const SHARE: u32 = 50;

/// The way to a capture, or to none.
pub(super) struct Capture {
    recorder: Recorder,
    recording: Recording,
    redact: bool,
    /// When the next checkpoint is due, and how long after it the one behind that.
    due: Instant,
    apart: Duration,
    /// When the file began.
    began: Instant,
}

impl Capture {
    pub(super) fn new(recorder: Recorder, redact: bool) -> Self {
        let began = Instant::now();
        let recording = Recording::new(redact);
        Self { recorder, recording, redact, due: began + FIRST, apart: FIRST, began }
    }

    /// Whether there is a capture.
    pub(super) fn is_on(&self) -> bool {
        self.recorder.is_on()
    }

    /// A file begins, with the first probe or where the file before was full.
    pub(super) fn begin(
        &mut self,
        subject: Subject,
        began: Nanos,
        gc_began: Option<Nanos>,
        collector: Option<CollectorLayout>,
    ) {
        let followed = Some(Followed { redact: self.redact, gc_began });
        self.recorder.begin(|| Begin {
            gotrace: env!("CARGO_PKG_VERSION").to_owned(),
            verb: Verb::Attach,
            subject,
            began,
            starts: None,
            followed,
            collector,
        });
        *self = Self::new(std::mem::take(&mut self.recorder), self.redact);
    }

    /// Records of the kernel side came, and made one ask.
    pub(super) fn took(&mut self, records: &[RawRecord], answers: Answers) {
        let recording = &self.recording;
        self.recorder.with(|file| {
            if !records.is_empty() {
                recording.took(file.writer(), records, answers)?;
            }
            file.tick()
        });
    }

    /// Whether the file is as large as it may be: another one is to be begun.
    pub(super) fn is_full(&self) -> bool {
        self.recorder.is_full() && self.began.elapsed() >= FIRST
    }

    /// Whether it is time for a checkpoint.
    pub(super) fn is_due(&self) -> bool {
        self.is_on() && (Instant::now() >= self.due || self.is_full())
    }

    /// What is known at a moment, with what its report asked for. It was looked at from `from` on.
    pub(super) fn look(&mut self, why: Why, look: &Look, symbols: RecordedSymbols<'_>, from: Instant) {
        let recording = &mut self.recording;
        self.recorder.with(|file| recording.look(file.writer(), why, look, symbols));
        self.apart = (self.apart * 2).min(APART).max(from.elapsed() * SHARE);
        self.due = Instant::now() + self.apart;
    }

    /// Gives the capture its name.
    pub(super) fn commit(self) -> anyhow::Result<()> {
        self.recorder.commit()
    }
}
