//! A start as a flame chart: phases, package inits, their functions, and what these waited for. Its x axis is time.

use std::borrow::Cow;
use std::io::{self, Write};
use std::sync::Arc;

use regex::Regex;

use super::blocking_flame::label;
use super::flamegraph::{Picture, Weight};
use super::folded::Folded;
use super::startup_spans::{Level, stretches};
use crate::model::Report;

/// The chart of a start.
#[derive(Clone, Debug, Default)]
pub struct StartupFlame {
    /// Only stacks with a frame that matches.
    pub focus: Option<Regex>,
}

impl StartupFlame {
    /// The stacks in the order of time; weights are nanoseconds of wall time.
    #[must_use]
    pub fn folded(&self, report: &Report) -> Folded {
        let mut folded = Folded::in_order(self.focus.clone());
        stretches(report, |path, duration| {
            let frames: Vec<String> = path.iter().map(frame).collect();
            folded.add(&frames, duration.0);
        });
        folded
    }

    /// Writes the lines of the stacks.
    ///
    /// # Errors
    /// Only those of the writer.
    pub fn write_folded(&self, report: &Report, out: &mut dyn Write) -> io::Result<()> {
        self.folded(report).write(out)
    }

    /// Draws them.
    ///
    /// # Errors
    /// Only those of the writer.
    pub fn write_svg(&self, report: &Report, out: &mut dyn Write) -> io::Result<()> {
        let exe = &report.subject.exe;
        let name = exe.file_name().unwrap_or(exe.as_os_str()).to_string_lossy();
        let title = format!("the start of {name}, in the order of time");
        let mut picture = Picture::in_order(self.focus.as_ref());
        stretches(report, |path, duration| {
            let label = |level| Cow::Owned(Arc::new(label(frame(level))));
            picture.add(path.iter().map(label).collect(), duration.0);
        });
        picture.write_svg(&title, Weight::Time, out)
    }
}

/// What a level is called.
pub(super) fn frame(level: &Level<'_>) -> String {
    match level {
        Level::Phase(name) => name.name().to_owned(),
        Level::Step(name) => (*name).to_owned(),
        Level::Init(init) => init.package(),
        Level::Function(function) => function.name.clone(),
        Level::Call(frame) => frame.function.as_ref().to_owned(),
        Level::Wait(wait) => {
            let details = [wait.syscall.as_deref(), wait.object.as_deref()].into_iter().flatten();
            let leaf: Vec<&str> = std::iter::once(wait.cause.name()).chain(details).collect();
            format!("[{}]", leaf.join(", "))
        }
    }
}
