//! The cases that come to main.main, and one run of each by each build of the program.

use std::process::Command;
use std::sync::OnceLock;

use serde_json::Value;

use super::account::{self, Entry};
use crate::support::{Fixture, Traced, fixtures_of, trace};

/// One reason for a slow init.
pub(crate) struct Case {
    /// What `SLOWINIT` names.
    pub(crate) name: &'static str,
    /// What its blocked time is spent on; none when it is spent on a CPU.
    pub(crate) kind: Option<&'static str>,
    /// How much of the blocked time at least is of that kind.
    pub(crate) share: f64,
    /// Whether single long waits make it up.
    pub(crate) waits: bool,
    /// The system calls or the runtime's wait reasons, of which it is one.
    pub(crate) by: &'static [&'static str],
    /// A part of the name of what is waited for.
    pub(crate) object: &'static str,
    /// What is counted of it, and how much there is.
    pub(crate) counts: &'static [(&'static str, u64)],
}

const fn waiting(name: &'static str, kind: &'static str, by: &'static [&'static str]) -> Case {
    Case { name, kind: Some(kind), share: 0.95, waits: true, by, object: "", counts: &[] }
}

const fn busy(name: &'static str, counts: &'static [(&'static str, u64)]) -> Case {
    Case { name, kind: None, share: 0.95, waits: false, by: &[], object: "", counts }
}

pub(crate) const CASES: [Case; 17] = [
    waiting("sleep", "sleep", &["sleep"]),
    waiting("nanosleep", "sleep", &["nanosleep"]),
    waiting("once", "goroutine", &["sync.Mutex.Lock"]),
    waiting("mutex", "goroutine", &["sync.Mutex.Lock"]),
    waiting("chan", "goroutine", &["chan receive"]),
    // The resolver asks for both kinds of address in goroutines of their own, and collects the answers.
    waiting("dns", "dns", &["chan receive", "select"]),
    waiting("http", "network", &["select"]),
    Case { object: "127.0.0.1:", ..waiting("tcp", "network", &["IO wait"]) },
    Case { object: "/fifo", ..waiting("fifo", "file", &["openat", "read"]) },
    waiting("child", "other", &["waitid", "wait4"]),
    // The memory that the content goes to takes page faults of its own, and the collector helps.
    Case { object: "/cold", share: 0.8, ..waiting("coldfile", "file", &["read"]) },
    // Of single pages, none of which takes long.
    Case { share: 0.8, waits: false, ..waiting("coldmap", "page_fault", &[]) },
    Case { share: 0.8, ..waiting("forcedgc", "gc", &["wait for GC cycle"]) },
    Case { kind: None, ..waiting("dlopen", "", &[]) },
    busy("spin", &[]),
    busy("alloc", &[("allocs", 40 << 10), ("bytes", 40 << 20)]),
    busy("goroutines", &[("goroutines_started", 1000), ("goroutines_at_main", 1000)]),
];

/// What one case gave under gotrace.
pub(crate) struct Run {
    pub(crate) fixture: String,
    pub(crate) case: &'static str,
    pub(crate) entries: Vec<Entry>,
    pub(crate) traced: Traced,
}

impl Run {
    /// gotrace's line of the case's init.
    pub(crate) fn init(&self) -> Option<&Value> {
        let inits = self.traced.all("init");
        inits.into_iter().find(|init| init["package"] == *self.entries[0].package)
    }

    /// Whether what was to come from the disk did: some file systems have none.
    pub(crate) fn is_cold(&self) -> bool {
        !self.case.starts_with("cold") || self.entries.iter().any(|entry| entry.in_blocks > 0)
    }
}

/// Every case once by every build, in whichever test asks first.
pub(crate) fn runs() -> &'static [Run] {
    static RUNS: OnceLock<Vec<Run>> = OnceLock::new();
    RUNS.get_or_init(|| fixtures_of("slowinit").iter().flat_map(all_of).collect())
}

fn all_of(fixture: &Fixture) -> Vec<Run> {
    let folder = tempfile::tempdir().expect("a folder for the program's files");
    let mut fixture = fixture.clone();
    fixture.env.insert("SLOWINIT_DIR".to_owned(), folder.path().to_str().expect("UTF-8").to_owned());
    let prepared = Command::new(&fixture.path).envs(&fixture.env).env("SLOWINIT", "prepare").status();
    assert!(prepared.expect("slowinit runs").success(), "{}: its files could not be made", fixture.name);
    // Only C can load a library.
    let is_possible = |case: &&Case| case.name != "dlopen" || fixture.build == "cgo";
    let run = |case: &Case| {
        let mut fixture = fixture.clone();
        fixture.env.insert("SLOWINIT".to_owned(), case.name.to_owned());
        let traced = trace::<&str>(&fixture, &[], &[]);
        assert_eq!(traced.output.status.code(), Some(0), "{} {}", fixture.name, case.name);
        let entries = account::read(&traced.output.stdout);
        assert!(!entries.is_empty(), "{} {} noted nothing", fixture.name, case.name);
        let run = Run { fixture: fixture.name, case: case.name, entries, traced };
        if !run.is_cold() {
            println!("{} {}: nothing came from a disk; not compared", run.fixture, run.case);
        }
        run
    };
    CASES.iter().filter(is_possible).map(run).collect()
}

/// How far apart two measures of the same time may be: a twentieth, or 0.3 ms.
pub(crate) fn nanos(said: u64) -> u64 {
    (said / 20).max(300_000)
}

/// Whether they are no further apart.
pub(crate) fn near(ours: u64, said: u64) -> bool {
    ours.abs_diff(said) <= nanos(said)
}
