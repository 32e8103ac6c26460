//! What the agent knows, shared with whoever asks for it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::figures::{Tally, Workloads};
use super::gate;
#[cfg(feature = "otlp")]
use super::otlp::{Outbox, Sent};
use super::profiles::KeptStarts;
use super::registry::Registry;
use crate::stream::ProbeLoss;

/// What the agent knows.
#[derive(Debug)]
pub struct State {
    /// The starts.
    pub workloads: Workloads,
    /// Who runs.
    pub registry: Registry,
    /// The agent's own work.
    pub tally: Tally,
    /// Every probe's account, since the probes were put in place.
    pub losses: Vec<ProbeLoss>,
    /// Records that belong to no known start, or are of no known kind.
    pub stray: u64,
    /// How many binaries are watched.
    pub binaries: usize,
    /// How many starts are under way.
    pub under_way: usize,
    /// Whether somebody has read the metrics, or is about to, since it was asked last what processes have.
    pub scraped: bool,
    /// What became of starts that were held; none unless first starts are.
    pub(super) gate: Option<Arc<gate::Figures>>,
    /// The starts of those who run; none unless they are to be kept.
    pub(super) starts: Option<KeptStarts>,
    /// Where starts go that are to be sent; none unless they are.
    #[cfg(feature = "otlp")]
    pub(super) outbox: Option<Outbox>,
    /// What became of what was sent.
    #[cfg(feature = "otlp")]
    pub(super) sent: Sent,
    /// What keeps the agent from doing all that it is to do, by name.
    pub reasons: BTreeMap<&'static str, String>,
}

impl State {
    /// Whether starts are kept, and whether they are sent.
    #[must_use]
    pub(super) const fn wants_starts(&self) -> (bool, bool) {
        #[cfg(feature = "otlp")]
        let is_sent = self.outbox.is_some();
        #[cfg(not(feature = "otlp"))]
        let is_sent = false;
        (self.starts.is_some(), is_sent)
    }
}

/// The state, for several threads.
#[derive(Clone, Debug)]
pub struct Shared(Arc<Mutex<State>>);

impl Shared {
    /// Nothing is known, and nothing ready.
    #[must_use]
    pub fn new(most_processes: usize) -> Self {
        Self(Arc::new(Mutex::new(State {
            workloads: Workloads::new(most_processes),
            registry: Registry::new(most_processes),
            tally: Tally::default(),
            losses: Vec::new(),
            stray: 0,
            binaries: 0,
            under_way: 0,
            scraped: false,
            gate: None,
            starts: None,
            #[cfg(feature = "otlp")]
            outbox: None,
            #[cfg(feature = "otlp")]
            sent: Sent::default(),
            reasons: BTreeMap::from([("starting", "the probes are not in place yet".to_owned())]),
        })))
    }

    /// From now on, the starts of those who run are kept.
    pub fn keep_starts(&self) {
        self.lock().starts.get_or_insert_default();
    }

    /// The state, to read or to change; not for long.
    pub fn lock(&self) -> MutexGuard<'_, State> {
        // Each field is whole at any time.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
