//! `cargo xtask bench all`: what is compared in one run, and what gotrace itself takes, written to docs/performance.json; docs/performance.md and the
//! table in README.md are made of that file.

use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;
use std::process::{Command, ExitCode};

use anyhow::{Context as _, Result, bail};
use serde::{Deserialize, Serialize};

use super::attach::{CALL, GONE, READY, REQUEST};
use super::figures::{Row, Table};
use super::gc::CYCLE;
use super::kept::Kept;
use super::{agent, attach, capture, gc, scheduler, startup};
use crate::exec;
use crate::vm::Kernel;

/// Between which lines README.md has what is made of the figures.
const BEGIN: &str = "<!-- made by `cargo xtask bench all` -->\n";
const END: &str = "<!-- end of what is made -->\n";

/// With more to do than this the machine is not measured: at 7, on two processors, calls took three times as long.
const QUIET: f64 = 1.0;

/// Attach, gc, scheduler and startup, by turns and beside the peers, and agent and capture, into docs/performance.json, and what is made of that.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// How many turns of each
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    turns: u32,
    /// Also on a machine that has other things to do, whose figures are not to be kept
    #[arg(long)]
    busy: bool,
    /// Measure nothing: only make the pages anew of the figures that are there
    #[arg(long)]
    pages: bool,
}

/// What was measured, and where.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Performance {
    /// The kernel's series.
    kernel: String,
    processors: usize,
    /// How many wanted to run in the minute before.
    load: f64,
    tables: Vec<Table>,
}

pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    let performance = if args.pages { Performance::read()? } else { Performance::measure(args)? };
    let json = serde_json::to_string_pretty(&performance).context("writing the figures")? + "\n";
    write("docs/performance.json", &json)?;
    write("docs/performance.md", &performance.page(&Kept::read()?)?)?;
    let readme = read("README.md")?;
    let (before, rest) = readme.split_once(BEGIN).context("README.md has no place for the figures")?;
    let (_, behind) = rest.split_once(END).context("README.md does not say where the figures end")?;
    write("README.md", &format!("{before}{BEGIN}{}{END}{behind}", performance.summary()?))?;
    Ok(ExitCode::SUCCESS)
}

impl Performance {
    fn measure(args: &Args) -> Result<Self> {
        let turns = args.turns;
        let release = exec::text(Command::new("uname").arg("-r"))?;
        let series: Vec<&str> = release.trim().splitn(3, '.').take(2).collect();
        let load = fs::read_to_string("/proc/loadavg").context("reading the load")?;
        let of_a_minute: f64 =
            load.split(' ').next().unwrap_or_default().parse().context("reading the load")?;
        if of_a_minute > QUIET && !args.busy {
            bail!(
                "the load average is {of_a_minute}: figures would be those of what else runs; wait, or give --busy"
            );
        }
        let mut tables = attach::tables(&attach::Args::whole(turns))?;
        tables.extend(gc::tables(&gc::Args::whole(turns))?);
        tables.extend(scheduler::tables(&scheduler::Args::whole(turns))?);
        tables.push(startup::table(&startup::Args::whole(turns))?);
        tables.extend(agent::tables(&agent::Args::whole(turns))?);
        tables.push(capture::table(&capture::Args::WHOLE)?);
        Ok(Self {
            kernel: series.join("."),
            processors: std::thread::available_parallelism().context("counting the processors")?.get(),
            load: of_a_minute,
            tables,
        })
    }

    fn read() -> Result<Self> {
        serde_json::from_str(&read("docs/performance.json")?).context("reading docs/performance.json")
    }

    /// Where it was measured, in a sentence.
    fn place(&self) -> String {
        let Self { kernel, processors, load, .. } = self;
        format!(
            "Linux {kernel}, {processors} processors of a virtual machine, load average {load} at the beginning"
        )
    }

    fn table(&self, title: &str) -> Result<&Table> {
        let found = self.tables.iter().find(|table| table.title == title);
        found.with_context(|| format!("docs/performance.json has no table of {title}"))
    }

    fn row(&self, title: impl Fn(&str) -> bool, name: &str) -> Result<&Row> {
        let of_title = self.tables.iter().filter(|table| title(&table.title));
        let row = of_title.flat_map(|table| &table.rows).find(|row| row.name == name);
        row.with_context(|| format!("docs/performance.json has no line of {name}"))
    }

    /// What README.md has of it: the cost for a running program.
    fn summary(&self) -> Result<String> {
        let calls: Vec<&Table> = self.tables.iter().filter(|table| table.title.starts_with(CALL)).collect();
        let Some(first) = calls.first() else { bail!("docs/performance.json has no table of calls") };
        let columns: Vec<&str> = first.rows.iter().map(|row| row.name.as_str()).collect();
        let mut text = format!(
            "What a running program pays, measured side by side in one run by `cargo xtask bench all`: medians. Yours will \
             differ, so\nmeasure there. {}.\n[docs/performance.md](docs/performance.md) has all of it, with spread, ratios and \
             instructions.\n\n| |",
            self.place()
        );
        columns.iter().try_for_each(|column| write!(text, " {} |", command(column)))?;
        text += "\n|---|";
        text += &"---|".repeat(columns.len());
        text.push('\n');
        let request = self.table(REQUEST)?;
        let lines = calls.iter().map(|table| (called(&table.title[CALL.len()..]), *table, 1.0));
        for (what, table, nanos) in lines.chain([("an HTTP request (net/http, asked by wrk)", request, 1e3)])
        {
            write!(text, "| {what} |")?;
            for column in &columns {
                let row = table.rows.iter().find(|row| row.name == *column);
                write!(text, " {} |", row.map_or(String::new(), |row| time(row.median * nanos)))?;
            }
            text.push('\n');
        }
        let large = |name| self.row(|title| title.starts_with("ms, "), name);
        let cycle = |name| self.row(|title| title == CYCLE, name);
        let milli = |row: &Row| time(row.median * 1e6);
        let micro = |row: &Row| time(row.median * 1e3);
        writeln!(
            text,
            "\nPrometheus is attached to after {}, and left {} after Ctrl-C. A cycle of the garbage collector in \
             `runtime.GC`\ntakes {} alone, and {} under `gotrace attach` ({} with `--no-gc`).",
            milli(large(READY)?),
            milli(large(GONE)?),
            micro(cycle("alone")?),
            micro(cycle("gotrace attach")?),
            micro(cycle("gotrace attach --no-gc")?),
        )?;
        Ok(text)
    }

    /// docs/performance.md.
    fn page(&self, kept: &Kept) -> Result<String> {
        let mut text = format!(
            "# What gotrace costs\n\nMade by `cargo xtask bench all` of docs/performance.json. {}.\nEach table was measured \
             in one run, by turns. Spread is the distance between the quarters; ratios are those of the medians.\n",
            self.place()
        );
        for Table { title, rows } in &self.tables {
            write!(
                text,
                "\n## {title}\n\n| | min | median | max | spread | ratio |\n|---|---|---|---|---|---|\n"
            )?;
            for Row { name, min, median, max, spread, ratio, .. } in rows {
                let ratio = ratio.map_or(String::new(), |ratio| format!("{ratio:.2}"));
                writeln!(text, "| {name} | {min:.3} | {median:.3} | {max:.3} | {spread:.3} | {ratio} |")?;
            }
        }
        let kernels = Kernel::ALL.map(|kernel| format!("Linux {kernel}")).join(" | ");
        write!(
            text,
            "\n## Instructions a run of each program in the kernel\n\nOf docs/instructions.json, by `cargo xtask bench \
             instructions --keep`.\n\n| | {kernels} |\n|---{}|\n",
            "|---".repeat(Kernel::ALL.len())
        )?;
        for (what, costs) in kept.rows() {
            let costs = costs.map(|cost| cost.map_or(String::new(), |cost| cost.to_string()));
            writeln!(text, "| {what} | {} |", costs.join(" | "))?;
        }
        Ok(text)
    }
}

/// A watcher's name as README.md writes it: what is typed looks so.
fn command(name: &str) -> String {
    let is_typed = ["gotrace ", "perf ", "strace "].iter().any(|program| name.starts_with(program));
    if is_typed { format!("`{name}`") } else { name.to_owned() }
}

/// A call of the fixture as README.md writes it.
fn called(call: &str) -> &str {
    match call {
        "getppid" => "`getppid`",
        "pread" => "`pread`",
        "eagain" => "a `read` that says EAGAIN",
        other => other,
    }
}

/// Nanoseconds, with three digits at most.
fn time(nanos: f64) -> String {
    let (figure, unit) = match nanos {
        ..1e3 => (nanos, "ns"),
        1e3..1e6 => (nanos / 1e3, "µs"),
        _ => (nanos / 1e6, "ms"),
    };
    let digits = if figure < 10.0 {
        2
    } else if figure < 100.0 {
        1
    } else {
        0
    };
    format!("{figure:.digits$} {unit}")
}

fn place(name: &str) -> PathBuf {
    exec::workspace().join(name)
}

fn read(name: &str) -> Result<String> {
    fs::read_to_string(place(name)).with_context(|| format!("reading {name}"))
}

fn write(name: &str, text: &str) -> Result<()> {
    fs::write(place(name), text).with_context(|| format!("writing {name}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_three_digits() {
        assert_eq!(
            [102.4, 999.0, 1_234.0, 15_540.0, 142_000.0, 170e6].map(time),
            ["102 ns", "999 ns", "1.23 µs", "15.5 µs", "142 µs", "170 ms"]
        );
    }

    /// What is told to people is what was measured.
    #[test]
    fn the_pages_are_made_of_the_figures() {
        let performance = Performance::read().unwrap();
        let hint = "run: cargo xtask bench all --pages";
        assert_eq!(
            read("docs/performance.md").unwrap(),
            performance.page(&Kept::read().unwrap()).unwrap(),
            "{hint}"
        );
        let readme = read("README.md").unwrap();
        let made = readme.split_once(BEGIN).and_then(|(_, rest)| Some(rest.split_once(END)?.0));
        assert_eq!(made, Some(&*performance.summary().unwrap()), "{hint}");
    }
}
