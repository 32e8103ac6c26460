//! The lines of a recorded report -> what it holds: startups, or reports on a running program, one or several one after
//! another.

use std::io::BufRead;

use thiserror::Error;

use super::diff::{Open, Spans};
use super::parts::Cause;
use super::series::{
    BLOCKED, MAIN, ON_CPU, PartTimes, REMAINDER, RUNNABLE, Series, Start, Stretch, TooMuch, of_cause,
};
use crate::event::recorded::{Blocking, Header, Lines, Recorded, RecordedError, Spent};
use crate::units::Nanos;

/// The longest name of a package, in bytes.
const NAME_LIMIT: usize = 1024;

/// The most phases and inits of one run.
const STRETCH_LIMIT: usize = 1 << 16;

/// The most programs that one recording names.
const PROGRAM_LIMIT: usize = 16;

/// Startups, or reports on a running program, that were recorded earlier.
#[derive(Clone, Debug, Default)]
pub struct Recording {
    /// The figures of all startups.
    pub series: Series,
    /// What all reports on a running program add up to.
    pub spans: Spans,
    /// Whose they are: one program, unless different ones were put together.
    pub programs: Vec<Program>,
    /// How many runs have no end, because the file was cut short; they are left out.
    pub cut: usize,
    /// How many runs were watched: their times begin at the end of the execve, and not at its call.
    pub watched: usize,
}

/// Whose startups they are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Program {
    /// The executable.
    pub exe: String,
    /// The Go version that built it.
    pub go_version: String,
    /// The main module's path.
    pub module: Option<String>,
}

/// Why a recording cannot be used.
#[derive(Debug, Error)]
pub enum RecordingError {
    /// A line cannot be read.
    #[error(transparent)]
    Line(#[from] RecordedError),
    /// A line of a run without the header that begins a run.
    #[error("line {0} belongs to no run: no header stands before it")]
    NoHeader(u64),
    /// Something else than startups and reports on a running program.
    #[error("line {line}: this is no report of a program but a {report}")]
    NoReport {
        /// Its number, from one.
        line: u64,
        /// What it is.
        report: String,
    },
    /// Startups and reports on a running program in one.
    #[error("line {0}: startups and reports on a running program are in one file, and cannot be added up")]
    Mixed(u64),
    /// No run at all.
    #[error("holds no run{}", if *.cut > 0 { ": the only one has no end, the file was cut short" } else { "" })]
    Empty {
        /// How many runs have no end.
        cut: usize,
    },
    /// A name that no package has.
    #[error("line {0}: a name longer than {NAME_LIMIT} bytes")]
    LongName(u64),
    /// A run with more than any program has.
    #[error("line {0}: more than {STRETCH_LIMIT} phases and inits in one run")]
    LongRun(u64),
    /// Programs that have nothing to do with each other.
    #[error("line {0}: more than {PROGRAM_LIMIT} different programs")]
    ManyPrograms(u64),
    /// More than can be kept.
    #[error("line {line}: {source}")]
    TooMuch {
        /// Its number, from one.
        line: u64,
        /// What is too much.
        source: TooMuch,
    },
}

impl Recording {
    /// Reads a report to its end, one line at a time.
    ///
    /// # Errors
    /// As [`RecordingError`] lists them.
    pub fn read(reader: impl BufRead) -> Result<Self, RecordingError> {
        Self::read_with(reader, &mut |_| ())
    }

    /// The same, and shows every call and wait of a running program.
    ///
    /// # Errors
    /// As [`RecordingError`] lists them.
    pub fn read_with(
        reader: impl BufRead,
        blocking: &mut dyn FnMut(&Blocking),
    ) -> Result<Self, RecordingError> {
        let mut recording = Self::default();
        let mut lines = Lines::new(reader);
        let mut run: Option<Start> = None;
        let mut open = Open::default();
        let mut watched = false;
        let too_much = |line| move |source| RecordingError::TooMuch { line, source };
        while let Some((line, recorded)) = lines.next_line()? {
            match recorded {
                Recorded::Other => {}
                Recorded::Header(header) => {
                    recording.cut += usize::from(run.is_some());
                    watched = header.watched;
                    recording.begin(header, line)?;
                    run = Some(Start::default());
                    open = Open::default();
                }
                Recorded::Blocking(line_of_code) => {
                    if Spans::has(&line_of_code) {
                        blocking(&line_of_code);
                        open.blocking(*line_of_code).map_err(too_much(line))?;
                    }
                }
                Recorded::Gc(cycle) => open.cycle(cycle).map_err(too_much(line))?,
                Recorded::GcSummary(summary) => open.gc(summary),
                Recorded::Phase(phase) => {
                    let run = run.as_mut().ok_or(RecordingError::NoHeader(line))?;
                    if phase.name != MAIN {
                        let stretch = stretch(phase.name, phase.duration_ns, phase.done, &phase.spent);
                        push(&mut run.phases, stretch, line)?;
                    }
                }
                Recorded::Init(init) => {
                    let run = run.as_mut().ok_or(RecordingError::NoHeader(line))?;
                    if init.resolved {
                        let stretch = stretch(init.package, init.wall_ns, init.done, &init.spent);
                        push(&mut run.inits, stretch, line)?;
                    } else {
                        run.unresolved += 1;
                    }
                }
                Recorded::Summary(summary) => {
                    let mut start = run.take().ok_or(RecordingError::NoHeader(line))?;
                    let open = std::mem::take(&mut open);
                    if let (Some(span), Some(_)) = (summary.span_ns, summary.suffered_ns) {
                        recording.spans.add(open, span, summary.complete).map_err(too_much(line))?;
                        continue;
                    }
                    start.to_main = summary.to_main_ns;
                    start.to_ready = summary.to_ready_ns;
                    start.complete = summary.complete;
                    recording.watched += usize::from(watched);
                    recording.series.add(start).map_err(too_much(line))?;
                }
            }
            if recording.series.runs() > 0 && recording.spans.reports > 0 {
                return Err(RecordingError::Mixed(line));
            }
        }
        recording.cut += usize::from(run.is_some());
        if recording.series.runs() == 0 && recording.spans.reports == 0 {
            return Err(RecordingError::Empty { cut: recording.cut });
        }
        Ok(recording)
    }

    fn begin(&mut self, header: Header, line: u64) -> Result<(), RecordingError> {
        if let Some(report) = header.report {
            return Err(RecordingError::NoReport { line, report });
        }
        let Header { exe, go_version, module, .. } = header;
        let program = Program { exe, go_version, module };
        if !self.programs.contains(&program) {
            if self.programs.len() == PROGRAM_LIMIT {
                return Err(RecordingError::ManyPrograms(line));
            }
            self.programs.push(program);
        }
        Ok(())
    }
}

fn push(stretches: &mut Vec<Stretch>, stretch: Stretch, line: u64) -> Result<(), RecordingError> {
    if stretch.name.len() > NAME_LIMIT {
        return Err(RecordingError::LongName(line));
    }
    if stretches.len() == STRETCH_LIMIT {
        return Err(RecordingError::LongRun(line));
    }
    stretches.push(stretch);
    Ok(())
}

fn stretch(name: String, wall: Nanos, done: bool, spent: &Spent) -> Stretch {
    Stretch { name, wall, done, parts: parts(spent) }
}

fn parts(spent: &Spent) -> PartTimes {
    let mut times = PartTimes::default();
    times[ON_CPU] = spent.on_cpu_ns;
    times[RUNNABLE] = spent.runnable_ns;
    times[REMAINDER] = spent.remainder_ns;
    match &spent.blocked {
        Some(blocked) => {
            for cause in Cause::ALL {
                times[of_cause(cause)] = match cause {
                    Cause::File => blocked.file_ns,
                    Cause::Network => blocked.network_ns,
                    Cause::Dns => blocked.dns_ns,
                    Cause::Futex => blocked.futex_ns,
                    Cause::Sleep => blocked.sleep_ns,
                    Cause::PageFault => blocked.page_fault_ns,
                    Cause::Goroutine => blocked.goroutine_ns,
                    Cause::Gc => blocked.gc_ns,
                    Cause::Other => blocked.other_ns,
                };
            }
        }
        None => times[BLOCKED] = spent.blocked_ns,
    }
    times
}

#[cfg(test)]
mod tests {
    use super::super::series::Figure;
    use super::*;

    const RUN: &str = include_str!("../export/golden/startup.ndjson");

    fn read(text: &str) -> Result<Recording, RecordingError> {
        Recording::read(text.as_bytes())
    }

    fn says(text: &str) -> String {
        read(text).unwrap_err().to_string()
    }

    #[test]
    fn what_gotrace_writes_is_read_back() {
        let recording = read(RUN).unwrap();
        let series = &recording.series;
        assert_eq!((series.runs(), series.incomplete(), series.unresolved()), (1, 1, 1));
        assert_eq!(recording.programs[0].module.as_deref(), Some("example.com/app"));
        let wall = |figure: &Figure| series.get(figure).unwrap().walls[0].0;
        assert_eq!(wall(&Figure::ToMain), 4_000_000);
        assert_eq!(wall(&Figure::Phase("package_init".to_owned())), 3_500_000);
        assert_eq!(wall(&Figure::init("net/http")), 500_000);
        assert_eq!(series.get(&Figure::Phase("main".to_owned())), None);
        assert_eq!(series.get(&Figure::init("?0x999")), None);
    }

    #[test]
    fn files_one_behind_another_are_as_many_runs() {
        let recording = read(&RUN.repeat(3)).unwrap();
        assert_eq!(recording.series.runs(), 3);
        assert_eq!(recording.programs.len(), 1);
        assert_eq!(recording.series.get(&Figure::init("net/http")).unwrap().walls.len(), 3);
    }

    #[test]
    fn a_run_that_was_cut_short_is_left_out_and_counted() {
        let cut: String = RUN.lines().take(5).map(|line| format!("{line}\n")).collect();
        for text in [format!("{RUN}{cut}"), format!("{cut}{RUN}")] {
            let recording = read(&text).unwrap();
            assert_eq!((recording.series.runs(), recording.cut), (1, 1));
        }
        assert!(says(&cut).contains("cut short"), "{}", says(&cut));
        assert_eq!(says(""), "holds no run");
    }

    #[test]
    fn watched_runs_are_counted() {
        let watched = RUN.replacen("\"schema\":1", "\"schema\":1,\"watched\":true", 1);
        assert_ne!(watched, RUN);
        assert_eq!(read(&format!("{watched}{RUN}")).unwrap().watched, 1);
    }

    #[test]
    fn what_is_no_startup_is_refused() {
        let headless: String = RUN.lines().skip(1).map(|line| format!("{line}\n")).collect();
        assert!(says(&headless).contains("line 1 belongs to no run"), "{}", says(&headless));
        let diff = r#"{"type":"header","schema":1,"report":"diff"}"#;
        assert!(says(diff).contains("no report of a program but a diff"), "{}", says(diff));
    }

    #[test]
    fn names_and_runs_are_bounded() {
        let header = r#"{"type":"header","schema":1}"#;
        let init = |name: &str| format!("{{\"type\":\"init\",\"package\":\"{name}\",\"wall_ns\":1}}\n");
        let long = format!("{header}\n{}", init(&"x".repeat(NAME_LIMIT + 1)));
        assert!(says(&long).contains("line 2"), "{}", says(&long));
        let many = format!("{header}\n{}", init("a").repeat(STRETCH_LIMIT + 1));
        assert!(says(&many).contains("more than 65536"), "{}", says(&many));
        let programs: String = (0..=PROGRAM_LIMIT)
            .map(|number| format!("{{\"type\":\"header\",\"schema\":1,\"exe\":\"{number}\"}}\n"))
            .collect();
        assert!(says(&programs).contains("different programs"), "{}", says(&programs));
    }

    #[test]
    fn waiting_without_kinds_is_one_part() {
        let of = |fields: &str| {
            let init =
                format!("{{\"type\":\"init\",\"package\":\"a\",\"wall_ns\":9,\"blocked_ns\":5{fields}}}");
            let text = format!(
                "{{\"type\":\"header\",\"schema\":1}}\n{init}\n{{\"type\":\"summary\",\"to_main_ns\":1}}\n"
            );
            let series = read(&text).unwrap().series;
            let samples = series.get(&Figure::init("a")).unwrap().clone();
            (samples.part(BLOCKED), samples.part(of_cause(Cause::File)))
        };
        assert_eq!(of(""), (Some(Nanos(5)), None));
        assert_eq!(of(",\"blocked\":{\"file_ns\":4}"), (None, Some(Nanos(4))));
    }
}
