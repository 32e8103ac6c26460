//! How large the heap may become: `gcControllerState.heapGoal` (runtime/mgcpacer.go, `heapGoalInternal` and
//! `memoryLimitHeapGoal`), which Go computes whenever it needs it; the same in Go 1.21 to 1.27.

/// What it is made of, in bytes, by the names in `gcControllerState`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Heap {
    /// `gcPercentHeapGoal`
    pub(super) percent_goal: u64,
    /// `sweepDistMinTrigger`
    pub(super) sweep_trigger: u64,
    /// `triggered`: all ones between cycles.
    pub(super) triggered: u64,
    /// `heapMarked`
    pub(super) marked: u64,
    /// `memoryLimit`
    pub(super) memory_limit: u64,
    /// `heapFree`
    pub(super) free: u64,
    /// `totalAlloc`
    pub(super) total_alloc: u64,
    /// `totalFree`
    pub(super) total_free: u64,
    /// `mappedReady`
    pub(super) mapped_ready: u64,
}

/// `minRunway`
const RUNWAY: u64 = 64 << 10;
/// `memoryLimitMinHeapGoalHeadroom`
const LEAST_HEADROOM: u64 = 1 << 20;
/// `memoryLimitHeapGoalHeadroomPercent`
const HEADROOM_PERCENT: u64 = 3;

/// The goal; none when the figures do not fit each other, as when they change while they are read.
pub(super) fn of(heap: &Heap) -> Option<u64> {
    let limited = of_limit(heap)?;
    if limited < heap.percent_goal {
        return Some(limited);
    }
    let goal = heap.percent_goal.max(heap.sweep_trigger);
    let in_cycle = heap.triggered != u64::MAX;
    Some(if in_cycle { goal.max(heap.triggered.saturating_add(RUNWAY)) } else { goal })
}

fn of_limit(heap: &Heap) -> Option<u64> {
    let allocated = heap.total_alloc.checked_sub(heap.total_free)?;
    let other = heap.mapped_ready.checked_sub(heap.free.checked_add(allocated)?)?;
    let overage = heap.mapped_ready.saturating_sub(heap.memory_limit);
    let Some(goal) = heap.memory_limit.checked_sub(other.saturating_add(overage)).filter(|goal| *goal > 0)
    else {
        return Some(heap.marked);
    };
    let headroom = (goal / 100 * HEADROOM_PERCENT).max(LEAST_HEADROOM);
    Some(goal.saturating_sub(headroom).max(headroom).max(heap.marked))
}
