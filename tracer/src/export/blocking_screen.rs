//! What a running program is blocked on, on one screen: drawn anew each second, cut to the terminal's size.

use std::io::{self, Write};

use anstyle::{AnsiColor, Style};

use super::printable;
use crate::model::blocking::{BlockedGroup, BlockingReport, Site, Standing};
use crate::model::gc::megabytes;
use crate::units::{Nanos, saturating_sum};

/// The terminal, and what the report does not know.
#[derive(Clone, Copy, Debug)]
pub struct Screen {
    /// How many lines there are.
    pub rows: usize,
    /// How many characters a line has.
    pub columns: usize,
    /// Whether colours are wanted.
    pub color: bool,
    /// How long the program has been followed.
    pub followed: Nanos,
    /// What gotrace itself took of one CPU in the report's time, in hundredths of a percent.
    pub own_cpu: u64,
}

impl Screen {
    /// The lines of a report on the time since the last one, at most as many as there is room for.
    ///
    /// # Errors
    /// Only those of the writer.
    pub fn write(&self, report: &BlockingReport, out: &mut dyn Write) -> io::Result<()> {
        let style = |style: Style| if self.color { style } else { Style::new() };
        let (bold, dim) = (style(Style::new().bold()), style(Style::new().dimmed()));
        let warn = style(AnsiColor::Yellow.on_default());
        let head = self.rows.saturating_sub(8 + usize::from(report.gc.is_some()));
        let (most_sites, most_now) = (head / 2, head - head / 2);
        let mut page = Page { screen: self, out, left: self.rows.saturating_sub(1) };

        page.line(bold, &self.title(report))?;
        page.line(dim, &self.account(report))?;
        if let Some(gc) = &report.gc {
            let heap = gc
                .heap
                .as_ref()
                .map_or_else(String::new, |heap| format!(", heap {}", megabytes(heap.live.last)));
            page.line(dim, &format!("GC: {}{heap}", gc.verdict()))?;
        }
        page.line(Style::new(), "")?;
        page.line(bold, &format!("{:>9} {:>9} {:>9}  blocked, last interval", "time", "count", "p99"))?;
        let sites = report.by_site();
        for group in sites.iter().take(most_sites) {
            let (site, cause) = &group.key;
            let p99 = group.sums.quantile(990).map_or_else(String::new, Nanos::for_people);
            let text = format!(
                "{:>9} {:>9} {:>9}  {} {}",
                group.sums.total.for_people(),
                group.sums.count,
                p99,
                cause.name(),
                place(site)
            );
            page.line(Style::new(), &text)?;
        }
        if sites.is_empty() {
            page.line(dim, "nothing")?;
        }
        page.line(Style::new(), "")?;
        page.line(bold, &format!("{:>9} {:>9}  blocked now", "for", "count"))?;
        let waits = |group: &&BlockedGroup| !matches!(group.standing, Standing::Idle(_));
        for group in report.blocked_groups.iter().filter(waits).take(most_now) {
            let style = if group.standing == Standing::Suffered { warn } else { Style::new() };
            page.line(style, &now(group, report.ended))?;
        }
        let idle: u64 =
            report.blocked_groups.iter().filter(|group| !waits(group)).map(|group| group.count).sum();
        page.line(dim, &format!("{idle} idle"))
    }

    fn title(&self, report: &BlockingReport) -> String {
        let exe = printable(&report.subject.exe.to_string_lossy());
        format!(
            "{exe} (pid {}, {}), followed for {} s; Ctrl-C for the report",
            report.subject.pid,
            report.subject.go_version,
            self.followed.0 / 1_000_000_000
        )
    }

    fn account(&self, report: &BlockingReport) -> String {
        let calls = saturating_sum(report.by_syscall().iter().map(|group| group.sums.count));
        let a_second = |number: u64| u128::from(number) * 1_000_000_000 / u128::from(report.span().0.max(1));
        let blocked = report.suffered_total();
        format!(
            "{} system calls/s, blocked {} ms/s, lost {}, gotrace {}.{:02} % of a CPU",
            a_second(calls),
            a_second(blocked.0) / 1_000_000,
            report.losses.dropped(),
            self.own_cpu / 100,
            self.own_cpu % 100
        )
    }
}

/// Counts the lines that are left.
struct Page<'a> {
    screen: &'a Screen,
    out: &'a mut dyn Write,
    left: usize,
}

impl Page<'_> {
    fn line(&mut self, style: Style, text: &str) -> io::Result<()> {
        let Some(left) = self.left.checked_sub(1) else { return Ok(()) };
        self.left = left;
        let text: String = text.chars().take(self.screen.columns).collect();
        writeln!(self.out, "{style}{text}{style:#}")
    }
}

fn place(site: &Site) -> String {
    match site.place() {
        Some(place) => {
            let file = place.file.as_deref().unwrap_or("?").rsplit('/').next().unwrap_or("?");
            printable(&format!("{} {file}:{}", place.function, place.line))
        }
        None => "(code not known)".to_owned(),
    }
}

fn now(group: &BlockedGroup, at: Nanos) -> String {
    let one = &group.longest;
    let lasted = match one.since {
        Some(since) if since.is_exact() => at.since(since.time()).for_people(),
        Some(since) => format!("≥{}", at.since(since.time()).for_people()),
        None => "?".to_owned(),
    };
    let what = one.wait_reason.as_deref().filter(|reason| *reason != "IO wait").map(str::to_owned);
    let what = what.or(one.syscall.clone()).unwrap_or_else(|| one.state.clone().into_owned());
    let object = one.object.as_deref().map(|object| format!(" {}", printable(object))).unwrap_or_default();
    format!("{lasted:>9} {:>9}  {what}{object} {}", group.count, place(&group.site))
}
