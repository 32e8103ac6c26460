//! The garbage collector: a record for each cycle, a record for each time that the world was stopped, and sums of
//! who was made to help with marking.
//!
//! Where fields are nanoseconds of the runtime's own clock they are CLOCK_MONOTONIC's, which the boot clock is ahead
//! of by the time that the machine was suspended.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use super::{Header, account::MAX_DEPTH};

/// So many words of `runtime.work` are read, from the address that user space gives.
pub const WORK_WORDS: usize = 40;
/// So many of `runtime.gcController`, from its beginning.
pub const CONTROLLER_WORDS: usize = 40;
/// So many of `runtime.memstats`, from `numgc` on.
pub const STATS_WORDS: usize = 5;

/// A cycle is over: what the runtime has noted of it, as it is in memory. User space knows which word is what.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Cycle {
    /// When the program came by, after the world had been started again.
    pub header: Header,
    /// CLOCK_MONOTONIC at that moment.
    pub monotonic: u64,
    /// The goroutine that ended the cycle; 0 when it is not known.
    pub goid: u64,
    /// `memstats.pause_total_ns`
    pub pause_total: u64,
    /// Of `runtime.work`.
    pub work: [u64; WORK_WORDS],
    /// Of `runtime.gcController`.
    pub controller: [u64; CONTROLLER_WORDS],
    /// Of `runtime.memstats`.
    pub stats: [u64; STATS_WORDS],
}

/// The world was stopped, and is started again. Of a stop that nobody held up only what is before [`Stop::stacks`]
/// crosses the ring, and the frames of who asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Stop {
    /// When it was about to be started again, or just had been ([`Stop::total`] tells).
    pub header: Header,
    /// CLOCK_MONOTONIC at that moment.
    pub monotonic: u64,
    /// When it was asked to stop, of the runtime's clock; 0 when gotrace did not see it.
    pub started: u64,
    /// When it had stopped, of the runtime's clock; 0 when gotrace did not see it.
    pub finished: u64,
    /// How long it took from there until it was started again, in nanoseconds, as the runtime's own statistics have
    /// it; 0 when the runtime has not told it by then.
    pub total: u64,
    /// `stwReason`
    pub reason: u32,
    /// 1 when `started` and `finished` are gotrace's own readings and not the runtime's.
    pub own_clock: u32,
    /// How often who asked looked whether the world had stopped, and it had not: every 100 µs.
    pub looks: u32,
    /// How many frames of its stack there are.
    pub depth: u32,
    /// The goroutine that asked; 0 when it is not known.
    pub goid: u64,
    /// The address behind the go statement that made it; 0 when it is not known.
    pub gopc: u64,
    /// Who was the last to stop, of those that a look found running.
    pub holder: Holder,
    /// The innermost address first: the stack of who asked, and where the holder was when it had stopped.
    pub stacks: [[u64; MAX_DEPTH]; 2],
}

/// In [`Stop::stacks`], the stack of who asked.
pub const ASKER: usize = 0;
/// In [`Stop::stacks`], that of the holder.
pub const HOLDER: usize = 1;

/// Who kept the world from stopping.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Holder {
    /// The goroutine; 0 when there was none.
    pub goid: u64,
    /// The address behind the go statement that made it; 0 when it is not known.
    pub gopc: u64,
    /// Its thread, as the program's own PID namespace counts.
    pub tid: u32,
    /// How many Ps ran still at the last look.
    pub running: u32,
    /// At how many looks it ran still.
    pub looks: u32,
    /// At how many of them its thread was on a CPU, or had been for most of the time since the one before.
    pub on_cpu: u32,
    /// At how many it would have run, and had had no CPU for most of the time since the one before.
    pub runnable: u32,
    /// At how many it waited in the kernel and could not be interrupted: for a page or a disk.
    pub disk: u32,
    /// At how many it slept.
    pub sleeping: u32,
    /// How many frames of its stack there are.
    pub depth: u32,
    /// The word at its stack pointer when it had stopped: the return address of the innermost function where that one had no frame
    /// yet, as when it was stopped at its beginning (runtime/asm_amd64.s, `morestack`).
    pub top: u64,
}

/// `gcAssistTimeSlack` (runtime/mgcpacer.go): an assist's nanoseconds up to here are left for the P's next one, and longer
/// ones added to what the collector has of them.
pub const ASSIST_SLACK: u64 = 5000;

/// The map of the sums of assists, from an [`AssistKey`] to an [`AssistStats`].
pub const ASSISTS_MAP: &str = "ASSISTS";

/// What is summed up apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct AssistKey {
    /// The number of the stack of who allocated; negative, an error's number.
    pub stack: i64,
    /// The address behind the go statement that made the goroutine; 0 when it is not known.
    pub gopc: u64,
}

/// How long the goroutines of an [`AssistKey`] were made to mark.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct AssistStats {
    /// How often.
    pub count: u64,
    /// For how many nanoseconds, as the runtime adds them up in `gcController.assistTime`: what took less than 5 µs is
    /// counted with the next assist on the same P.
    pub time: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_have_the_sizes_that_the_ring_is_reckoned_with() {
        assert_eq!(size_of::<Cycle>(), 16 + 3 * 8 + (WORK_WORDS + CONTROLLER_WORDS + STATS_WORDS) * 8);
        assert_eq!(size_of::<Holder>(), 7 * 8);
        assert_eq!(size_of::<Stop>(), 80 + size_of::<Holder>() + 2 * MAX_DEPTH * 8);
        assert_eq!([size_of::<AssistKey>(), size_of::<AssistStats>()], [16, 16]);
    }
}
