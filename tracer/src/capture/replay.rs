//! A capture of starts -> their reports, as the session told them that wrote it.

use std::collections::BTreeMap;
use std::io::Read;

use tracer_ebpf::wire::Probe;

use super::record::{Begin, Start};
use super::{CaptureError, KeptSymbols, MOST_RECORDS, Reader, Record, Replayed};
use crate::event::{self, Event};
use crate::model::gc::{GcHistory, Surroundings};
use crate::model::{
    Ending, GcWanted, InitCatalogue, MissingProbe, Observation, Report, StartInput, start_began,
};
use crate::stream::ProbeLoss;
use crate::target::gobin::CollectorLayout;
use crate::units::Nanos;

/// A capture whose session is known.
pub struct Replay<R> {
    reader: Reader<R>,
    /// What the session was begun with: of several, the last that was read.
    pub begin: Box<Begin>,
    ended: bool,
}

impl<R: Read> Replay<R> {
    /// Begins to read.
    ///
    /// # Errors
    /// When it is no capture, or nothing is in it.
    pub fn new(input: R) -> Result<Self, CaptureError> {
        let mut reader = Reader::new(input)?;
        match reader.next_record()? {
            Some(Record::Begin(begin)) => Ok(Self { reader, begin, ended: false }),
            Some(_) => Err(CaptureError::NotACapture),
            None => Err(CaptureError::Empty),
        }
    }

    /// The reports of a running program that was followed.
    pub fn follow(self) -> Replayed<R> {
        Replayed::new(self.reader, &self.begin)
    }

    /// Whether the session that wrote it came to its end. Known when there is nothing more in it.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.ended && !self.reader.is_cut()
    }

    /// The next start; none when there is none.
    ///
    /// # Errors
    /// When the capture is damaged, or holds more than captures do.
    pub fn next_start(&mut self) -> Result<Option<Report>, CaptureError> {
        let mut seen = Seen::new(&self.begin);
        while let Some(record) = self.reader.next_record()? {
            match record {
                Record::Begin(begin) => {
                    seen = Seen::new(&begin);
                    self.begin = begin;
                }
                Record::Ring(bytes) => seen.take(bytes)?,
                Record::Surroundings(surroundings) => seen.note(surroundings),
                Record::Symbols(symbols) => seen.symbols.add(symbols)?,
                Record::Start(start) => return Ok(Some(seen.report(*start, &self.begin))),
                Record::End(_) => self.ended = true,
                // A start has none of these.
                Record::Answers(_) | Record::Stacks(_) | Record::Blocked(_) | Record::Look(_) => {}
            }
        }
        // A start that went on when gotrace was killed.
        let cut = (!self.ended && !seen.events.is_empty()).then(|| seen.cut(&self.begin));
        Ok(cut.flatten())
    }
}

/// What came since the last start.
struct Seen {
    events: Vec<Event>,
    /// So many of them the collector's history knows.
    noted: usize,
    history: Option<GcHistory>,
    symbols: KeptSymbols,
}

impl Seen {
    fn new(begin: &Begin) -> Self {
        let symbols = KeptSymbols::new(&begin.subject.go_version);
        let layout = begin.collector.or_else(|| symbols.version().and_then(CollectorLayout::of));
        Self {
            events: Vec::new(),
            noted: 0,
            history: layout.map(|layout| GcHistory::new(layout, Nanos(0))),
            symbols,
        }
    }

    fn take(&mut self, bytes: &[u8]) -> Result<(), CaptureError> {
        if self.events.len() as u64 >= MOST_RECORDS {
            return Err(CaptureError::TooMuch { what: "records of one start" });
        }
        // What could not be decoded was counted when it came.
        self.events.extend(event::decode(bytes).ok());
        Ok(())
    }

    /// Lets the collector's history know of the cycles and stops since it last did.
    fn note(&mut self, surroundings: Surroundings) {
        let new = self.events.get(self.noted..).unwrap_or_default();
        self.noted = self.events.len();
        if let Some(history) = &mut self.history {
            history.note(new, surroundings);
        }
    }

    fn report(mut self, start: Start, begin: &Begin) -> Report {
        self.note(Surroundings::default());
        let Start { mut input, unlisted, left_out } = start;
        if left_out > 0 {
            input.missing.push(missing(format!("{left_out} records of the kernel side were left out of it")));
        }
        let catalogue =
            begin.starts.as_ref().map_or_else(InitCatalogue::default, |starts| starts.catalogue.clone());
        let catalogue = catalogue.with(unlisted);
        Report::of_start(input, &catalogue, &self.events, self.history.as_ref(), &self.symbols)
    }

    /// The report of a start whose end is not in the capture, as far as it came; none when nothing of it can be told.
    fn cut(self, begin: &Begin) -> Option<Report> {
        let starts = begin.starts.as_ref()?;
        let end = self.events.last()?.time;
        let began = start_began(&self.events).unwrap_or(begin.began);
        let mut subject = begin.subject.clone();
        let from_wall = began.since(begin.began).0;
        subject.wall_clock_unix_ns = subject.wall_clock_unix_ns.saturating_add(from_wall);
        let mut missing_probes = starts.missing.clone();
        missing_probes.push(missing("it ends here: gotrace was killed, or the file was cut".to_owned()));
        let delivered = |probe: Probe| {
            let hits = self.events.iter().filter(|event| event.probe() == probe).count() as u64;
            ProbeLoss { probe, hits, dropped: 0 }
        };
        let input = StartInput {
            subject,
            observation: Observation::until(began, end),
            ending: Ending::Running,
            missing: missing_probes,
            losses: Probe::ALL.map(delivered).to_vec(),
            undecodable: 0,
            ready_when: None,
            heap: None,
            gc: starts.gc.then(GcWanted::default),
            importers: BTreeMap::new(),
            costs: None,
        };
        let start = Start { input, unlisted: InitCatalogue::default(), left_out: 0 };
        Some(self.report(start, begin))
    }
}

fn missing(reason: String) -> MissingProbe {
    MissingProbe { probe: "capture".into(), function: "the rest of it".to_owned(), reason, is_detail: false }
}
