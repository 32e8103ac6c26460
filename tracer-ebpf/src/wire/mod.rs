//! What crosses the ring buffer: one payload family a file, each record behind the same [`Header`].
//!
//! A record's kind is the probe that wrote it. All fields are little-endian machine words in natural
//! alignment with no padding (zerocopy checks it), and a record's size follows from its probe.

pub mod account;
pub mod blocking;
pub mod gc;
pub mod loss;
pub mod parking;
pub mod process;
pub mod profile;
pub mod startup;
pub mod syscall;
pub mod watch;

use core::fmt;

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Every probe there is, by the number that crosses the ring buffer. Hits and losses are counted per probe.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(
    not(target_arch = "bpf"),
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "snake_case")
)]
#[repr(u32)]
pub enum Probe {
    /// `sched_process_exec`: the process became the program.
    Exec = 0,
    /// `sched_process_exit`: one of the process's threads ended.
    Exit = 1,
    /// The first Go instruction: `_rt0_amd64_linux`, or Go's `main` when C code starts the program.
    GoEntry = 2,
    /// `runtime.schedinit` was entered.
    SchedInit = 3,
    /// `runtime.schedinit` returned to `runtime.rt0_go`.
    SchedInitDone = 4,
    /// `runtime.main`, on the main goroutine.
    RuntimeMain = 5,
    /// `runtime.gcenable`: the runtime's own inits are over.
    GcEnable = 6,
    /// A package's init begins: `runtime.doInit1`, or `runtime.doInit` past its dependencies (Go <= 1.20).
    Init = 7,
    /// `main.main`
    MainMain = 8,
    /// The main thread was kept off the CPU for long.
    Wait = 9,
    /// A system call returned whose object matters.
    Call = 10,
    /// `runtime.mallocinit` was entered.
    MallocInit = 11,
    /// It returned to `runtime.schedinit`.
    MallocInitDone = 12,
    /// `runtime.gcinit` was entered.
    GcInit = 13,
    /// It returned to `runtime.schedinit`.
    GcInitDone = 14,
    /// `runtime.procresize` was entered, with the number of Ps.
    ProcResize = 15,
    /// It returned to `runtime.schedinit`.
    ProcResizeDone = 16,
    /// `runtime.sysmon`, on its own thread.
    Sysmon = 17,
    /// An init function other than its package's first begins.
    InitFunction = 18,
    /// `runtime.newproc1`: a goroutine is made, by the go statement at the argument.
    GoStart = 19,
    /// `runtime.goexit1`: a goroutine that the go statement at the argument made is over.
    GoExit = 20,
    /// A slow system call returned, or a slow wait in the network poller ended.
    Slow = 21,
    /// A system call that returned was added to the sums.
    Summed = 22,
    /// A goroutine was told to try again: a wait in the network poller began.
    NetworkWait = 23,
    /// The program was met on a CPU.
    OnCpu = 24,
    /// `runtime.gopark`, or `runtime.park_m`: a goroutine is parked.
    Park = 25,
    /// `runtime.ready`: a parked goroutine is made ready to run.
    MadeReady = 26,
    /// `runtime.execute`, or `runtime.gogo`: a goroutine runs.
    Execute = 27,
    /// `runtime.freeStackSpans`: a cycle of the garbage collector is over.
    GcCycle = 28,
    /// `runtime.stopTheWorldWithSema`: the world is asked to stop.
    WorldStopping = 29,
    /// In it, where every P has stopped.
    WorldStopped = 30,
    /// `runtime.startTheWorldWithSema`: the world is about to go on.
    WorldStarting = 31,
    /// In it, where it goes on.
    WorldStarted = 32,
    /// `runtime.gcAssistAlloc1`: a goroutine that allocates was made to mark. Of a start a [`startup::Hit`] with
    /// `p.gcAssistTime`, of a running program only summed up.
    GcAssist = 33,
    /// A process that is watched came by its first site: which binary it runs, and in which control group.
    Origin = 34,
    /// A process became a program of a file that was not told lately.
    NewFile = 35,
    /// A goroutine that was parked for long runs again, after another one made it ready.
    Woken = 36,
    /// A process that was watched listens, for the first time.
    Listen = 37,
}

impl Probe {
    /// All of them, in the order of their numbers.
    pub const ALL: [Self; 38] = [
        Self::Exec,
        Self::Exit,
        Self::GoEntry,
        Self::SchedInit,
        Self::SchedInitDone,
        Self::RuntimeMain,
        Self::GcEnable,
        Self::Init,
        Self::MainMain,
        Self::Wait,
        Self::Call,
        Self::MallocInit,
        Self::MallocInitDone,
        Self::GcInit,
        Self::GcInitDone,
        Self::ProcResize,
        Self::ProcResizeDone,
        Self::Sysmon,
        Self::InitFunction,
        Self::GoStart,
        Self::GoExit,
        Self::Slow,
        Self::Summed,
        Self::NetworkWait,
        Self::OnCpu,
        Self::Park,
        Self::MadeReady,
        Self::Execute,
        Self::GcCycle,
        Self::WorldStopping,
        Self::WorldStopped,
        Self::WorldStarting,
        Self::WorldStarted,
        Self::GcAssist,
        Self::Origin,
        Self::NewFile,
        Self::Woken,
        Self::Listen,
    ];

    /// The probe of that number.
    #[must_use]
    pub fn from_number(number: u32) -> Option<Self> {
        Self::ALL.get(number as usize).copied()
    }

    /// Whether the kernel itself calls it, and no instruction of the program.
    #[must_use]
    pub const fn is_tracepoint(self) -> bool {
        matches!(
            self,
            Self::Exec
                | Self::Exit
                | Self::Wait
                | Self::Call
                | Self::Slow
                | Self::Summed
                | Self::NetworkWait
                | Self::NewFile
                | Self::Listen
        )
    }

    /// Whether a start is told without it, only in less detail.
    #[must_use]
    pub const fn is_detail(self) -> bool {
        matches!(
            self,
            Self::MallocInit
                | Self::MallocInitDone
                | Self::GcInit
                | Self::GcInitDone
                | Self::ProcResize
                | Self::ProcResizeDone
                | Self::Sysmon
                | Self::InitFunction
                | Self::GoStart
                | Self::GoExit
                | Self::GcAssist
        )
    }

    /// The name that reports use.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Exec => "exec",
            Self::Exit => "exit",
            Self::GoEntry => "go_entry",
            Self::SchedInit => "schedinit",
            Self::SchedInitDone => "schedinit_done",
            Self::RuntimeMain => "runtime_main",
            Self::GcEnable => "gcenable",
            Self::Init => "init",
            Self::MainMain => "main_main",
            Self::Wait => "wait",
            Self::Call => "call",
            Self::MallocInit => "mallocinit",
            Self::MallocInitDone => "mallocinit_done",
            Self::GcInit => "gcinit",
            Self::GcInitDone => "gcinit_done",
            Self::ProcResize => "procresize",
            Self::ProcResizeDone => "procresize_done",
            Self::Sysmon => "sysmon",
            Self::InitFunction => "init_function",
            Self::GoStart => "go_start",
            Self::GoExit => "go_exit",
            Self::Slow => "slow",
            Self::Summed => "summed",
            Self::NetworkWait => "network_wait",
            Self::OnCpu => "on_cpu",
            Self::Park => "park",
            Self::MadeReady => "made_ready",
            Self::Execute => "execute",
            Self::GcCycle => "gc_cycle",
            Self::WorldStopping => "world_stopping",
            Self::WorldStopped => "world_stopped",
            Self::WorldStarting => "world_starting",
            Self::WorldStarted => "world_started",
            Self::GcAssist => "gc_assist",
            Self::Origin => "origin",
            Self::NewFile => "new_file",
            Self::Woken => "woken",
            Self::Listen => "listen",
        }
    }
}

impl fmt::Display for Probe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// What every record starts with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Header {
    /// When, in nanoseconds on the boot clock.
    pub time: u64,
    /// Which [`Probe`], by number.
    pub probe: u32,
    /// The thread that ran into the probe, in the initial PID namespace.
    pub tid: u32,
}

#[cfg(test)]
mod tests {
    use super::Probe;

    #[test]
    fn a_probe_is_found_by_its_own_number() {
        for probe in Probe::ALL {
            assert_eq!(Probe::from_number(probe as u32), Some(probe));
        }
        assert_eq!(Probe::from_number(Probe::ALL.len() as u32), None);
    }
}
