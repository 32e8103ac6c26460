//! The agent: who starts, what runs, and which binaries are watched for it.

use std::collections::{HashMap, VecDeque};
use std::os::fd::AsFd as _;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::budget::{Budget, Overhead};
use super::gate::{Gate, GateError, Offer};
use super::kernel::Kernel;
use super::looker::{Looker, Question};
use super::pace::{Pace, Rest};
use super::place::Places;
use super::programs::Programs;
use super::ready::Readiness;
use super::selector::Selection;
use super::state::Shared;
use crate::event::{Event, EventKind, Origin};
use crate::model::Starts;
use crate::probe::attach::AttachError;
use crate::units::Nanos;

/// So many processes wait to be looked at.
const MOST_PENDING: usize = 4096;

/// The most events of starts under way, about 200 bytes each.
const MOST_EVENTS: usize = 1 << 17;

/// How much the agent watches.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// So many binaries.
    pub binaries: usize,
    /// So much memory, in bytes: beyond it no further binary is watched.
    pub memory: u64,
    /// The size of the ring buffer in bytes.
    pub ring_bytes: u32,
    /// What parts of one processor watching may take.
    pub overhead: Overhead,
    /// For how long at most the first start of an executable is held until its probes are in place, if it is.
    pub gate_new: Option<Duration>,
}

/// One stretch of watching, from loading the programs to taking them away.
pub struct Session {
    pub(super) kernel: Kernel,
    pub(super) programs: Programs,
    pub(super) places: Places,
    pub(super) starts: Starts,
    pub(super) readiness: Readiness,
    pub(super) state: Shared,
    pub(super) selection: Arc<Selection>,
    pub(super) looker: Looker,
    pub(super) limits: Limits,
    gate: Option<Gate>,
    /// Processes that executed a new file, and when.
    pub(super) executed: VecDeque<(u32, Nanos)>,
    /// Processes that reached `main.main`, and when.
    pub(super) settling: VecDeque<(u32, Nanos)>,
    /// Processes whose start is seen, by when that was last.
    pub(super) claimed: HashMap<u32, Nanos>,
    pub(super) looked_around: Option<Instant>,
    pub(super) look_around: bool,
    pace: Pace,
    /// Whether there was something to do since the last rest.
    busy: bool,
    /// Whether anything happened since this second began.
    pub(super) stirred: bool,
    pub(super) refusing: bool,
    pub(super) budget: Option<Budget>,
    /// When it was asked last what processes have.
    pub(super) asked_usage: Option<Instant>,
}

impl Session {
    /// Loads the programs, and asks for all that runs.
    ///
    /// # Errors
    /// When the kernel refuses them.
    pub fn begin(selection: Arc<Selection>, limits: Limits, state: Shared) -> Result<Self, AttachError> {
        let kernel = Kernel::load(limits.ring_bytes)?;
        let hit_cost = kernel.hit_cost;
        let mut session = Self {
            kernel,
            programs: Programs::default(),
            places: Places::open(),
            starts: Starts::bounded(MOST_EVENTS),
            readiness: Readiness::default(),
            state,
            selection,
            looker: Looker::default(),
            limits,
            gate: None,
            executed: VecDeque::new(),
            settling: VecDeque::new(),
            claimed: HashMap::new(),
            looked_around: None,
            look_around: true,
            pace: Pace::default(),
            busy: true,
            stirred: true,
            refusing: false,
            budget: Some(limits.overhead)
                .filter(|most| most.node.is_some() || most.each.is_some())
                .map(|most| Budget::new(most, hit_cost, Instant::now())),
            asked_usage: None,
        };
        let paths: Vec<_> = session.selection.paths().map(ToOwned::to_owned).collect();
        for path in paths {
            session.ask(Question::Path(path));
        }
        Ok(session)
    }

    /// From now on the first start of an executable is held until its probes are in place, if it is to be.
    ///
    /// # Errors
    /// When the kernel does not let gotrace.
    pub fn hold_first_starts(&mut self) -> Result<(), GateError> {
        if let Some(longest) = self.limits.gate_new {
            let gate = Gate::open(Arc::clone(&self.selection), longest, self.kernel.watching.warmth())?;
            self.state.lock().gate = Some(gate.figures());
            self.gate = Some(gate);
        }
        Ok(())
    }

    /// Lets some time pass: little while there is something to do, else until there is, a quarter of a second at most.
    pub fn rest(&mut self) {
        let busy = std::mem::take(&mut self.busy) || !self.executed.is_empty() || self.looker.waiting() > 0;
        match self.pace.after(busy) {
            Rest::Sleep(time) => match &self.gate {
                Some(gate) => gate.wait(time),
                None => std::thread::sleep(time),
            },
            // A record may be in the making still: then the next turn finds none, and this must not come at once again.
            Rest::Listen(longest) => {
                let bell = self.gate.as_ref().map(|gate| gate.bell().as_fd());
                self.busy = self.kernel.wait(bell, longest);
            }
        }
    }

    /// Takes in what happened since.
    pub fn turn(&mut self) {
        // Somebody waits for these.
        while let Some(offer) = self.gate.as_ref().and_then(Gate::offer) {
            self.offered(offer);
        }
        let events = self.kernel.drain();
        self.busy |= !events.is_empty();
        self.stirred |= !events.is_empty();
        for event in events {
            self.take(event);
        }
        self.ask_pending();
        // What is ready now, and a little of what is being made.
        let patience = Instant::now() + Duration::from_millis(5);
        while let Some(answer) = self.looker.answer(patience.saturating_duration_since(Instant::now())) {
            self.answered(answer);
        }
    }

    /// A program is to be watched before its first start goes on.
    fn offered(&mut self, Offer { file, program, hold }: Offer) {
        self.stirred = true;
        if hold.is_over() {
            return;
        }
        let held = self.first_start(file, *program);
        if let (Some(gate), Some(program)) = (&self.gate, held) {
            gate.is_known(&program);
        }
    }

    fn take(&mut self, event: Event) {
        let (pid, time) = (event.tid, event.time);
        match event.kind {
            EventKind::NewFile(_) => {
                if self.executed.len() < MOST_PENDING {
                    self.executed.push_back((pid, time));
                } else {
                    self.state.lock().tally.skipped += 1;
                }
                return;
            }
            EventKind::Listen => {
                if let Some((workload, begin)) = self.readiness.listens(pid, time) {
                    let mut state = self.state.lock();
                    state.workloads.of(&workload).is_ready(time.since(begin));
                    #[cfg(feature = "otlp")]
                    if let Some(outbox) = &state.outbox {
                        outbox.ready(pid, begin, time);
                    }
                }
                return;
            }
            EventKind::Origin(Origin { cgroup, .. }) => {
                self.places.note(cgroup);
                self.claimed.insert(pid, time);
            }
            _ => {}
        }
        if let Some(start) = self.starts.take(event, None) {
            let reached = start.events.last().is_some_and(Event::is_main);
            if reached && self.settling.len() < MOST_PENDING {
                self.settling.push_back((pid, time));
            }
            self.tell(&start);
        }
    }

    /// Takes the probes away. Returns how long that took.
    pub fn end(self) -> Duration {
        // First of all: nobody waits for what ends.
        drop(self.gate);
        let mut state = self.state.lock();
        (state.binaries, state.under_way) = (0, 0);
        drop(state);
        self.kernel.watching.detach()
    }
}
