//! Where goroutines are blocked, and where the program runs, as stacks with weights.

use std::borrow::Cow;
use std::io::{self, Write};
use std::sync::Arc;

use regex::Regex;

use super::flamegraph::{Picture, Weight};
use super::folded::Folded;
use crate::event::blocking::Kind;
use crate::model::blocking::{BlockingReport, Entry, Site};
use crate::model::parking::ParkingReport;
use crate::target::gobin::Frame;

/// Takes a stack, the outermost frame first, and its weight.
type Add<'a, 'r> = &'a mut dyn FnMut(Vec<Cow<'r, Arc<Frame>>>, u64);

/// A flame graph of a running program.
#[derive(Clone, Debug, Default)]
pub struct BlockingFlame {
    /// Of what.
    pub of: FlameOf,
    /// Only stacks with a frame that matches.
    pub focus: Option<Regex>,
    /// What is at the bottom.
    pub by: FlameBy,
}

/// Of what a flame graph is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FlameOf {
    /// The time that goroutines were blocked; idle ones are left out.
    #[default]
    Blocked,
    /// The samples of where the program was on a CPU.
    OnCpu,
    /// The time that goroutines were parked, as far as that was followed; idle ones are left out.
    Parked,
    /// The CPU time of goroutines that were made to help the garbage collector.
    Assists,
}

impl FlameOf {
    /// What it shows, in words, and what its weights are.
    pub(super) fn title(self) -> (&'static str, Weight) {
        match self {
            Self::Blocked => ("where goroutines were blocked", Weight::Time),
            Self::OnCpu => ("where it was on a CPU", Weight::Samples),
            Self::Parked => ("where goroutines were parked", Weight::Time),
            Self::Assists => ("where goroutines helped the garbage collector", Weight::Time),
        }
    }
}

/// What is at the bottom of a flame graph.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FlameBy {
    /// The outermost frame.
    #[default]
    Stack,
    /// The go statement that made the goroutine.
    Goroutine,
    /// The line of code that the time is put down to.
    Site,
    /// What was waited for.
    Object,
}

impl BlockingFlame {
    /// The stacks.
    #[must_use]
    pub fn folded(&self, report: &BlockingReport) -> Folded {
        let mut folded = Folded::merged(self.focus.clone());
        self.stacks(report, &mut |frames, weight| {
            let names: Vec<&str> = frames.iter().map(|frame| &*frame.function).collect();
            folded.add(&names, weight);
        });
        folded
    }

    /// Every stack, the outermost frame first, and its weight; none is left out, and equal ones come apart.
    pub(super) fn stacks<'a>(&self, report: &'a BlockingReport, add: Add<'_, 'a>) {
        match self.of {
            FlameOf::Blocked => report.suffered().for_each(|entry| self.add(entry, add)),
            FlameOf::OnCpu => {
                for on_cpu in &report.on_cpu {
                    let leaf = on_cpu.syscall.as_ref().map(|syscall| format!("[{syscall}]"));
                    let root = self.root(on_cpu.origin.as_ref(), &on_cpu.site, None);
                    add(path(root, &on_cpu.stack, leaf), on_cpu.count);
                }
            }
            FlameOf::Parked => {
                for parking in report.parking.iter().flat_map(ParkingReport::suffered) {
                    let root = self.root(parking.origin.as_ref(), &parking.site, Some(&parking.reason));
                    let leaf = Some(format!("[{}]", parking.reason));
                    add(path(root, &parking.stack, leaf), parking.sums.total.0);
                }
            }
            FlameOf::Assists => {
                for assist in report.gc.iter().flat_map(|gc| &gc.assists) {
                    let root = self.root(assist.origin.as_ref(), &assist.site, None);
                    add(path(root, &assist.stack, None), assist.cpu.0);
                }
            }
        }
    }

    /// Writes the lines of the stacks.
    ///
    /// # Errors
    /// Only those of the writer.
    pub fn write_folded(&self, report: &BlockingReport, out: &mut dyn Write) -> io::Result<()> {
        self.folded(report).write(out)
    }

    /// Draws them.
    ///
    /// # Errors
    /// Only those of the writer.
    pub fn write_svg(&self, report: &BlockingReport, out: &mut dyn Write) -> io::Result<()> {
        let exe = &report.subject.exe;
        let name = exe.file_name().unwrap_or(exe.as_os_str()).to_string_lossy();
        let (pid, span) = (report.subject.pid, report.span().for_people());
        let (what, weight) = self.of.title();
        let mut picture = Picture::merged(self.focus.as_ref());
        self.stacks(report, &mut |frames, weight| picture.add(frames, weight));
        picture.write_svg(&format!("{name} ({pid}), {span}: {what}"), weight, out)
    }

    /// An entry's time, split by what the slow ones of it were on.
    fn add<'a>(&self, entry: &'a Entry, add: Add<'_, 'a>) {
        let mut rest = entry.sums.total.0;
        for (name, sums) in &entry.objects {
            let weight = sums.total.0.min(rest);
            rest -= weight;
            add(self.path(entry, Some(name)), weight);
        }
        add(self.path(entry, None), rest);
    }

    /// What is at the bottom; nothing where there is no object at all.
    fn root(&self, origin: Option<&Frame>, site: &Site, object: Option<&str>) -> Option<String> {
        match self.by {
            FlameBy::Stack => None,
            FlameBy::Goroutine => Some(made_at(origin)),
            FlameBy::Site => Some(at(site)),
            FlameBy::Object => object.map(str::to_owned),
        }
    }

    fn path<'a>(&self, entry: &'a Entry, object: Option<&str>) -> Vec<Cow<'a, Arc<Frame>>> {
        let what = object.map(str::to_owned).or_else(|| entry.object_type().map(str::to_owned));
        let object = what.as_deref().unwrap_or("(no object)");
        let root = self.root(entry.origin.as_ref(), &entry.site, Some(object));
        let call = match entry.key.kind {
            Kind::Call => format!("syscall {}", entry.syscall()),
            Kind::NetworkWait | Kind::NoRetry => format!("wait {}", entry.syscall()),
        };
        let leaf = what.map_or_else(|| format!("[{call}]"), |what| format!("[{call}, {what}]"));
        path(root, &entry.stack, Some(leaf))
    }
}

fn at(site: &Site) -> String {
    match site {
        Site::Unknown => "(unknown)".to_owned(),
        Site::MadeAt(site) => made_at(Some(&site.frame())),
        Site::Own(site) | Site::Library(site) => site.frame().to_string(),
    }
}

fn made_at(origin: Option<&Frame>) -> String {
    origin.map_or_else(
        || "goroutines of unknown origin".to_owned(),
        |origin| format!("goroutines made at {origin}"),
    )
}

/// From the bottom to the top.
fn path(root: Option<String>, stack: &[Arc<Frame>], leaf: Option<String>) -> Vec<Cow<'_, Arc<Frame>>> {
    let label = |text| Cow::Owned(Arc::new(label(text)));
    let unknown = stack.is_empty().then(|| label("(no stack)".to_owned()));
    let frames = stack.iter().rev().map(Cow::Borrowed);
    root.map(label).into_iter().chain(unknown).chain(frames).chain(leaf.map(label)).collect()
}

/// What stands among frames and is no function.
pub(super) fn label(text: String) -> Frame {
    Frame { function: text.into(), file: None, line: 0, inlined: false, begins: 0, address: None }
}
