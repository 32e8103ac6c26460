//! A capture of a running program -> its reports, as the session told them that wrote it.

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::io::Read;
use std::mem;

use super::record::{Answers, Begin, Descriptor, KeptStack, Looked, Named, Why};
use super::{CaptureError, KeptSymbols, Reader, Record};
use crate::event;
use crate::event::blocking::Object;
use crate::model::blocking::{BlockedNow, BlockingReport, ObjectNames};
use crate::model::gc::{GcHistory, Surroundings};
use crate::model::{Around, Beginning, Ending, Following, Look, MissingProbe};
use crate::target::gobin::CollectorLayout;
use crate::units::RuntimeAddr;

/// The most addresses in the stacks of a capture: the kernel side keeps 16384 stacks of 127.
const MOST_ADDRESSES: usize = 1 << 21;

/// The most goroutines that one look tells of.
const MOST_BLOCKED: usize = 1 << 16;

/// The most answers that wait to be asked for, and descriptors that are remembered.
const MOST_ANSWERS: usize = 1 << 20;

/// A running program as it was followed.
pub struct Replayed<R> {
    reader: Reader<R>,
    following: Following,
    given: Given,
    symbols: KeptSymbols,
    stacks: BTreeMap<u32, Vec<RuntimeAddr>>,
    /// How many addresses they have.
    addresses: usize,
    /// Who was blocked at the next look.
    blocked: Vec<BlockedNow>,
    before: Option<Look>,
    /// What the file began with, if it goes on from another one.
    base: Option<Look>,
    /// When the first report in between began.
    first: Option<Beginning>,
    /// The last checkpoint since the last report, with what the events before it had told.
    checkpoint: Option<(Look, Following)>,
    /// How many records of the kernel side came since then.
    since: u64,
    /// Whether there was the last report.
    is_told: bool,
    is_ended: bool,
}

/// A report of a followed program.
pub struct Reported {
    /// It.
    pub report: BlockingReport,
    /// Whether it is the last one, and none in between.
    pub is_last: bool,
    /// With the last one, when there were others in between: the report on all of the time.
    pub whole: Option<BlockingReport>,
}

impl<R: Read> Replayed<R> {
    /// Of a capture that begins so.
    pub(super) fn new(reader: Reader<R>, begin: &Begin) -> Self {
        let symbols = KeptSymbols::new(&begin.subject.go_version);
        let layout = begin.collector.or_else(|| symbols.version().and_then(CollectorLayout::of));
        let began = begin.followed.and_then(|followed| followed.gc_began);
        let history = layout.zip(began).map(|(layout, began)| GcHistory::new(layout, began));
        let redact = begin.followed.is_some_and(|followed| followed.redact);
        Self {
            reader,
            following: Following::new(redact, history),
            given: Given::default(),
            symbols,
            stacks: BTreeMap::new(),
            addresses: 0,
            blocked: Vec::new(),
            before: None,
            base: None,
            first: None,
            checkpoint: None,
            since: 0,
            is_told: false,
            is_ended: false,
        }
    }

    /// The next report; none when there is none.
    ///
    /// # Errors
    /// When the capture is damaged, or holds more than captures do.
    pub fn next_report(&mut self) -> Result<Option<Reported>, CaptureError> {
        while let Some(record) = self.reader.next_record()? {
            match record {
                Record::Ring(bytes) => {
                    self.since += 1;
                    // What could not be decoded was counted when it came.
                    if let Ok(event) = event::decode(bytes) {
                        self.following.note(&event, &self.given);
                    }
                }
                Record::Answers(answers) => self.given.add(answers)?,
                Record::Symbols(symbols) => self.symbols.add(symbols)?,
                Record::Stacks(stacks) => self.add(stacks)?,
                Record::Blocked(blocked) => {
                    self.blocked.extend(blocked);
                    if self.blocked.len() > MOST_BLOCKED {
                        return Err(CaptureError::TooMuch { what: "blocked goroutines" });
                    }
                }
                Record::Look(looked) => {
                    if let Some(reported) = self.looked(*looked) {
                        return Ok(Some(reported));
                    }
                }
                // One file is of one session.
                Record::Begin(_) | Record::Start(_) | Record::Surroundings(_) => {}
                Record::End(_) => self.is_ended = true,
            }
        }
        Ok(self.cut())
    }

    /// Whether the session that wrote it came to its end. Known when there is no next report.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.is_ended && !self.reader.is_cut()
    }

    fn looked(&mut self, Looked { why, mut look }: Looked) -> Option<Reported> {
        look.blocked_now = mem::take(&mut self.blocked);
        if let Some(before) = self.before.as_ref().filter(|before| before.ended > look.began) {
            // The session knew what is in another file.
            let later = before.ended.since(look.began).0;
            look.subject.wall_clock_unix_ns = look.subject.wall_clock_unix_ns.saturating_add(later);
            look.began = before.ended;
        }
        self.since = 0;
        match why {
            Why::Before => {
                self.base = Some(look.clone());
                self.before = Some(look);
                None
            }
            Why::Checkpoint => {
                self.checkpoint = Some((look, self.following.clone()));
                None
            }
            Why::Interim | Why::Last => {
                let is_last = why == Why::Last;
                let reported = self.report(&mut look, None, is_last);
                self.first.get_or_insert_with(|| Beginning::of(&look));
                self.checkpoint = None;
                self.is_told = is_last;
                self.following.begin_anew();
                self.before = Some(look);
                Some(reported)
            }
        }
    }

    /// What the last checkpoint tells, of a session that did not come to its end.
    fn cut(&mut self) -> Option<Reported> {
        if mem::replace(&mut self.is_told, true) {
            return None;
        }
        // Since the report in between there was nothing more.
        let nothing = || {
            let before = self.before.clone()?;
            Some((Look { began: before.ended, ..before }, self.following.clone()))
        };
        let (mut look, following) = self.checkpoint.take().or_else(nothing)?;
        look.ending = Ending::Running;
        look.missing.push(MissingProbe {
            probe: "capture".into(),
            function: "the rest of it".to_owned(),
            reason: format!(
                "it ends here, {} records after what is told: gotrace was killed, or the file was cut",
                self.since
            ),
            is_detail: false,
        });
        Some(self.report(&mut look, Some(&following), true))
    }

    fn report(&mut self, look: &mut Look, following: Option<&Following>, is_last: bool) -> Reported {
        look.tables.stacks = mem::take(&mut self.stacks);
        let following = following.unwrap_or(&self.following);
        let report = look.report(self.before.as_ref(), following, &self.symbols);
        let whole = self
            .first
            .filter(|_| is_last)
            .map(|first| look.whole_report(&first, self.base.as_ref(), following, &self.symbols));
        self.stacks = mem::take(&mut look.tables.stacks);
        Reported { report, is_last, whole }
    }

    fn add(&mut self, stacks: Vec<KeptStack>) -> Result<(), CaptureError> {
        for KeptStack { number, addresses } in stacks {
            self.addresses += addresses.len() + 1;
            self.stacks.insert(number, addresses);
        }
        if self.addresses > MOST_ADDRESSES {
            return Err(CaptureError::TooMuch { what: "stacks" });
        }
        Ok(())
    }
}

/// What a capture has of what events make one ask.
#[derive(Default)]
struct Given {
    names: RefCell<HashMap<Descriptor, Name>>,
    without_frame: std::collections::HashSet<RuntimeAddr>,
    surroundings: Surroundings,
}

/// What a descriptor stood for, each time that it was asked for.
#[derive(Default)]
struct Name {
    next: VecDeque<Option<String>>,
    last: Option<String>,
}

impl Given {
    fn add(&mut self, answers: Answers) -> Result<(), CaptureError> {
        let Answers { names, without_frame, surroundings } = answers;
        let known = self.names.get_mut();
        if known.len() + names.len() > MOST_ANSWERS {
            // All that came were asked for when the records behind them were taken in.
            known.clear();
        }
        if names.len() > MOST_ANSWERS || self.without_frame.len() + without_frame.len() > MOST_ANSWERS {
            return Err(CaptureError::TooMuch { what: "answers" });
        }
        for Named { what, name } in names {
            known.entry(what).or_default().next.push_back(name);
        }
        self.without_frame.extend(without_frame);
        self.surroundings = surroundings.unwrap_or(self.surroundings);
        Ok(())
    }
}

impl ObjectNames for Given {
    fn name(&self, object: &Object, fd: Option<u64>) -> Option<String> {
        let mut names = self.names.borrow_mut();
        let name = names.get_mut(&Descriptor::of(object, fd))?;
        if let Some(next) = name.next.pop_front() {
            name.last = next;
        }
        name.last.clone()
    }
}

impl Around for Given {
    fn surroundings(&self) -> Surroundings {
        self.surroundings
    }

    fn is_without_frame(&self, address: RuntimeAddr) -> bool {
        self.without_frame.contains(&address)
    }
}
