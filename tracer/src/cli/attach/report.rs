//! What was seen of a running program -> reports, in between and at the end.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::Context as _;

use super::super::Exit;
use super::super::output::Outputs;
use super::live::{Live, STACK_FROM};
use super::moments::Ended;
use super::now::Observer;
use super::terminal::{Terminal, own_cpu_time};
use crate::capture::RecordedSymbols;
use crate::capture::record::Why;
use crate::export::{Format, Screen, Told, View};
use crate::model::blocking::{BLOCKED_NOW, BlockingReport};
use crate::model::gc::GcHistory;
use crate::model::{Beginning, Ending, Look, MissingProbe, Subject, Symbols};
use crate::target::gobin::GoBinary;
use crate::target::kernel::kernel_release;
use crate::target::process::Process;
use crate::units::{Nanos, boot_clock, wall_clock_at};

/// Makes the reports.
pub(super) struct Reporter<'a> {
    process: &'a Process,
    binary: &'a GoBinary,
    observer: &'a Observer<'a>,
    /// Its executable, while it is known.
    exe: PathBuf,
    pub(super) live: Live<'a>,
    outputs: Outputs,
    view: View,
    /// Cycles of the collector and stops of the world from this length on are looked at by themselves.
    stw_slow: Nanos,
    terminal: Option<Terminal>,
    /// What was known when the last report ended.
    before: Option<Look>,
    /// When the first report in between began.
    first: Option<Beginning>,
    /// The same of the last screen, with gotrace's own CPU time.
    drawn: Option<(Look, Nanos)>,
}

impl<'a> Reporter<'a> {
    pub(super) fn new(
        process: &'a Process,
        binary: &'a GoBinary,
        observer: &'a Observer<'a>,
        live: Live<'a>,
        outputs: Outputs,
        view: View,
        stw_slow: Duration,
    ) -> Self {
        let terminal = if outputs.shows_text() { Terminal::open() } else { None };
        let exe = process.exe();
        let stw_slow = Nanos(u64::try_from(stw_slow.as_nanos()).unwrap_or(u64::MAX));
        let (before, first, drawn) = (None, None, None);
        let mut reporter = Self {
            process,
            binary,
            observer,
            exe,
            live,
            outputs,
            view,
            stw_slow,
            terminal,
            before,
            first,
            drawn,
        };
        let began = reporter.live.since;
        let gc_began = reporter.live.following.gc.as_ref().map(GcHistory::began);
        let subject = reporter.subject(began);
        reporter.live.capture.begin(subject, began, gc_began, binary.own_collector_layout());
        reporter
    }

    /// Whether there is a screen to draw.
    pub(super) fn has_screen(&self) -> bool {
        self.terminal.is_some()
    }

    /// A report on the time since the last one.
    pub(super) fn interim(&mut self) -> anyhow::Result<()> {
        let before = self.before.take();
        let look = self.look(Ending::Running, before.as_ref())?;
        let (report, _) = self.tell(Why::Interim, &look, before.as_ref());
        self.first.get_or_insert_with(|| Beginning::of(&look));
        // A flame graph is one picture, of all; and text would spoil the screen.
        let shows_text = self.terminal.is_none();
        let is_due = |format: Format| format.appends() && (shows_text || format != Format::Text);
        self.outputs.add(Told::Running(&report), &self.view, is_due)?;
        self.before = Some(look);
        self.live.following.begin_anew();
        Ok(())
    }

    /// Makes sure of what is known so far, in the capture. When that is as large as it may be, another one is begun.
    pub(super) fn checkpoint(&mut self) -> anyhow::Result<()> {
        let before = self.before.take();
        let look = self.look(Ending::Running, before.as_ref())?;
        let is_full = self.live.capture.is_full();
        self.tell(if is_full { Why::Last } else { Why::Checkpoint }, &look, before.as_ref());
        self.before = before;
        if is_full {
            let gc_began = look.gc.is_some().then_some(look.ended);
            let collector = self.binary.own_collector_layout();
            self.live.capture.begin(self.subject(look.ended), look.ended, gc_began, collector);
            let nothing = self.observer.symbols();
            self.live.capture.look(Why::Before, &look, RecordedSymbols::new(&nothing), Instant::now());
        }
        Ok(())
    }

    /// Draws what happened since it was last drawn.
    pub(super) fn draw(&mut self) -> anyhow::Result<()> {
        let Some(mut terminal) = self.terminal.take() else { return Ok(()) };
        let drawn = self.drawn.take();
        let before = drawn.as_ref().map(|(look, _)| look);
        let look = self.look(Ending::Running, before)?;
        let report = look.report(before, &self.live.following, &self.observer.symbols());
        let cpu = own_cpu_time();
        let (rows, columns) = terminal.size();
        let taken = cpu.since(drawn.map_or(Nanos(0), |(_, cpu)| cpu));
        let screen = Screen {
            rows,
            columns,
            color: true,
            followed: report.ended.since(self.live.since),
            own_cpu: taken.0.saturating_mul(10_000) / report.span().0.max(1),
        };
        let mut lines = Vec::new();
        screen.write(&report, &mut lines)?;
        terminal.show(&String::from_utf8_lossy(&lines))?;
        self.drawn = Some((look, cpu));
        self.terminal = Some(terminal);
        Ok(())
    }

    /// The last report; the probes are gone when this returns.
    pub(super) fn finish(mut self, ended: Ended) -> anyhow::Result<Exit> {
        drop(self.terminal.take());
        let ending = match ended {
            Ended::Elapsed | Ended::Interrupted => Ending::Running,
            Ended::Gone => Ending::Gone,
            Ended::Replaced(comm) => Ending::Replaced(comm),
        };
        let before = self.before.take();
        let look = self.look(ending, before.as_ref())?;
        let (report, whole) = self.tell(Why::Last, &look, before.as_ref());
        self.outputs.add(Told::Running(&report), &self.view, |format| format.appends() || whole.is_none())?;
        if let Some(whole) = whole {
            self.outputs.add(Told::Running(&whole), &self.view, |format| !format.appends())?;
        }
        let refused = report.gc.as_ref().and_then(|gc| gc.refused.as_ref());
        if let Some(reason) = refused.filter(|_| self.outputs.has(Format::Gctrace)) {
            tracing::warn!("gctrace has no lines: {reason}");
        }
        let Self { live, outputs, .. } = self;
        let (capture, detached) = live.detach();
        tracing::info!("detached in {:.1} ms", detached.as_secs_f64() * 1e3);
        outputs.commit()?;
        capture.commit()?;
        Ok(if report.losses.is_incomplete() { Exit::Incomplete } else { Exit::Ok })
    }

    /// What is known by now, for a report on the time since `before`, or since the first probe.
    fn look(&mut self, ending: Ending, before: Option<&Look>) -> anyhow::Result<Look> {
        let live = &mut self.live;
        live.drain();
        let tables = live.tables()?;
        let ended = boot_clock();
        let (losses, undecodable) = live.losses()?;
        let is_there = matches!(ending, Ending::Running);
        let mut seen = if is_there { self.observer.look(&tables) } else { Default::default() };
        let parking = match &mut live.waits {
            Some(waits) => {
                waits.date(&tables, &mut seen.blocked).context("cannot read who is parked")?;
                Some(waits.seen(&losses)?)
            }
            None => None,
        };
        let missing = |reason: String| MissingProbe {
            probe: BLOCKED_NOW.into(),
            function: "runtime.allgs".to_owned(),
            reason,
            is_detail: true,
        };
        let mut missing: Vec<MissingProbe> = seen.untold.into_iter().map(missing).collect();
        missing.extend(live.untold.clone());
        let began = before.map_or(live.since, |before| before.ended);
        Ok(Look {
            began,
            ended,
            stack_from: STACK_FROM.min(live.slow_from),
            slow_from: live.slow_from,
            frequency: live.frequency,
            tables,
            blocked_now: seen.blocked,
            losses,
            undecodable,
            missing,
            ending,
            parking,
            gc: live.collector.as_ref().map(|collector| collector.look(self.stw_slow)),
            subject: self.subject(began),
        })
    }

    /// What a look tells, and where there were reports in between and there may be none after it, what all of the time
    /// does, which may ask for more than they did; it goes into the capture.
    fn tell(
        &mut self,
        why: Why,
        look: &Look,
        before: Option<&Look>,
    ) -> (BlockingReport, Option<BlockingReport>) {
        let from = Instant::now();
        let live = &mut self.live;
        let (plain, first) = (self.observer.symbols(), self.first.as_ref().filter(|_| why != Why::Interim));
        let reports = |symbols: &dyn Symbols| {
            let whole = first.map(|first| look.whole_report(first, None, &live.following, symbols));
            (look.report(before, &live.following, symbols), whole)
        };
        if !live.capture.is_on() {
            return reports(&plain);
        }
        let symbols = RecordedSymbols::new(&plain);
        let told = reports(&symbols);
        live.capture.look(why, look, symbols, from);
        told
    }

    fn subject(&self, began: Nanos) -> Subject {
        let wall = wall_clock_at(began);
        Subject::of(self.process.pid, self.exe.clone(), self.binary, kernel_release(), wall)
    }
}
