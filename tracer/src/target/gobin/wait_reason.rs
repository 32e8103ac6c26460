//! Why a goroutine is parked: `g.waitreason`, which Go renumbers from version to version
//! (runtime/runtime2.go, `waitReasonStrings`).

use super::GoVersion;

/// The runtime's own words for a wait reason, as a goroutine dump shows them; none when the version or the
/// number is not known.
#[must_use]
pub fn wait_reason(version: &GoVersion, number: u8) -> Option<&'static str> {
    let names: &[&str] = match version.minor() {
        19 => &GO_119,
        21..=23 => &GO_121,
        24 => &GO_124,
        25 => &GO_125,
        26 | 27 => &GO_126,
        _ => return None,
    };
    names.get(usize::from(number)).copied()
}

/// What goroutines wait for, whatever the version calls it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ReasonKind {
    /// The network poller: a socket, a pipe or another descriptor that can be polled.
    Poller,
    /// A time.
    Sleep,
    /// Another goroutine, through a channel.
    Channel,
    /// Any of several channels.
    Select,
    /// A `sync.Mutex` or `sync.RWMutex`.
    Lock,
    /// A `sync.Cond`.
    Cond,
    /// A `sync.WaitGroup`, where the version tells.
    WaitGroup,
    /// A semaphore of the runtime: up to Go 1.20 every lock, up to Go 1.23 also `sync.WaitGroup`, and always the
    /// lock of a descriptor. The stack tells which.
    Semaphore,
    /// The garbage collector, on behalf of the program: assists, sweeps, `runtime.GC`, stops of the world.
    Gc,
    /// Work: the runtime's own goroutines, until there is some.
    Idle,
    /// Something that never comes: a nil channel, `select {}`.
    Forever,
    /// Anything else.
    Other,
}

impl ReasonKind {
    /// In one word.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Poller => "poller",
            Self::Sleep => "sleep",
            Self::Channel => "channel",
            Self::Select => "select",
            Self::Lock => "lock",
            Self::Cond => "cond",
            Self::WaitGroup => "waitgroup",
            Self::Semaphore => "semaphore",
            Self::Gc => "gc",
            Self::Idle => "idle",
            Self::Forever => "forever",
            Self::Other => "other",
        }
    }

    /// The kind of one of the runtime's own wordings.
    #[must_use]
    pub fn of(reason: &str) -> Self {
        match reason.strip_suffix(" (durable)").or(reason.strip_suffix(" (synctest)")).unwrap_or(reason) {
            "IO wait" => Self::Poller,
            "sleep" => Self::Sleep,
            "chan receive" | "chan send" => Self::Channel,
            "select" => Self::Select,
            "sync.Mutex.Lock" | "sync.RWMutex.RLock" | "sync.RWMutex.Lock" => Self::Lock,
            "sync.Cond.Wait" => Self::Cond,
            "sync.WaitGroup.Wait" => Self::WaitGroup,
            "semacquire" => Self::Semaphore,
            "GC assist marking"
            | "GC assist wait"
            | "garbage collection"
            | "garbage collection scan"
            | "GC mark termination"
            | "GC weak to strong wait"
            | "wait for GC cycle"
            | "stopping the world" => Self::Gc,
            "GC sweep wait"
            | "GC scavenge wait"
            | "GC worker (idle)"
            | "GC worker (active)"
            | "GOMAXPROCS updater (idle)"
            | "finalizer wait"
            | "cleanup wait"
            | "force gc (idle)"
            | "timer goroutine (idle)"
            | "trace reader (blocked)" => Self::Idle,
            "chan receive (nil chan)" | "chan send (nil chan)" | "select (no cases)" => Self::Forever,
            _ => Self::Other,
        }
    }
}

/// Go 1.19.
const GO_119: [&str; 27] = [
    "",
    "GC assist marking",
    "IO wait",
    "chan receive (nil chan)",
    "chan send (nil chan)",
    "dumping heap",
    "garbage collection",
    "garbage collection scan",
    "panicwait",
    "select",
    "select (no cases)",
    "GC assist wait",
    "GC sweep wait",
    "GC scavenge wait",
    "chan receive",
    "chan send",
    "finalizer wait",
    "force gc (idle)",
    "semacquire",
    "sleep",
    "sync.Cond.Wait",
    "timer goroutine (idle)",
    "trace reader (blocked)",
    "wait for GC cycle",
    "GC worker (idle)",
    "preempted",
    "debug call",
];

/// Go 1.21 has the first 32, Go 1.22 the first 37.
const GO_121: [&str; 38] = [
    "",
    "GC assist marking",
    "IO wait",
    "chan receive (nil chan)",
    "chan send (nil chan)",
    "dumping heap",
    "garbage collection",
    "garbage collection scan",
    "panicwait",
    "select",
    "select (no cases)",
    "GC assist wait",
    "GC sweep wait",
    "GC scavenge wait",
    "chan receive",
    "chan send",
    "finalizer wait",
    "force gc (idle)",
    "semacquire",
    "sleep",
    "sync.Cond.Wait",
    "sync.Mutex.Lock",
    "sync.RWMutex.RLock",
    "sync.RWMutex.Lock",
    "trace reader (blocked)",
    "wait for GC cycle",
    "GC worker (idle)",
    "GC worker (active)",
    "preempted",
    "debug call",
    "GC mark termination",
    "stopping the world",
    "flushing proc caches",
    "trace goroutine status",
    "trace proc status",
    "page trace flush",
    "coroutine",
    "GC weak to strong wait",
];

/// Go 1.24.
const GO_124: [&str; 44] = [
    "",
    "GC assist marking",
    "IO wait",
    "chan receive (nil chan)",
    "chan send (nil chan)",
    "dumping heap",
    "garbage collection",
    "garbage collection scan",
    "panicwait",
    "select",
    "select (no cases)",
    "GC assist wait",
    "GC sweep wait",
    "GC scavenge wait",
    "chan receive",
    "chan send",
    "finalizer wait",
    "force gc (idle)",
    "semacquire",
    "sleep",
    "sync.Cond.Wait",
    "sync.Mutex.Lock",
    "sync.RWMutex.RLock",
    "sync.RWMutex.Lock",
    "sync.WaitGroup.Wait",
    "trace reader (blocked)",
    "wait for GC cycle",
    "GC worker (idle)",
    "GC worker (active)",
    "preempted",
    "debug call",
    "GC mark termination",
    "stopping the world",
    "flushing proc caches",
    "trace goroutine status",
    "trace proc status",
    "page trace flush",
    "coroutine",
    "GC weak to strong wait",
    "synctest.Run",
    "synctest.Wait",
    "chan receive (synctest)",
    "chan send (synctest)",
    "select (synctest)",
];

/// Go 1.25.
const GO_125: [&str; 47] = [
    "",
    "GC assist marking",
    "IO wait",
    "chan receive (nil chan)",
    "chan send (nil chan)",
    "dumping heap",
    "garbage collection",
    "garbage collection scan",
    "panicwait",
    "select",
    "select (no cases)",
    "GC assist wait",
    "GC sweep wait",
    "GC scavenge wait",
    "chan receive",
    "chan send",
    "finalizer wait",
    "force gc (idle)",
    "GOMAXPROCS updater (idle)",
    "semacquire",
    "sleep",
    "sync.Cond.Wait",
    "sync.Mutex.Lock",
    "sync.RWMutex.RLock",
    "sync.RWMutex.Lock",
    "sync.WaitGroup.Wait",
    "trace reader (blocked)",
    "wait for GC cycle",
    "GC worker (idle)",
    "GC worker (active)",
    "preempted",
    "debug call",
    "GC mark termination",
    "stopping the world",
    "flushing proc caches",
    "trace goroutine status",
    "trace proc status",
    "page trace flush",
    "coroutine",
    "GC weak to strong wait",
    "synctest.Run",
    "synctest.Wait",
    "chan receive (durable)",
    "chan send (durable)",
    "select (durable)",
    "sync.WaitGroup.Wait (durable)",
    "cleanup wait",
];

/// Go 1.26 and 1.27, which put those that matter to deadlock detection last.
const GO_126: [&str; 47] = [
    "",
    "GC assist marking",
    "IO wait",
    "dumping heap",
    "garbage collection",
    "garbage collection scan",
    "panicwait",
    "GC assist wait",
    "GC sweep wait",
    "GC scavenge wait",
    "finalizer wait",
    "force gc (idle)",
    "GOMAXPROCS updater (idle)",
    "semacquire",
    "sleep",
    "chan receive (nil chan)",
    "chan send (nil chan)",
    "select (no cases)",
    "select",
    "chan receive",
    "chan send",
    "sync.Cond.Wait",
    "sync.Mutex.Lock",
    "sync.RWMutex.RLock",
    "sync.RWMutex.Lock",
    "sync.WaitGroup.Wait",
    "trace reader (blocked)",
    "wait for GC cycle",
    "GC worker (idle)",
    "GC worker (active)",
    "preempted",
    "debug call",
    "GC mark termination",
    "stopping the world",
    "flushing proc caches",
    "trace goroutine status",
    "trace proc status",
    "page trace flush",
    "coroutine",
    "GC weak to strong wait",
    "synctest.Run",
    "synctest.Wait",
    "chan receive (durable)",
    "chan send (durable)",
    "select (durable)",
    "sync.WaitGroup.Wait (durable)",
    "cleanup wait",
];

#[cfg(test)]
mod tests {
    use super::super::VersionSource;
    use super::*;

    fn of(version: &str, number: u8) -> Option<&'static str> {
        wait_reason(&GoVersion::parse(version, VersionSource::BuildInfo).unwrap(), number)
    }

    #[test]
    fn every_wait_that_a_program_causes_has_a_kind() {
        let other = ["", "dumping heap", "panicwait", "preempted", "debug call", "coroutine"];
        let other = |name: &str| {
            other.contains(&name)
                || ["flushing", "trace ", "page trace", "synctest."]
                    .iter()
                    .any(|start| name.starts_with(start))
        };
        for name in [&GO_119[..], &GO_121, &GO_124, &GO_125, &GO_126].concat() {
            let kind = ReasonKind::of(name);
            assert_eq!(kind == ReasonKind::Other, other(name) && name != "trace reader (blocked)", "{name}");
        }
        assert_eq!(ReasonKind::of("select (durable)"), ReasonKind::Select);
    }

    #[test]
    fn the_same_number_means_different_things() {
        assert_eq!(of("go1.23.9", 19), Some("sleep"));
        assert_eq!(of("go1.25.5", 20), Some("sleep"));
        assert_eq!(of("go1.26.6", 14), Some("sleep"));
        assert_eq!(of("go1.26.6", 200), None);
        assert_eq!(of("go1.28", 14), None);
    }
}
