//! What stands out in a start: a few sentences, each with its evidence and what to do about it.
//!
//! A healthy start has none. Each rule's threshold is a constant here, and README lists them.

use super::init::Init;
use super::libraries::Library;
use super::parts::{Cause, Parts};
use super::phases::PhaseName;
use super::startup::StartupTimeline;
use super::waits::Wait;
use crate::target::gobin::Frame;
use crate::units::Nanos;

/// From this much on, a cost stands out by itself.
const LARGE: Nanos = Nanos(10_000_000);
/// From this much on, it does if it is [`SHARE`] of the start as well.
const NOTABLE: Nanos = Nanos(1_000_000);
/// One part in this many.
const SHARE: u64 = 20;
/// Computing is what inits are for, so only a larger part of the start stands out.
const SHARE_ON_CPU: u64 = 5;

/// So many goroutines that an init leaves running stand out.
const MANY_GOROUTINES: u64 = 50;

/// So many bytes that an init allocates stand out.
const MUCH_MEMORY: u64 = 16 << 20;

/// A sentence about the start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The rule.
    pub id: &'static str,
    /// The package whose init it is about, if it is about one.
    pub package: Option<String>,
    /// The place in its code.
    pub place: Option<Frame>,
    /// How much time it is about.
    pub duration: Nanos,
    /// What was found.
    pub text: String,
    /// What to do.
    pub advice: &'static str,
}

/// What stands out, the costliest first.
#[must_use]
pub fn findings(timeline: &StartupTimeline) -> Vec<Finding> {
    let before_main = timeline.phases.iter().filter(|phase| phase.name != PhaseName::Main);
    let whole: Nanos = before_main.map(|phase| phase.duration).sum();
    let mut findings = Vec::new();
    for (index, init) in timeline.inits.iter().enumerate() {
        let Some(parts) = &init.parts else { continue };
        let waits: Vec<&Wait> = timeline.waits.iter().filter(|wait| wait.init == Some(index)).collect();
        let libraries: Vec<&Library> =
            timeline.libraries.iter().filter(|library| library.init == Some(index)).collect();
        findings.extend(dlopen(init, &libraries, whole));
        findings.extend(blocked(init, parts, &waits, whole));
        findings.extend(on_cpu(init, parts, whole));
        findings.extend(assists(init, parts, whole));
        findings.extend(left_behind(init));
        findings.extend(allocates(init));
    }
    findings.extend(cold(timeline, whole));
    findings.extend(starved(timeline, whole));
    findings.sort_by_key(|finding| std::cmp::Reverse(finding.duration));
    findings
}

fn stands_out(time: Nanos, whole: Nanos, share: u64) -> bool {
    time >= LARGE || (time >= NOTABLE && time.0 >= whole.0 / share)
}

/// One finding for each cause that kept the init waiting.
fn blocked(init: &Init, parts: &Parts, waits: &[&Wait], whole: Nanos) -> Vec<Finding> {
    let mut findings = Vec::new();
    for cause in Cause::ALL {
        let time = parts.blocked_by(cause);
        // Pages are the concern of the start as a whole.
        if cause == Cause::PageFault || !stands_out(time, whole, SHARE) {
            continue;
        }
        let of_cause: Vec<&Wait> = waits.iter().copied().filter(|wait| wait.cause == cause).collect();
        let longest = of_cause.iter().copied().max_by_key(|wait| wait.duration);
        let (id, verb, advice) = words(cause, longest);
        let place = longest.and_then(|wait| place(init, wait));
        let how = longest.map_or_else(String::new, |wait| how(wait, of_cause.len()));
        let text = format!("init of {} {verb} for {}{how}", init.package(), time.for_people());
        findings.push(Finding { id, package: Some(init.package()), place, duration: time, text, advice });
    }
    findings
}

fn words(cause: Cause, longest: Option<&Wait>) -> (&'static str, &'static str, &'static str) {
    let collector = longest.and_then(|wait| wait.reason) == Some("wait for GC cycle");
    let child =
        longest.and_then(|wait| wait.syscall.as_deref()).is_some_and(|syscall| syscall.starts_with("wait"));
    match cause {
        Cause::Sleep => ("sleep_in_init", "sleeps", "wait for what it is waiting for, after main has begun"),
        Cause::Dns => (
            "dns_in_init",
            "waits for a name to be resolved",
            "resolve it when it is first needed, with a deadline",
        ),
        Cause::Network => {
            ("network_in_init", "waits for the network", "connect when it is first needed, with a deadline")
        }
        Cause::File => ("file_in_init", "waits for files", "read it when it is first needed, or embed it"),
        Cause::Goroutine => {
            ("goroutine_in_init", "waits for another goroutine", "let main wait for it, or do without")
        }
        Cause::Gc if collector => {
            ("gc_in_init", "waits for a collection that it asked for", "do not call runtime.GC in an init")
        }
        Cause::Gc => (
            "gc_in_init",
            "waits for the garbage collector",
            "allocate less in the init, or raise GOGC for the start",
        ),
        Cause::Futex => ("lock_in_init", "waits for a lock", "see who holds it: the runtime, or C code"),
        Cause::Other if child => {
            ("child_in_init", "waits for a child process", "run it when its result is first needed")
        }
        Cause::PageFault | Cause::Other => ("blocked_in_init", "is blocked", "do it after main has begun"),
    }
}

fn how(wait: &Wait, count: usize) -> String {
    let mut parts = Vec::new();
    if let Some(reason) = wait.reason {
        parts.push(format!("goroutine parked: {reason}"));
    }
    if let Some(syscall) = wait.syscall.as_ref().filter(|name| wait.reason.is_none() || *name != "futex") {
        parts.push(format!("in {syscall}"));
    }
    if let Some(object) = &wait.object {
        parts.push(object.clone());
    }
    if count > 1 {
        parts.push(format!("{count} waits"));
    }
    if parts.is_empty() { String::new() } else { format!(" ({})", parts.join(", ")) }
}

/// The innermost code of the init's own package; failing that, the innermost that is not the runtime's.
fn place(init: &Init, wait: &Wait) -> Option<Frame> {
    let package = init.package();
    let own = |frame: &&Frame| {
        frame.function.strip_prefix(package.as_str()).is_some_and(|rest| rest.starts_with('.'))
    };
    let foreign = |frame: &&Frame| {
        !["runtime.", "internal/", "syscall."].iter().any(|own| frame.function.starts_with(own))
    };
    wait.stack.iter().find(own).or_else(|| wait.stack.iter().find(foreign)).cloned()
}

fn on_cpu(init: &Init, parts: &Parts, whole: Nanos) -> Option<Finding> {
    stands_out(parts.on_cpu, whole, SHARE_ON_CPU).then(|| Finding {
        id: "large_init",
        package: Some(init.package()),
        place: slowest(init),
        duration: parts.on_cpu,
        text: format!("init of {} computes for {}", init.package(), parts.on_cpu.for_people()),
        advice: "compute it when it is first needed (sync.OnceValue), or at build time",
    })
}

/// Who allocates while the collector marks has to help.
fn assists(init: &Init, parts: &Parts, whole: Nanos) -> Option<Finding> {
    let duration = parts.assist.filter(|assist| stands_out(*assist, whole, SHARE))?;
    Some(Finding {
        id: "gc_assist_in_init",
        package: Some(init.package()),
        place: slowest(init),
        duration,
        text: format!(
            "init of {} is made to mark for the garbage collector for {}",
            init.package(),
            duration.for_people()
        ),
        advice: "allocate less in the init, or raise GOGC for the start",
    })
}

/// Where the function begins that took most of the init's time.
fn slowest(init: &Init) -> Option<Frame> {
    let told = init.functions.iter().filter(|timed| timed.wall.is_some());
    told.max_by_key(|timed| timed.wall).map(|timed| timed.function.begin())
}

/// Pages to be fetched and zeroed, and work for the collector.
fn allocates(init: &Init) -> Option<Finding> {
    let heap = init.heap.filter(|heap| heap.bytes >= MUCH_MEMORY)?;
    Some(Finding {
        id: "allocates_in_init",
        package: Some(init.package()),
        place: None,
        duration: init.wall,
        text: format!("init of {} allocates {heap}", init.package()),
        advice: "build it when it is first needed (sync.OnceValue), or in fewer and smaller pieces",
    })
}

/// Goroutines cost memory and scans as long as they are there.
fn left_behind(init: &Init) -> Option<Finding> {
    let count = init.started?.at_main;
    (count >= MANY_GOROUTINES).then(|| Finding {
        id: "goroutines_left_by_init",
        package: Some(init.package()),
        place: slowest(init),
        duration: init.wall,
        text: format!("init of {} leaves {count} goroutines running", init.package()),
        advice: "start them when they are first needed, with a way to end them",
    })
}

fn dlopen(init: &Init, libraries: &[&Library], whole: Nanos) -> Option<Finding> {
    let (first, last) = (libraries.first()?, libraries.last()?);
    let duration = last.start.plus(last.duration).since(first.start);
    let names: Vec<&str> =
        libraries.iter().map(|library| library.path.rsplit('/').next().unwrap_or(&library.path)).collect();
    // What a library does when it has been mapped belongs to its load as well, and is not told apart.
    stands_out(init.wall, whole, SHARE).then(|| Finding {
        id: "dlopen_in_init",
        package: Some(init.package()),
        place: None,
        duration,
        text: format!(
            "init of {} loads {} ({} to map, of {} in all)",
            init.package(),
            names.join(", "),
            duration.for_people(),
            init.wall.for_people()
        ),
        advice: "load it when it is first needed, or build without cgo",
    })
}

/// The program's own pages from disk.
fn cold(timeline: &StartupTimeline, whole: Nanos) -> Option<Finding> {
    let parts = before_main(timeline);
    let time: Nanos = parts.iter().map(|parts| parts.blocked_by(Cause::PageFault)).sum();
    // Pages that another read was bringing already count as minor faults, so the waits are told.
    let waits = timeline.waits.iter().filter(|wait| wait.cause == Cause::PageFault).count();
    let by_init = |init: &&Init| init.parts.as_ref().map(|parts| parts.blocked_by(Cause::PageFault));
    let most = timeline.inits.iter().max_by_key(by_init);
    let most = most.filter(|init| by_init(init).is_some_and(|of_init| of_init.0 > time.0 / 2));
    let of_it = most.map_or(String::new(), |init| format!(", most of it in init of {}", init.package()));
    stands_out(time, whole, SHARE).then(|| Finding {
        id: "cold_start",
        package: most.map(Init::package),
        place: None,
        duration: time,
        text: format!("{} for pages that were not in memory ({waits} long waits){of_it}", time.for_people()),
        advice: "a cold start: keep the file cached, make the binary smaller (-ldflags=-s -w), or put it on a faster disk",
    })
}

fn starved(timeline: &StartupTimeline, whole: Nanos) -> Option<Finding> {
    let time: Nanos = before_main(timeline).iter().map(|parts| parts.runnable).sum();
    let throttled = timeline.throttled.filter(|throttled| throttled.0 > 0);
    let by_group = throttled.map_or(String::new(), |throttled| {
        format!("; its control group's CPU limit held its threads back for {}", throttled.for_people())
    });
    (time >= LARGE && time.0 >= whole.0 / SHARE).then(|| Finding {
        id: "cpu_starved",
        package: None,
        place: None,
        duration: time,
        text: format!("ready to run for {}, without a CPU{by_group}", time.for_people()),
        advice: if throttled.is_some() {
            "raise the CPU limit, or lower GOMAXPROCS to it"
        } else {
            "other programs take the CPUs: give it a larger share, or fewer neighbours"
        },
    })
}

fn before_main(timeline: &StartupTimeline) -> Vec<&Parts> {
    timeline.phases.iter().filter_map(|phase| phase.parts.as_ref()).collect()
}
