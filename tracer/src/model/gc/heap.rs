//! The heap over time, as far as cycles tell of it.

use super::cycle::GcCycle;
use crate::units::Nanos;

/// A figure of the first cycle, of the last one, and the greatest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Course {
    /// The first cycle's.
    pub first: u64,
    /// The last one's.
    pub last: u64,
    /// The greatest.
    pub most: u64,
}

/// The heap in a span, in bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeapCourse {
    /// What was marked: the live part.
    pub live: Course,
    /// The heap at the cycles' ends, live or not.
    pub end: Course,
    /// The goal; `u64::MAX` when nothing bounds it.
    pub goal: Course,
    /// The process's resident memory.
    pub rss: Option<Course>,
    /// GOGC at the last cycle; -1 when it is off.
    pub gc_percent: i32,
    /// Whether it was another one before.
    pub gc_percent_changed: bool,
    /// GOMEMLIMIT at the last cycle; [`super::NO_LIMIT`] when there is none.
    pub memory_limit: u64,
    /// Whether it was another one before.
    pub memory_limit_changed: bool,
    /// How fast the program allocated.
    pub allocation: AllocationRate,
}

/// Bytes allocated a second, by the runtime's own count; each none when no such time is known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AllocationRate {
    /// From the end of the first cycle to the end of the last.
    pub overall: Option<u64>,
    /// While the collector marked, by the growth of the heap.
    pub marking: Option<u64>,
    /// Between the cycles.
    pub between: Option<u64>,
}

impl AllocationRate {
    fn of(cycles: &[GcCycle]) -> Self {
        let [mut marking, mut between] = [(0, Nanos(0)); 2];
        let add = |(bytes, time): &mut (u64, Nanos), more, longer| {
            *bytes = bytes.saturating_add(more);
            *time = time.plus(longer);
        };
        for pair in cycles.windows(2) {
            let [before, cycle] = pair else { continue };
            if before.number.checked_add(1) != Some(cycle.number) {
                continue;
            }
            let allocated = cycle.allocated.saturating_sub(before.allocated);
            let meanwhile = cycle.heap_end.saturating_sub(cycle.heap_start).min(allocated);
            add(&mut marking, meanwhile, cycle.mark);
            let time = cycle.noted.since(before.noted).since(cycle.duration());
            add(&mut between, allocated - meanwhile, time);
        }
        let overall = cycles.first().zip(cycles.last()).and_then(|(first, last)| {
            a_second(last.allocated.saturating_sub(first.allocated), last.noted.since(first.noted))
        });
        Self { overall, marking: a_second(marking.0, marking.1), between: a_second(between.0, between.1) }
    }
}

impl HeapCourse {
    /// Of these cycles, in order; none when there are none.
    pub(super) fn of(cycles: &[GcCycle]) -> Option<Self> {
        let (first, last) = (cycles.first()?, cycles.last()?);
        let course = |of: fn(&GcCycle) -> u64| Course {
            first: of(first),
            last: of(last),
            most: cycles.iter().map(of).max().unwrap_or(0),
        };
        let mut rss = cycles.iter().filter_map(|cycle| cycle.surroundings.rss).peekable();
        let rss = rss.peek().copied().map(|first| {
            rss.fold(Course { first, last: first, most: first }, |course, rss| Course {
                last: rss,
                most: course.most.max(rss),
                ..course
            })
        });
        Some(Self {
            live: course(|cycle| cycle.heap_marked),
            end: course(|cycle| cycle.heap_end),
            goal: course(|cycle| cycle.heap_goal),
            rss,
            gc_percent: last.gc_percent,
            gc_percent_changed: cycles.iter().any(|cycle| cycle.gc_percent != last.gc_percent),
            memory_limit: last.memory_limit,
            memory_limit_changed: cycles.iter().any(|cycle| cycle.memory_limit != last.memory_limit),
            allocation: AllocationRate::of(cycles),
        })
    }
}

/// Bytes for people.
#[must_use]
#[expect(clippy::cast_precision_loss, reason = "shown with one digit after the point")]
pub fn megabytes(bytes: u64) -> String {
    format!("{:.1} MB", bytes as f64 / 1e6)
}

/// So many in a second; none when no time has passed.
fn a_second(count: u64, time: Nanos) -> Option<u64> {
    let rate = (u128::from(count) * 1_000_000_000).checked_div(time.0.into())?;
    u64::try_from(rate).ok()
}
