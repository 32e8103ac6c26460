//! Where the scheduler counts how long the world was stopped: offsets by Go version, which a program's own code must
//! confirm (runtime/runtime2.go, runtime/histogram.go, runtime/proc.go).

use serde::{Deserialize, Serialize};

use super::collector::CollectorRefusal;
use super::effects::{Effect, Value, effects};
use super::{GoBinary, GoVersion, Machine, offsets};
use crate::units::VirtAddr;

/// Offsets in bytes, of histograms in `runtime.sched` and of what is in each of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PausesLayout {
    /// `sched.stwStoppingTimeGC`: how long the collector's stops took until every P had stopped.
    pub stopping_gc: u32,
    /// `sched.stwStoppingTimeOther`: the same of the other stops.
    pub stopping_other: u32,
    /// `sched.stwTotalTimeGC`: how long they took until the world was started again.
    pub total_gc: u32,
    /// `sched.stwTotalTimeOther`
    pub total_other: u32,
    /// `timeHistogram.underflow`, which is behind the counts.
    pub underflow: u32,
    /// `timeHistogram.overflow`, which is the last.
    pub overflow: u32,
}

impl PausesLayout {
    /// How many counts a histogram begins with: `timeHistNumBuckets * timeHistNumSubBuckets`, the same in Go 1.22 to
    /// 1.27.
    pub const COUNTS: u32 = 160;

    /// What the table has of a Go version; none when it was not measured, when experiments may have changed it, and before
    /// Go 1.22, which has no such histograms. [`GoBinary::pauses`] shows for each program whether its own code agrees.
    #[must_use]
    pub fn of(version: &GoVersion) -> Option<Self> {
        offsets::of(version)?.pauses
    }

    /// How large a histogram is, in bytes.
    #[must_use]
    pub fn size(&self) -> u32 {
        self.overflow.saturating_add(8)
    }
}

impl GoBinary {
    /// Where the scheduler counts how long the world was stopped: the layout, and `runtime.sched`.
    ///
    /// # Errors
    /// When the layout of the version is not known, the code does not tell where `runtime.sched` is, or does not
    /// confirm each histogram.
    pub fn pauses(&self) -> Result<(PausesLayout, VirtAddr), CollectorRefusal> {
        let layout = self
            .layouts()
            .and_then(|layouts| layouts.pauses)
            .ok_or_else(|| CollectorRefusal::Layout(self.version().to_string()))?;
        Ok((layout, self.pauses_place(&layout)?))
    }

    /// The same with a layout that is given: what the code does not confirm is refused.
    ///
    /// # Errors
    /// As [`GoBinary::pauses`].
    pub fn pauses_place(&self, layout: &PausesLayout) -> Result<VirtAddr, CollectorRefusal> {
        if self.machine() != Machine::X86_64 {
            return Err(CollectorRefusal::Machine(self.machine()));
        }
        let sched = self.sched(&self.scheduler_layout()?);
        let sched = sched.ok_or(CollectorRefusal::Global("runtime.sched"))?;
        let (stopping, total) =
            ([layout.stopping_gc, layout.stopping_other], [layout.total_gc, layout.total_other]);
        for (function, field, offsets) in [
            ("runtime.stopTheWorldWithSema", "sched.stwStoppingTime", stopping),
            ("runtime.startTheWorldWithSema", "sched.stwTotalTime", total),
        ] {
            // That the first of the two is the collector's is shown by what is in it (target/counters/pauses.rs).
            let expected = offsets.map(|offset| sched.0.wrapping_add(offset.into()));
            if expected[0] >= expected[1] || self.recorded(function) != expected {
                return Err(CollectorRefusal::Unproven { function, field });
            }
        }
        // They follow each other, so the code shows how large one is.
        let apart = layout.stopping_other.checked_sub(layout.stopping_gc);
        let is_shown = layout.underflow == 8 * PausesLayout::COUNTS
            && layout.overflow == layout.underflow + 8
            && apart == Some(layout.size());
        let (function, field) = ("runtime.stopTheWorldWithSema", "timeHistogram.underflow");
        if is_shown { Ok(sched) } else { Err(CollectorRefusal::Unproven { function, field }) }
    }

    /// The histograms that a function records in, by their addresses.
    fn recorded(&self, function: &str) -> Vec<u64> {
        let named = |name| self.functions().named(name);
        let (Some(function), Some(record)) = (named(function), named(RECORD)) else { return Vec::new() };
        // A function that cannot be decoded does nothing that could prove anything.
        let done = effects(self, &function, None).unwrap_or_default();
        let receivers = done.into_iter().filter_map(|effect| match effect {
            Effect::Call { callee, arguments: [Value::Address(histogram), ..], .. } => {
                (callee == record.entry.0).then_some(histogram)
            }
            _ => None,
        });
        let mut histograms: Vec<u64> = receivers.collect();
        histograms.sort_unstable();
        histograms
    }
}

const RECORD: &str = "runtime.(*timeHistogram).record";

#[cfg(test)]
mod tests {
    use super::super::VersionSource;
    use super::*;

    #[test]
    fn only_what_was_measured_has_a_layout() {
        let of = |text: &str| {
            PausesLayout::of(&GoVersion::parse(text, VersionSource::BuildInfo).expect("a version"))
        };
        for known in ["go1.22.0", "go1.23.1", "go1.24.11", "go1.25.5", "go1.26.6", "go1.27"] {
            assert!(of(known).is_some(), "{known}");
        }
        for unknown in ["go1.19.8", "go1.20.14", "go1.21.13", "go1.28.0", "go1.26.6-X:greenteagc"] {
            assert_eq!(of(unknown), None, "{unknown}");
        }
    }
}
