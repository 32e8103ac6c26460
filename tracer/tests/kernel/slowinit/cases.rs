//! The cases that come to main.main, and one run of each by each build of the program.

use std::process::Command;
use std::sync::OnceLock;

use serde_json::Value;
use tempfile::TempDir;

use super::account::{self, Entry};
use crate::support::{Fixture, Traced, fixtures_of, is_emulated, trace};

/// One reason for a slow init.
pub(crate) struct Case {
    /// What `SLOWINIT` names.
    pub(crate) name: &'static str,
    /// What its blocked time is spent on; none when it is spent on a CPU.
    pub(crate) kind: Option<&'static str>,
    /// How much of the blocked time at least is of that kind.
    pub(crate) percent: u64,
    /// The system calls or the runtime's wait reasons, of which each long wait is by one; none when no single
    /// waits make it up.
    pub(crate) by: &'static [&'static str],
    /// A part of the name of what is waited for.
    pub(crate) object: &'static str,
    /// The finding that it is.
    pub(crate) finding: &'static str,
    /// What is counted of it, and how much there is.
    pub(crate) counts: &'static [(&'static str, u64)],
}

const fn waits(name: &'static str, kind: &'static str, by: &'static [&'static str]) -> Case {
    Case { name, kind: Some(kind), percent: 95, by, object: "", finding: "", counts: &[] }
}

const fn on(name: &'static str, finding: &'static str, counts: &'static [(&'static str, u64)]) -> Case {
    Case { name, kind: None, percent: 95, by: &[], object: "", finding, counts }
}

/// Where every server of these listens.
const HOST: &str = "127.0.0.1:";

pub(crate) static CASES: [Case; 17] = [
    Case { finding: "sleep_in_init", ..waits("sleep", "sleep", &["sleep"]) },
    Case { finding: "sleep_in_init", ..waits("nanosleep", "sleep", &["nanosleep"]) },
    Case { finding: "goroutine_in_init", ..waits("once", "goroutine", &["sync.Mutex.Lock"]) },
    Case { finding: "goroutine_in_init", ..waits("mutex", "goroutine", &["sync.Mutex.Lock"]) },
    Case { finding: "goroutine_in_init", ..waits("chan", "goroutine", &["chan receive"]) },
    // The resolver asks for both kinds of address in goroutines of their own, and collects the answers.
    Case { object: HOST, finding: "dns_in_init", ..waits("dns", "dns", &["chan receive", "select"]) },
    Case { object: HOST, finding: "network_in_init", ..waits("http", "network", &["select"]) },
    Case { object: HOST, finding: "network_in_init", ..waits("tcp", "network", &["IO wait"]) },
    Case { object: "/fifo", finding: "file_in_init", ..waits("fifo", "file", &["openat", "read"]) },
    Case { finding: "child_in_init", ..waits("child", "other", &["waitid", "wait4"]) },
    // The memory that the content goes to takes page faults of its own, and the collector helps.
    Case { object: "/cold", percent: 80, finding: "file_in_init", ..waits("coldfile", "file", &["read"]) },
    // Of single pages, none of which takes long.
    Case { percent: 80, finding: "cold_start", ..waits("coldmap", "page_fault", &[]) },
    Case { percent: 80, finding: "gc_in_init", ..waits("forcedgc", "gc", &["wait for GC cycle"]) },
    on("dlopen", "dlopen_in_init", &[]),
    on("spin", "large_init", &[]),
    on("alloc", "large_init", &[("allocs", 40 << 10), ("bytes", 40 << 20)]),
    on(
        "goroutines",
        "goroutines_left_by_init",
        &[("goroutines_started", 1000), ("goroutines_at_main", 1000)],
    ),
];

/// What one case gave under gotrace.
pub(crate) struct Run {
    /// The build's name and the case's.
    pub(crate) name: String,
    pub(crate) build: &'static Build,
    pub(crate) case: &'static Case,
    pub(crate) entries: Vec<Entry>,
    pub(crate) traced: Traced,
}

impl Run {
    /// gotrace's line of the case's init.
    pub(crate) fn init(&self) -> Option<&Value> {
        let inits = self.traced.all("init");
        inits.into_iter().find(|init| init["package"] == *self.entries[0].package)
    }

    /// Whether what was to come from the disk did, and was waited for long enough to be a finding: some file systems
    /// have no disk, and while others take the processors, the kernel has read ahead.
    pub(crate) fn is_cold(&self) -> bool {
        let waited = |entry: &Entry| entry.blocked_ns().is_none_or(|blocked| *blocked.start() > 12_000_000);
        !self.case.name.starts_with("cold")
            || self.entries.iter().any(|entry| entry.in_blocks > 0 && waited(entry))
    }
}

/// One build of the program, and the files that some cases read.
pub(crate) struct Build {
    fixture: Fixture,
    folder: TempDir,
}

impl Build {
    fn new(fixture: Fixture) -> Self {
        let folder = tempfile::tempdir().expect("a folder for the program's files");
        let build = Self { fixture, folder };
        let prepared = build.of_case("prepare");
        let status = Command::new(&prepared.path).envs(&prepared.env).status().expect("slowinit runs");
        assert!(status.success(), "{}: its files could not be made", prepared.name);
        build
    }

    pub(crate) fn of_case(&self, case: &str) -> Fixture {
        let mut fixture = self.fixture.clone();
        let folder = self.folder.path().to_str().expect("UTF-8").to_owned();
        fixture.env.extend([("SLOWINIT".to_owned(), case.to_owned()), ("SLOWINIT_DIR".to_owned(), folder)]);
        fixture
    }

    /// Only C can load a library.
    fn can(&self, case: &Case) -> bool {
        case.name != "dlopen" || self.fixture.build == "cgo"
    }

    /// Runs a case under gotrace.
    pub(crate) fn run(&'static self, case: &'static Case) -> Run {
        self.run_with(case, &[])
    }

    /// Runs a case under gotrace with more options.
    pub(crate) fn run_with(&'static self, case: &'static Case, options: &[&str]) -> Run {
        let fixture = self.of_case(case.name);
        let traced = trace::<&str>(&fixture, options, &[]);
        let name = format!("{} {}", fixture.name, case.name);
        assert_eq!(traced.output.status.code(), Some(0), "{name}");
        let entries = account::read(&traced.output.stdout);
        assert!(!entries.is_empty(), "{name} noted nothing");
        let run = Run { name, build: self, case, entries, traced };
        if !run.is_cold() {
            eprintln!("{}: not enough came from a disk; not compared", run.name);
        }
        run
    }
}

/// Every case once by every build, in whichever test asks first.
pub(crate) fn runs() -> &'static [Run] {
    static BUILDS: OnceLock<Vec<Build>> = OnceLock::new();
    static RUNS: OnceLock<Vec<Run>> = OnceLock::new();
    let builds =
        BUILDS.get_or_init(|| fixtures_of("slowinit").into_iter().map(Build::new).collect::<Vec<_>>());
    let all_of =
        |build: &'static Build| CASES.iter().filter(|case| build.can(case)).map(|case| build.run(case));
    RUNS.get_or_init(|| builds.iter().flat_map(all_of).collect())
}

/// How far apart two measures of the same time may be: a twentieth, or 0.3 ms; where the processor is emulated, half of
/// it and 20 ms.
pub(crate) fn nanos(said: u64) -> u64 {
    if is_emulated() { said / 2 + 20_000_000 } else { (said / 20).max(300_000) }
}

/// Whether they are no further apart.
pub(crate) fn near(ours: u64, said: u64) -> bool {
    ours.abs_diff(said) <= nanos(said)
}
