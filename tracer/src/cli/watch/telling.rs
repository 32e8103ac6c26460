//! Where the starts that are seen are told: standard output, files, a capture.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufWriter, Write as _};
use std::path::PathBuf;

use anyhow::Context as _;

use super::Args;
use crate::capture::record::{Begin, Starts, Verb};
use crate::cli::inits::hits;
use crate::cli::overhead;
use crate::cli::recorder::Recorder;
use crate::cli::traceable::Traceable;
use crate::export::{Export as _, InitOrder, Ndjson, Text};
use crate::files;
use crate::model::{Ending, Observation, Report, SeenStart, StartInput, Subject};
use crate::probe::{Costs, Probe};
use crate::stream::ProbeLoss;
use crate::target::kernel::kernel_release;
use crate::units::{Nanos, boot_clock, wall_clock_at};

/// Tells starts one by one.
pub(super) struct Telling<'a> {
    args: &'a Args,
    traceable: &'a Traceable,
    files: Vec<(PathBuf, File)>,
    pub(super) recorder: Recorder,
    /// What the probes cost a start.
    costs: Option<Costs>,
    /// How many were told.
    pub(super) told: u64,
}

impl<'a> Telling<'a> {
    /// Opens the files.
    pub(super) fn open(args: &'a Args, traceable: &'a Traceable) -> anyhow::Result<Self> {
        // What is on pages with probes is copied by the execve, with whose end the times begin.
        let costs = overhead::of_watch();
        let recorder = Recorder::default();
        let mut telling = Self { args, traceable, files: Vec::new(), recorder, costs, told: 0 };
        for path in &args.output {
            if Recorder::is_asked_by(path) {
                telling.recorder.open(path)?;
            } else {
                let file = files::append_private(path);
                let file = file.with_context(|| format!("cannot write {}", path.display()))?;
                telling.files.push((path.clone(), file));
            }
        }
        telling.recorder = telling.recorder.bounded(args.max_size)?;
        telling.recorder.begin(|| telling_begin(args, traceable));
        Ok(telling)
    }

    /// Tells a start.
    pub(super) fn tell(
        &mut self,
        started: &SeenStart,
        losses: Vec<ProbeLoss>,
        undecodable: u64,
    ) -> anyhow::Result<()> {
        let Self { args, traceable, .. } = *self;
        if self.recorder.is_full() {
            self.recorder.begin(|| telling_begin(args, traceable));
        }
        self.recorder.ring(&started.records);
        let input = StartInput { losses, undecodable, costs: self.costs, ..input(traceable, started) };
        let report = traceable.report(input, &started.events, None, &mut self.recorder);
        self.told += 1;
        for (path, file) in &mut self.files {
            let mut out = BufWriter::new(file);
            Ndjson
                .start(&report, &mut out)
                .and_then(|()| out.flush())
                .with_context(|| format!("cannot write {}", path.display()))?;
        }
        self.show(&report)
    }

    fn show(&self, report: &Report) -> anyhow::Result<()> {
        let out = anstream::stdout();
        let mut out = BufWriter::new(out.lock());
        let written = if self.args.json {
            Ndjson.start(report, &mut out)
        } else if !self.args.output.is_empty() {
            Ok(())
        } else {
            let text = Text { order: InitOrder::Slowest, inits: self.args.top, rows: 0, color: true };
            text.start(report, &mut out).and_then(|()| writeln!(out))
        };
        match written.and_then(|()| out.flush()) {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
            other => other.context("cannot write to standard output"),
        }
    }
}

/// What is known before the first start.
fn telling_begin(args: &Args, traceable: &Traceable) -> Begin {
    let began = boot_clock();
    Begin {
        gotrace: env!("CARGO_PKG_VERSION").to_owned(),
        verb: Verb::Watch,
        subject: subject(traceable, 0, began),
        began,
        followed: None,
        collector: traceable.binary.own_collector_layout(),
        starts: Some(Starts {
            catalogue: traceable.catalogue().clone(),
            missing: traceable.missing(),
            gc: false,
            top: args.top,
            in_order: false,
        }),
    }
}

fn subject(traceable: &Traceable, pid: u32, began: Nanos) -> Subject {
    let binary = &traceable.binary;
    let exe = binary.path().to_owned();
    Subject { watched: true, ..Subject::of(pid, exe, binary, kernel_release(), wall_clock_at(began)) }
}

/// What is known of a start, but for what the kernel side counted.
fn input(traceable: &Traceable, started: &SeenStart) -> StartInput {
    let SeenStart { pid, events, gone, .. } = started;
    let (begin, end) = (events.first(), events.last());
    let begin = begin.map_or(Nanos(0), |event| event.time);
    let end = end.filter(|event| event.is_main()).map_or_else(boot_clock, |event| event.time);
    let parent =
        hits(events).find(|hit| hit.probe == Probe::GoEntry).and_then(|hit| u32::try_from(hit.argument).ok());
    StartInput {
        subject: Subject { parent: parent.filter(|parent| *parent != 0), ..subject(traceable, *pid, begin) },
        observation: Observation { gone: *gone, ..Observation::until(begin, end) },
        ending: if gone.is_some() { Ending::Gone } else { Ending::Running },
        missing: traceable.missing(),
        losses: Vec::new(),
        undecodable: 0,
        ready_when: None,
        heap: None,
        gc: None,
        importers: BTreeMap::new(),
        costs: None,
    }
}
