//! What idles, every system call, the scheduler, and what to think of the data.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::io::{self, Write};

use anstyle::AnsiColor;
use tracer_ebpf::wire::Probe;

use super::super::printable;
use super::super::text::shares::share;
use super::sites::spread;
use super::{BlockingText, site_name};
use crate::event::blocking::Caller;
use crate::model::blocking::{BlockingReport, Class, Group, Site};
use crate::units::saturating_sum;

/// The probes of a running program; their account is shown also when they saw nothing.
const PROBES: [Probe; 4] = [Probe::Summed, Probe::NetworkWait, Probe::Slow, Probe::OnCpu];

impl BlockingText {
    pub(super) fn idle(self, report: &BlockingReport, out: &mut dyn Write) -> io::Result<()> {
        let (bold, dim) = (self.bold(), self.dim());
        writeln!(out, "{bold}idle{bold:#}, {dim}and what is counted apart{dim:#}")?;
        for group in report.idle() {
            line(&group, group.key.words(), out)?;
        }
        for group in report.apart() {
            let words = match group.key {
                Class::Brief => {
                    format!(
                        "calls and waits of goroutines that took less than {}",
                        report.stack_from.for_people()
                    )
                }
                _ => "threads that run no Go code: C code's own, or not known".to_owned(),
            };
            line(&group, &words, out)?;
        }
        writeln!(out)
    }

    /// Where the program runs while it is not blocked.
    pub(super) fn on_cpu(self, report: &BlockingReport, out: &mut dyn Write) -> io::Result<()> {
        /// So many places are enough to see whether it computes; the flame graph has all.
        const PLACES: usize = 5;
        let all = saturating_sum(report.on_cpu.iter().map(|on_cpu| on_cpu.count));
        if all == 0 {
            return Ok(());
        }
        let (bold, dim) = (self.bold(), self.dim());
        writeln!(
            out,
            "{bold}on a CPU{bold:#}, {dim}{all} {}{dim:#}",
            if all == 1 { "sample" } else { "samples" }
        )?;
        let mut by_site: HashMap<&Site, u64> = HashMap::new();
        for on_cpu in &report.on_cpu {
            let count = by_site.entry(&on_cpu.site).or_default();
            *count = count.saturating_add(on_cpu.count);
        }
        let mut by_site: Vec<_> = by_site.into_iter().collect();
        by_site.sort_by_key(|(site, count)| (Reverse(*count), *site));
        for (site, count) in by_site.into_iter().take(PLACES) {
            writeln!(out, "  {:>6}  {count:>7}  {}", share(count, all), site_name(site))?;
        }
        writeln!(out)
    }

    /// As `strace -c` has it.
    pub(super) fn syscalls(self, report: &BlockingReport, out: &mut dyn Write) -> io::Result<()> {
        let (bold, dim) = (self.bold(), self.dim());
        let calls = report.by_syscall();
        if calls.is_empty() {
            return writeln!(out, "no system call returned\n");
        }
        let callers = report.by_caller();
        let count = calls.len();
        let calls = self.shown(calls);
        let which = if calls.len() < count { format!(", {} of {count}", calls.len()) } else { String::new() };
        writeln!(out, "{bold}system calls{bold:#}{which}")?;
        writeln!(
            out,
            "  {dim}{:>9}  {:>8}  {:>7}  {:>9}  {:>9}  {:>9}  {:<16}  goroutines / runtime / unknown{dim:#}",
            "total", "count", "errors", "p50 <=", "p99 <=", "max", "call"
        )?;
        for group in &calls {
            let sums = &group.sums;
            let by = |caller: Caller| {
                let of_caller = callers.iter().find(|other| other.key == (group.key, caller));
                of_caller.map_or(0, |other| other.sums.count)
            };
            let joined = match sums.joined {
                0 => String::new(),
                joined => format!(", {joined} more had begun before"),
            };
            writeln!(
                out,
                "  {:>9}  {:>8}  {:>7}  {}  {:<16}  {dim}{} / {} / {}{joined}{dim:#}",
                sums.total.for_people(),
                sums.count,
                sums.errors,
                spread(sums),
                group.largest.syscall(),
                by(Caller::Goroutine),
                by(Caller::Runtime),
                by(Caller::Unknown),
            )?;
        }
        writeln!(out)
    }

    pub(super) fn scheduler(self, report: &BlockingReport, out: &mut dyn Write) -> io::Result<()> {
        let bold = self.bold();
        let scheduler = &report.scheduler;
        let threads = scheduler.threads;
        writeln!(out, "{bold}scheduler{bold:#}")?;
        writeln!(
            out,
            "  threads made: {}, of them {} because of calls that block, {} for more work, {} by C code, {} unknown; children: {}",
            threads.all(),
            threads.for_blocking,
            threads.for_work,
            threads.by_c,
            threads.unknown,
            scheduler.children
        )?;
        writeln!(
            out,
            "  calls of goroutines that sysmon may have taken the P of: at most {} (20.5 µs and longer), {} of them 10.5 ms and longer",
            scheduler.past_fast_tick, scheduler.past_slow_tick
        )?;
        let poller = &scheduler.poller;
        writeln!(
            out,
            "  network poller: {} calls, of them {} that waited; {} in all, p50 <= {}, longest {}\n",
            poller.count,
            scheduler.poller_waits,
            poller.total.for_people(),
            poller.quantile(500).unwrap_or_default().for_people(),
            poller.longest.for_people()
        )
    }

    pub(super) fn losses(self, report: &BlockingReport, out: &mut dyn Write) -> io::Result<()> {
        let losses = &report.losses;
        let (dim, clean) = (self.dim(), losses.is_complete());
        let warn = self.style(AnsiColor::Red.on_default().bold());
        let style = if clean { dim } else { warn };
        let verdict = if clean { "" } else { "  INCOMPLETE" };
        let by_probe: Vec<String> = losses
            .probes
            .iter()
            .filter(|loss| loss.hits > 0 || loss.dropped > 0 || PROBES.contains(&loss.probe))
            .map(|loss| format!("{} {}/{}", loss.probe.name(), loss.dropped, loss.hits))
            .collect();
        let by_reason: Vec<String> =
            losses.stacks.iter().map(|(loss, count)| format!("{count} {}", loss.name())).collect();
        let reasons =
            if by_reason.is_empty() { String::new() } else { format!(" ({})", by_reason.join(", ")) };
        writeln!(
            out,
            "{style}{} calls; lost: {}, undecodable: {}, without their stack: {}{reasons}{verdict}{style:#}",
            losses.calls,
            losses.dropped(),
            losses.undecodable,
            losses.lost_stacks()
        )?;
        writeln!(out, "{style}lost of hits by probe: {}{style:#}", by_probe.join(", "))?;
        writeln!(
            out,
            "{dim}by whom is unknown: {} ({}); begun before gotrace came: {}; slow calls {}, without a place for their object {}{dim:#}",
            losses.unknown_callers,
            share(losses.unknown_callers, losses.calls),
            losses.joined,
            report.slow_count,
            losses.untold_objects
        )?;
        for missing in &report.missing {
            let style = if missing.is_detail { dim } else { warn };
            let function = printable(&missing.function);
            let reason = printable(&missing.reason);
            writeln!(out, "{style}not seen:{style:#} {} ({function}): {reason}", printable(&missing.probe))?;
        }
        Ok(())
    }
}

fn line<K>(group: &Group<K>, words: &str, out: &mut dyn Write) -> io::Result<()> {
    let sums = &group.sums;
    let (total, max) = (sums.total.for_people(), sums.longest.for_people());
    writeln!(out, "  {total:>9}  {:>8}  max {max:>9}  {words}", sums.count)
}
