//! The lines that `GODEBUG=gctrace=1` makes the runtime print, to the letter (runtime/mgc.go, `gcMarkTermination`).

use std::io::{self, Write};

use super::super::Export;
use crate::model::Report;
use crate::model::blocking::BlockingReport;
use crate::model::gc::{GcReport, ToldCycle};
use crate::units::Nanos;

/// The format. A report without the collector's part has no lines.
pub(in super::super) struct Gctrace;

impl Export for Gctrace {
    fn start(&self, report: &Report, out: &mut dyn Write) -> io::Result<()> {
        report.gc.as_ref().map_or(Ok(()), |gc| gc.write_gctrace(out))
    }

    fn running(&self, report: &BlockingReport, out: &mut dyn Write) -> io::Result<()> {
        report.gc.as_ref().map_or(Ok(()), |gc| gc.write_gctrace(out))
    }
}

impl GcReport {
    /// Writes a line for each cycle.
    ///
    /// # Errors
    /// Only those of the writer.
    pub fn write_gctrace(&self, out: &mut dyn Write) -> io::Result<()> {
        self.cycles.iter().try_for_each(|told| writeln!(out, "{}", line(told, self.runtime_init)))
    }
}

/// `since` is `runtime.runtimeInitTime`; where that is not known, neither is when the cycle began by it.
fn line(told: &ToldCycle, since: Option<Nanos>) -> String {
    let cycle = &told.cycle;
    let at = match since {
        Some(since) => decimal(cycle.runtime_start.since(since).0 / 1_000_000, 3),
        None => "?".to_owned(),
    };
    #[expect(clippy::cast_possible_truncation, reason = "as the runtime does")]
    let percent = (cycle.cpu_fraction * 100.0) as i64;
    let clock = [cycle.sweep_term, cycle.mark, cycle.mark_term].map(milliseconds);
    let background = Nanos(cycle.dedicated.0.saturating_add(cycle.fractional.0));
    let cpu = [cycle.sweep_term_cpu(), cycle.assist, background, cycle.idle, cycle.mark_term_cpu()];
    let [sweep_term, assist, background, idle, mark_term] = cpu.map(milliseconds);
    let mib = |bytes: u64| bytes >> 20;
    format!(
        "gc {} @{at}s {percent}%{}: {} ms clock, {sweep_term}+{assist}/{background}/{idle}+{mark_term} ms cpu, \
         {}->{}->{} MB, {} MB goal, {} MB stacks, {} MB globals, {} P{}",
        cycle.number,
        if told.leaks { " (checking for goroutine leaks)" } else { "" },
        clock.join("+"),
        mib(cycle.heap_start),
        mib(cycle.heap_end),
        mib(cycle.heap_marked),
        mib(cycle.heap_goal),
        mib(cycle.stack_scan),
        mib(cycle.globals_scan),
        cycle.procs,
        if cycle.forced { " (forced)" } else { "" }
    )
}

/// Two digits of milliseconds, with at most three behind the point; whole ones from ten on (`fmtNSAsMS`).
pub(in super::super) fn milliseconds(time: Nanos) -> String {
    if time.0 >= 10_000_000 {
        return (time.0 / 1_000_000).to_string();
    }
    let mut value = time.0 / 1_000;
    if value == 0 {
        return "0".to_owned();
    }
    let mut decimals = 3;
    while value >= 100 {
        value /= 10;
        decimals -= 1;
    }
    decimal(value, decimals)
}

/// A value divided by that power of ten (`itoaDiv`).
fn decimal(value: u64, decimals: u32) -> String {
    let power = 10_u64.pow(decimals);
    let width = usize::try_from(decimals).unwrap_or_default();
    format!("{}.{:0width$}", value / power, value % power)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// `itoaDiv`, as Go's source has it.
    fn itoa_div(buf: &mut [u8; 24], mut val: u64, dec: i64) -> String {
        let mut i = buf.len() as i64 - 1;
        let idec = i - dec;
        while val >= 10 || i >= idec {
            buf[usize::try_from(i).unwrap()] = u8::try_from(val % 10).unwrap() + b'0';
            i -= 1;
            if i == idec {
                buf[usize::try_from(i).unwrap()] = b'.';
                i -= 1;
            }
            val /= 10;
        }
        buf[usize::try_from(i).unwrap()] = u8::try_from(val).unwrap() + b'0';
        String::from_utf8(buf[usize::try_from(i).unwrap()..].to_vec()).unwrap()
    }

    /// `fmtNSAsMS`, as Go's source has it.
    fn fmt_ns_as_ms(ns: u64) -> String {
        let mut buf = [0; 24];
        if ns >= 10_000_000 {
            return itoa_div(&mut buf, ns / 1_000_000, 0);
        }
        let mut x = ns / 1_000;
        if x == 0 {
            return "0".to_owned();
        }
        let mut dec = 3;
        while x >= 100 {
            x /= 10;
            dec -= 1;
        }
        itoa_div(&mut buf, x, dec)
    }

    #[test]
    fn times_are_formatted_as_go_does_it_at_every_edge() {
        let edges = (0..20).map(|power| 10_u64.saturating_pow(power));
        for edge in edges.flat_map(|edge| [1, 2, 5, 9].map(|times| edge.saturating_mul(times))) {
            for time in [edge.saturating_sub(1), edge, edge.saturating_add(1)] {
                assert_eq!(milliseconds(Nanos(time)), fmt_ns_as_ms(time), "{time}");
            }
        }
    }

    proptest! {
        #[test]
        fn times_are_formatted_as_go_does_it(time in any::<u64>(), short in 0_u64..20_000_000) {
            prop_assert_eq!(milliseconds(Nanos(time)), fmt_ns_as_ms(time));
            prop_assert_eq!(milliseconds(Nanos(short)), fmt_ns_as_ms(short));
            prop_assert_eq!(decimal(time / 1_000_000, 3), itoa_div(&mut [0; 24], time / 1_000_000, 3));
        }
    }
}
