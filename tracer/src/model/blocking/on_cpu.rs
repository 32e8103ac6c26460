//! Where the program was met on a CPU.

use std::collections::HashMap;
use std::sync::Arc;

use super::super::waits::syscall_name;
use super::site::Site;
use super::stacks::Stacks;
use crate::event::blocking::Caller;
use crate::event::profile::Samples;
use crate::stream::Tables;
use crate::target::gobin::Frame;

/// Samples that were alike.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OnCpu {
    /// How many.
    pub count: u64,
    /// Who ran.
    pub caller: Caller,
    /// The system call that it was in, in the kernel.
    pub syscall: Option<String>,
    /// Where, innermost first; empty when the stack was not taken.
    pub stack: Arc<[Arc<Frame>]>,
    /// The go statement that made the goroutine.
    pub origin: Option<Frame>,
    /// The line of code that it is put down to.
    pub site: Site,
}

/// The samples that came since `before`, or since gotrace came, the most first.
pub(super) fn on_cpu(
    now: &Tables,
    before: Option<&Tables>,
    stacks: &mut Stacks<'_>,
    module: Option<&str>,
) -> Vec<OnCpu> {
    let place = |samples: &Samples| (samples.stack, samples.caller, samples.gopc, samples.syscall);
    let earlier: HashMap<_, u64> = before
        .iter()
        .flat_map(|tables| &tables.samples)
        .map(|samples| (place(samples), samples.count))
        .collect();
    let mut all = Vec::new();
    for samples in &now.samples {
        let count = samples.count.saturating_sub(earlier.get(&place(samples)).copied().unwrap_or(0));
        if count == 0 {
            continue;
        }
        let resolved = stacks.resolve(samples.stack, samples.gopc);
        all.push(OnCpu {
            count,
            caller: samples.caller,
            syscall: samples.syscall.map(syscall_name),
            site: Site::of(&resolved.frames, resolved.origin.as_ref(), module),
            stack: resolved.frames,
            origin: resolved.origin,
        });
    }
    all.sort_by(|a, b| b.count.cmp(&a.count).then_with(|| a.site.cmp(&b.site)));
    all
}
