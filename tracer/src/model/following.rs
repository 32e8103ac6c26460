//! What single events tell of a running program, from one report to the next, and in all.

use super::blocking::{ObjectNames, SlowCalls};
use super::gc::{GcHistory, Surroundings};
use super::parking::Wakeups;
use crate::event::gc::Stop;
use crate::event::{Event, EventKind};
use crate::units::RuntimeAddr;

/// What an event makes one ask about the process, best at once.
pub trait Around: ObjectNames {
    /// What else is to be known when a cycle of the collector is over. The same for all that are taken in together.
    fn surroundings(&self) -> Surroundings;

    /// Whether that is where a function begins which has no frame yet.
    fn is_without_frame(&self, address: RuntimeAddr) -> bool;
}

/// What the events since the last report have told. Bounded, whatever comes.
#[derive(Clone, Debug)]
pub struct Following {
    /// The slow calls and waits.
    pub slow: SlowCalls,
    /// The long waits that another goroutine ended, where the scheduler is probed.
    pub wakeups: Wakeups,
    /// What the collector did, when that is followed.
    pub gc: Option<GcHistory>,
    /// The same since the begin, once there was a report in between.
    whole: Option<Box<Self>>,
    redact: bool,
}

impl Following {
    /// Nothing yet. `redact` leaves addresses and paths out.
    #[must_use]
    pub fn new(redact: bool, gc: Option<GcHistory>) -> Self {
        Self { slow: SlowCalls::new(redact), wakeups: Wakeups::default(), gc, whole: None, redact }
    }

    /// Takes note of an event.
    pub fn note(&mut self, event: &Event, around: &dyn Around) {
        // Who is asked about the process is asked once.
        match (&event.kind, &mut self.gc) {
            (EventKind::Slow(slow), _) => {
                let named = self.slow.note(event.time, event.tid, slow, around);
                if let Some(whole) = &mut self.whole {
                    whole.slow.add(event.time, event.tid, slow, named.as_ref());
                }
            }
            (EventKind::Woken(woken), _) => {
                self.wakeups.note(event.time, woken);
                if let Some(whole) = &mut self.whole {
                    whole.wakeups.note(event.time, woken);
                }
            }
            (EventKind::GcCycle(cycle), Some(gc)) => {
                let surroundings = around.surroundings();
                gc.note_cycle(event.time, cycle, surroundings);
                if let Some(whole) = self.whole.as_mut().and_then(|whole| whole.gc.as_mut()) {
                    whole.note_cycle(event.time, cycle, surroundings);
                }
            }
            (EventKind::Stop(stop), Some(gc)) => {
                let mut stop = Stop::clone(stop);
                put_down_to_caller(&mut stop, around);
                gc.note_stop(event.time, &stop);
                if let Some(whole) = self.whole.as_mut().and_then(|whole| whole.gc.as_mut()) {
                    whole.note_stop(event.time, &stop);
                }
            }
            _ => {}
        }
    }

    /// What the events since the begin have told, reports in between or not.
    #[must_use]
    pub fn whole(&self) -> &Self {
        self.whole.as_deref().unwrap_or(self)
    }

    /// Forgets what a report has told: the next one is on what comes.
    pub fn begin_anew(&mut self) {
        if self.whole.is_none() {
            self.whole = Some(Box::new(self.clone()));
        }
        self.slow = SlowCalls::new(self.redact);
        self.wakeups = Wakeups::default();
        if let Some(gc) = &mut self.gc {
            gc.begin_anew();
        }
    }
}

/// Who yielded where a function begins, as whoever is not interrupted does, is told as being in its caller, whose frame
/// pointer is there still.
fn put_down_to_caller(stop: &mut Stop, around: &dyn Around) {
    if let Some(holder) = &mut stop.holder
        && let Some(address) = holder.stack.first_mut()
        && holder.top.0 != 0
        && around.is_without_frame(*address)
    {
        *address = holder.top;
    }
}
