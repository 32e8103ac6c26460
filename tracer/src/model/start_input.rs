//! Everything that a start's report is made from.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::catalogue::InitCatalogue;
use super::gc::{GcHistory, GcInput, GcReport};
use super::overhead::overhead;
use super::report::{Ending, MissingProbe, Report, Subject};
use super::startup::{Observation, StartupTimeline};
use super::waits::Symbols;
use crate::event::Event;
use crate::probe::Costs;
use crate::stream::{ProbeLoss, Tables};
use crate::units::Nanos;

/// From how long on a cycle or a stop of the world is told by itself.
const SLOW_STOP: Nanos = Nanos(1_000_000);

/// What a start's report is made from, but for the events, the init tasks and what addresses mean.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct StartInput {
    /// Whose report it is.
    pub subject: Subject,
    /// What was seen besides the events.
    pub observation: Observation,
    /// How it ended. A program that became another one has ended by that, whatever this says.
    pub ending: Ending,
    /// What could not be probed.
    pub missing: Vec<MissingProbe>,
    /// Every probe's account.
    pub losses: Vec<ProbeLoss>,
    /// Records that were of no known kind.
    pub undecodable: u64,
    /// The condition of readiness that was asked for; none when nobody asked.
    pub ready_when: Option<String>,
    /// How what is allocated was to be counted; none when nobody asked.
    pub heap: Option<HeapWanted>,
    /// What is known of the garbage collector besides its cycles and stops; none when it was not looked at.
    pub gc: Option<GcWanted>,
    /// Who imports the packages whose inits took long, as far as the binary proves.
    #[serde(default)]
    pub importers: BTreeMap<String, String>,
    /// What the probes cost on this machine; none when that was not measured.
    #[serde(default)]
    pub costs: Option<Costs>,
}

/// How the heap's counters were to be read.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HeapWanted {
    /// Of so many Ps at most.
    Of {
        /// How many.
        most_ps: u64,
    },
    /// Not at all, and why.
    Refused(String),
}

/// What is known of the garbage collector besides its cycles and stops.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct GcWanted {
    /// `runtime.runtimeInitTime`, when there was a cycle to read it at.
    pub program_began: Option<Nanos>,
    /// What could not be seen, each with the reason.
    pub missing: Vec<MissingProbe>,
}

impl Report {
    /// The report of a start.
    #[must_use]
    pub fn of_start(
        input: StartInput,
        catalogue: &InitCatalogue,
        events: &[Event],
        history: Option<&GcHistory>,
        symbols: &dyn Symbols,
    ) -> Self {
        let StartInput { subject, observation, ending, mut missing, .. } = input;
        let timeline = StartupTimeline::of(events, catalogue, symbols, &observation);
        let mut timeline = if subject.watched { timeline.watched() } else { timeline };
        timeline.name_importers(&input.importers);
        let gc = input.gc.zip(history).map(|(gc, history)| {
            GcReport::of(GcInput {
                history,
                began: observation.begin,
                ended: observation.end,
                slow_from: SLOW_STOP,
                assists: &[],
                assists_before: &[],
                stacks: &Tables::default(),
                throttled: observation.throttled,
                runtime_init: gc.program_began,
                gc_percent: None,
                module: subject.module.as_deref(),
                missing: gc.missing,
                blocking: None,
                symbols,
            })
            .charged(&timeline)
        });
        missing.extend(input.heap.and_then(|heap| heap.missing(&timeline)));
        let overhead = input.costs.map(|costs| overhead(&costs, events, &input.losses, &timeline));
        Self {
            overhead,
            ending: timeline.replaced_by.clone().map_or(ending, Ending::Replaced),
            // Many programs never listen, and nobody asked; a condition that was given is missed.
            awaited: input.ready_when.filter(|_| timeline.ready.is_none()),
            subject,
            timeline,
            missing,
            losses: input.losses,
            undecodable: input.undecodable,
            gc,
        }
    }
}

impl HeapWanted {
    /// Of how many inits the allocations are not known, and why.
    fn missing(self, timeline: &StartupTimeline) -> Option<MissingProbe> {
        let done = timeline.inits.iter().filter(|init| init.done);
        let unknown = done.clone().filter(|init| init.heap.is_none()).count();
        let all = done.count();
        let reason = match self {
            Self::Refused(reason) => reason,
            Self::Of { .. } if unknown == 0 => return None,
            Self::Of { most_ps } => format!(
                "of {unknown} of {all} inits: there were more than {most_ps} Ps (GOMAXPROCS), a counter was not \
                 readable, or another thread changed it meanwhile"
            ),
        };
        let function = "runtime.memstats".to_owned();
        Some(MissingProbe { probe: "heap".into(), function, reason, is_detail: unknown < all })
    }
}
