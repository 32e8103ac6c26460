//! The status of a program that runs already, for people; and what both of its formats share.

use std::io::{self, Write};

use anstyle::{AnsiColor, Style};

use super::subject::subject_line;
use super::{Format, printable};
use crate::model::{Evidence, MainView, Stage, StatusReport};
use crate::target::goroutine::GoroutineStatus;
use crate::units::Nanos;

impl StatusReport {
    /// Writes the report in that format.
    ///
    /// # Errors
    /// Only those of the writer.
    pub fn write(&self, format: Format, color: bool, out: &mut dyn Write) -> io::Result<()> {
        match format {
            Format::Text => self.write_text(color, out),
            Format::Ndjson => self.write_ndjson(out),
            _ => Err(io::Error::new(io::ErrorKind::Unsupported, "one look has no times to draw")),
        }
    }

    fn write_text(&self, color: bool, out: &mut dyn Write) -> io::Result<()> {
        let style = |style: Style| if color { style } else { Style::new() };
        let (bold, dim) = (style(Style::new().bold()), style(Style::new().dimmed()));
        let warn = style(AnsiColor::Yellow.on_default().bold());
        let which = format!("pid {}", self.subject.pid);
        writeln!(out, "{}", subject_line(&self.subject, &which, [bold, Style::new()]))?;
        let head = if self.status.is_stuck() { warn } else { bold };
        writeln!(out, "{head}{}{head:#}", self.headline())?;
        if self.status.stopped {
            writeln!(
                out,
                "  {warn}the process is stopped by a signal or a debugger{warn:#}; SIGCONT lets it go on"
            )?;
        }
        if let Some(frame) = &self.status.init_function {
            writeln!(out, "  in {}", printable(&frame.to_string()))?;
        }
        match &self.status.main {
            Err(reason) => writeln!(out, "  {warn}goroutine 1 is not shown:{warn:#} {reason}")?,
            Ok(None) => {}
            Ok(Some(main)) => {
                writeln!(out, "  goroutine 1 {}", printable(&doing(main)))?;
                if let Some(stays) = self.stays() {
                    writeln!(out, "  {dim}{stays}{dim:#}")?;
                }
                write_stack(main, out)?;
            }
        }
        let usage = self.usage;
        let cpu = usage.cpu.unwrap_or(Nanos(usage.user.0 + usage.system.0)).for_people();
        let (faults, major) = (usage.minor_faults + usage.major_faults, usage.major_faults);
        writeln!(
            out,
            "\n{dim}since it began, {} ago: {cpu} on processors, {faults} page faults, {major} of them with I/O{dim:#}",
            self.age().for_people()
        )
    }

    fn headline(&self) -> String {
        let status = &self.status;
        match &status.stage {
            Stage::BeforeInit => {
                format!("before init: the runtime is starting, and none of {} inits has begun", status.inits)
            }
            Stage::InitOver => {
                let main = match status.in_main {
                    Some(true) => "main.main is on goroutine 1's stack",
                    Some(false) => "main.main is not on goroutine 1's stack",
                    None => "whether main.main was called does not show",
                };
                format!("init is over: all {} inits are done; {main}", status.inits)
            }
            Stage::InInit { seq, package, begun } => {
                let before = if *begun { "" } else { "before " };
                let package = printable(package);
                let which = format!("{before}package {} of {}, {package}", seq + 1, status.inits);
                match self.stays_for() {
                    Some(at_least) => {
                        format!("stuck in init for at least {}: {which}", at_least.for_people())
                    }
                    None => format!("in init: {which}"),
                }
            }
        }
    }

    /// How the time is known, and what bounds it from above.
    fn stays(&self) -> Option<String> {
        let at_least = self.stays_for()?.for_people();
        let how = match self.status.main_view()?.stays?.evidence {
            Evidence::TwoLooks => format!("in the same place at two looks {at_least} apart"),
            Evidence::ThreadAsleep => format!("its thread has not been on a processor for {at_least}"),
            Evidence::WaitSince => format!("the garbage collector saw it wait {at_least} ago"),
        };
        Some(format!("{how}; at most {}, the age of the process", self.age().for_people()))
    }

    /// How long the main goroutine has been where it is, at least.
    pub(super) fn stays_for(&self) -> Option<Nanos> {
        // The age is in steps of 10 ms, and what it bounds is not.
        Some(self.status.main_view()?.stays?.duration.min(self.age()))
    }
}

/// What the main goroutine does, in words.
fn doing(main: &MainView) -> String {
    let state = &main.state;
    let object = state.object.as_ref();
    let about = |text: String| match object.and_then(|object| object.object.as_deref()) {
        Some(name) => format!("{text}, {name}"),
        None => text,
    };
    let fd = object.and_then(|object| object.fd).map(|fd| format!("fd {fd}"));
    match state.goroutine.status {
        GoroutineStatus::Waiting => {
            let reason = state.wait_reason.unwrap_or("for a reason that has no name");
            about(fd.map_or_else(|| format!("waits: {reason}"), |fd| format!("waits: {reason}, {fd}")))
        }
        GoroutineStatus::Syscall => match main.call() {
            Some(call) => {
                let name = call.name().map_or_else(|| format!("system call {}", call.number), str::to_owned);
                about(format!("is in {name}({})", fd.unwrap_or_default()))
            }
            None => "is in a system call, or in C code that runs".to_owned(),
        },
        GoroutineStatus::Running => match main.call() {
            Some(call) => about(format!("runs, in {}", call.name().unwrap_or("a system call"))),
            None => "runs".to_owned(),
        },
        GoroutineStatus::Runnable => "could run, and waits for a processor of Go's (a P)".to_owned(),
        GoroutineStatus::Dead => "has ended".to_owned(),
        GoroutineStatus::Moving | GoroutineStatus::Preempted => "is stopped by the runtime".to_owned(),
    }
}

fn write_stack(main: &MainView, out: &mut dyn Write) -> io::Result<()> {
    /// Wider than nearly every function's name.
    const WIDTH: usize = 48;
    for frame in &main.stack.frames {
        let function = printable(&frame.function);
        match &frame.file {
            Some(file) => writeln!(out, "    {function:<WIDTH$}  {}:{}", printable(file), frame.line)?,
            None => writeln!(out, "    {function}")?,
        }
    }
    if !main.stack.whole && !main.stack.frames.is_empty() {
        writeln!(out, "    (the rest of the stack cannot be followed)")?;
    }
    Ok(())
}

#[cfg(test)]
#[path = "status_tests.rs"]
mod tests;
