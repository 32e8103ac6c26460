//! What was seen of a running program -> reports, in between and at the end.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::super::Exit;
use super::super::output::Outputs;
use super::super::report::kernel_release;
use super::live::{Ended, Live, STACK_FROM};
use super::now::Observer;
use crate::export::Format;
use crate::model::blocking::{BlockingInput, BlockingReport};
use crate::model::parking::ParkingReport;
use crate::model::{BinarySymbols, Ending, MissingProbe, Subject};
use crate::stream::Tables;
use crate::target::gobin::GoBinary;
use crate::target::process::Process;
use crate::units::{Nanos, boot_clock};

/// Makes the reports.
pub(super) struct Reporter<'a> {
    process: &'a Process,
    binary: &'a GoBinary,
    observer: &'a Observer<'a>,
    pub(super) live: Live<'a>,
    outputs: Outputs,
    /// Where the last report ended, and the sums by then.
    before: Option<(Nanos, Tables)>,
}

impl<'a> Reporter<'a> {
    pub(super) fn new(
        process: &'a Process,
        binary: &'a GoBinary,
        observer: &'a Observer<'a>,
        live: Live<'a>,
        outputs: Outputs,
    ) -> Self {
        Self { process, binary, observer, live, outputs, before: None }
    }

    /// A report on the time since the last one.
    pub(super) fn interim(&mut self) -> anyhow::Result<()> {
        let (report, parking, tables) = self.report(Ending::Running)?;
        for format in [Format::Ndjson, Format::Text] {
            self.outputs.write(format, |color, out| write(&report, parking.as_ref(), format, color, out))?;
        }
        self.before = Some((report.ended, tables));
        self.live.begin_anew();
        Ok(())
    }

    /// The last report; the probes are gone when this returns.
    pub(super) fn finish(mut self, ended: Ended) -> anyhow::Result<Exit> {
        let ending = match ended {
            Ended::Elapsed | Ended::Interrupted => Ending::Running,
            Ended::Gone => Ending::Gone,
            Ended::Replaced(comm) => Ending::Replaced(comm),
        };
        let (report, parking, _) = self.report(ending)?;
        let detached = self.live.detach();
        tracing::info!("detached in {:.1} ms", detached.as_secs_f64() * 1e3);
        let mut outputs = self.outputs;
        outputs.write(Format::Ndjson, |color, out| {
            write(&report, parking.as_ref(), Format::Ndjson, color, out)
        })?;
        outputs.finish(|color, out| write(&report, parking.as_ref(), Format::Text, color, out))?;
        Ok(if report.losses.is_complete() { Exit::Ok } else { Exit::Incomplete })
    }

    fn report(&mut self, ending: Ending) -> anyhow::Result<(BlockingReport, Option<ParkingReport>, Tables)> {
        self.live.drain();
        let mut tables = self.live.tables()?;
        let ended = boot_clock();
        let (losses, undecodable) = self.live.losses()?;
        let is_there = matches!(ending, Ending::Running);
        let seen = if is_there { self.observer.look(&tables) } else { Default::default() };
        let began = self.before.as_ref().map_or(self.live.since, |(ended, _)| *ended);
        let missing = |reason: String| MissingProbe {
            probe: "blocked_now",
            function: "runtime.allgs".to_owned(),
            reason,
            is_detail: true,
        };
        let symbols = BinarySymbols { binary: self.binary, bias: self.observer.bias() };
        let report = BlockingReport::of(BlockingInput {
            subject: self.subject(began),
            began,
            ended,
            stack_from: STACK_FROM.min(self.live.slow_from),
            slow_from: self.live.slow_from,
            tables: &tables,
            before: self.before.as_ref().map(|(_, tables)| tables),
            slow: &self.live.slow,
            blocked_now: seen.blocked,
            losses,
            undecodable,
            missing: seen.untold.into_iter().map(missing).collect(),
            ending,
            symbols: &symbols,
        });
        let module = report.subject.module.as_deref();
        let parking = self.live.waits(&mut tables, module, &symbols)?;
        Ok((report, parking, tables))
    }

    fn subject(&self, began: Nanos) -> Subject {
        let ago = Duration::from_nanos(boot_clock().since(began).0);
        let wall = SystemTime::now().checked_sub(ago).and_then(|wall| wall.duration_since(UNIX_EPOCH).ok());
        let wall = wall.and_then(|wall| u64::try_from(wall.as_nanos()).ok()).unwrap_or(0);
        Subject::of(self.process.pid, self.process.exe(), self.binary, kernel_release(), wall)
    }
}

fn write(
    report: &BlockingReport,
    parking: Option<&ParkingReport>,
    format: Format,
    color: bool,
    out: &mut dyn std::io::Write,
) -> std::io::Result<()> {
    if let Some(parking) = parking {
        parking.write(format, color, out)?;
    }
    if format == Format::Ndjson {
        return Ok(());
    }
    for group in report.by_site() {
        writeln!(out, "{:?} {:?} {:?}", group.key, group.sums.count, group.sums.total.for_people())?;
    }
    for group in report.idle() {
        writeln!(out, "idle {:?} {:?} {:?}", group.key, group.sums.count, group.sums.total.for_people())?;
    }
    for group in report.by_syscall() {
        writeln!(
            out,
            "sys {:?} {:?} {:?} p50 {:?}",
            group.key,
            group.sums.count,
            group.sums.total.for_people(),
            group.objects
        )?;
    }
    for group in &report.blocked_groups {
        writeln!(out, "now {:?} {} {:?}", group.standing, group.count, group.longest)?;
    }
    writeln!(out, "{:?} {:?} {:?}", report.losses, report.missing, report.findings)
}
