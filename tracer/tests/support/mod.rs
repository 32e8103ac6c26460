//! What the tests that run the real command share: the fixtures, the command, and what it wrote.

#![allow(dead_code, reason = "every test binary uses its own part of this")]

mod schema;
pub(crate) mod speedscope;
pub(crate) mod trace_event;

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Command, Output};
use std::sync::LazyLock;

use serde::Deserialize;
use serde_json::Value;

/// Whether the processor is emulated, so slow and uneven that only large differences of time mean anything:
/// `cargo xtask test` says so to its virtual machines.
pub(crate) fn is_emulated() -> bool {
    std::env::var_os("GOTRACE_VM").is_some()
}

/// The children of a process, of all its threads.
pub(crate) fn children(pid: u32) -> Vec<u32> {
    let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).expect("it runs");
    let children = tasks.flat_map(|task| {
        let children = task.expect("an entry").path().join("children");
        // A thread may have ended meanwhile.
        let text = std::fs::read_to_string(children).unwrap_or_default();
        text.split_whitespace().map(|pid| pid.parse().expect("a number")).collect::<Vec<u32>>()
    });
    children.collect()
}

/// Has a program's header list no sections: no symbols and no debug information.
pub(crate) fn drop_sections(program: &mut [u8]) {
    // `e_shoff`, and `e_shnum` with `e_shstrndx` (elf(5)).
    program[0x28..0x30].fill(0);
    program[0x3c..0x40].fill(0);
}

/// One program to trace, as `cargo xtask fixtures` describes it.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Fixture {
    pub(crate) name: String,
    pub(crate) path: PathBuf,
    pub(crate) go: Option<String>,
    pub(crate) build: String,
    pub(crate) program: String,
    pub(crate) args: Vec<String>,
    pub(crate) env: BTreeMap<String, String>,
}

impl Fixture {
    /// Whether Go 1.19 built it, of which less is told.
    pub(crate) fn is_of_go_1_19(&self) -> bool {
        self.go.as_deref().is_some_and(|go| go.starts_with("1.19"))
    }

    /// Whether it was built with a `GOEXPERIMENT`, of which only the program's own debug information tells.
    pub(crate) fn is_experiment(&self) -> bool {
        matches!(&*self.build, "experiment" | "lockranking")
    }
}

/// Every Go program at hand. None at all would make every test pass, so that is a failure.
pub(crate) fn fixtures() -> Vec<Fixture> {
    let mut fixtures = manifest();
    // A C program, which uses Go only as a library.
    fixtures.retain(|fixture| fixture.build != "cshared");
    fixtures
}

/// All that `cargo xtask fixtures` made.
fn manifest() -> Vec<Fixture> {
    let folder =
        PathBuf::from(std::env::var_os("GOTRACE_FIXTURES").expect("GOTRACE_FIXTURES names the fixtures"));
    let manifest = std::fs::read_to_string(folder.join("fixtures.json")).expect("the fixtures' manifest");
    let fixtures: Vec<Fixture> = serde_json::from_str(&manifest).expect("a manifest");
    assert!(!fixtures.is_empty(), "the manifest lists no fixture");
    fixtures
}

/// The fixtures of one program.
pub(crate) fn fixtures_of(program: &str) -> Vec<Fixture> {
    let found: Vec<Fixture> = manifest().into_iter().filter(|fixture| fixture.program == program).collect();
    assert!(!found.is_empty(), "no fixture of {program}");
    found
}

/// The one fixture of a program.
pub(crate) fn fixture(program: &str) -> Fixture {
    fixtures_of(program).remove(0)
}

/// A fixture that every place has: a net/http program, of the newest Go version at hand.
pub(crate) fn nethttp() -> Fixture {
    let mut found = fixtures_of("nethttp");
    found.retain(|fixture| fixture.build == "default");
    found.sort_by_key(|fixture| fixture.name.clone());
    found.pop().expect("a default build of nethttp")
}

/// A job in the background of a script ignores interrupts, and so would all that it starts; these do not.
pub(crate) fn mind_interrupts(command: &mut Command) {
    let mind = || {
        // SAFETY: the call has no preconditions.
        unsafe { libc::signal(libc::SIGINT, libc::SIG_DFL) };
        Ok(())
    };
    // SAFETY: between fork and execve the closure makes one system call.
    unsafe { command.pre_exec(mind) };
}

/// gotrace, as it was built for release.
pub(crate) fn gotrace() -> Command {
    let mut command = Command::new(std::env::var_os("GOTRACE_BIN").expect("GOTRACE_BIN names the command"));
    // The tests themselves may run under sudo; they speak of the user whom they name.
    for variable in ["SUDO_UID", "SUDO_GID", "SUDO_USER"] {
        command.env_remove(variable);
    }
    mind_interrupts(&mut command);
    command
}

/// What `gotrace run` gave: the program's own streams and the report.
pub(crate) struct Traced {
    pub(crate) output: Output,
    pub(crate) lines: Vec<Value>,
}

/// Runs a fixture under gotrace with more options, the report in a file.
pub(crate) fn trace<S: AsRef<OsStr>>(fixture: &Fixture, options: &[&str], args: &[S]) -> Traced {
    let folder = tempfile::tempdir().expect("a folder for the report");
    let report = folder.path().join("report.ndjson");
    let mut command = gotrace();
    command.args(["run", "-q", "-o"]).arg(&report).args(options).arg("--").arg(&fixture.path);
    // Into a file and not through a pipe: Go prints its account of an init within that init's call, and a
    // reader that is slow to be scheduled would become a part of what is measured.
    let stderr = folder.path().join("stderr");
    let to_file = std::fs::File::create(&stderr).expect("a file for standard error");
    command.args(args).envs(&fixture.env).stderr(to_file);
    let mut output = command.output().expect("gotrace runs");
    output.stderr = std::fs::read(&stderr).expect("what went to standard error");
    let text = std::fs::read_to_string(&report).unwrap_or_else(|error| {
        panic!(
            "no report of {}: {error}; gotrace said: {}",
            fixture.name,
            String::from_utf8_lossy(&output.stderr)
        )
    });
    Traced { output, lines: parse(&text) }
}

/// Each line that gotrace wrote as JSON. Every one is as gotrace's own schema says.
pub(crate) fn parse(text: &str) -> Vec<Value> {
    let line = |line| {
        let value = serde_json::from_str(line).expect("a line of JSON");
        assert_in_schema(&value);
        value
    };
    text.lines().map(line).collect()
}

/// What gotrace writes is as its schema says, with no field besides.
pub(crate) fn assert_in_schema(value: &Value) {
    static SCHEMA: LazyLock<Value> = LazyLock::new(|| {
        let output = gotrace().args(["generate", "schema"]).output().expect("gotrace runs");
        serde_json::from_slice(&output.stdout).expect("a schema")
    });
    if let Err(refused) = schema::check(&SCHEMA, "", value) {
        panic!("not in gotrace's schema: {refused}");
    }
}

impl Traced {
    /// The objects of one type.
    pub(crate) fn all(&self, kind: &str) -> Vec<&Value> {
        self.lines.iter().filter(|line| line["type"] == kind).collect()
    }

    /// The last line.
    pub(crate) fn summary(&self) -> &Value {
        let last = self.lines.last().expect("a report has lines");
        assert_eq!(last["type"], "summary");
        last
    }

    /// The packages whose inits ran, in order.
    pub(crate) fn packages(&self) -> Vec<String> {
        self.all("init").iter().map(|init| text(&init["package"])).collect()
    }

    /// The phases' names, in order.
    pub(crate) fn phases(&self) -> Vec<String> {
        // Not every program becomes ready.
        let names = self.all("phase").iter().map(|phase| text(&phase["name"])).collect::<Vec<_>>();
        names.into_iter().filter(|name| name != "ready").collect()
    }

    /// Nothing was lost, nothing unknown, nothing left out.
    pub(crate) fn assert_complete(&self, name: &str) {
        let summary = self.summary();
        assert_eq!(summary["dropped"], 0, "{name}: {summary}");
        assert_eq!(summary["undecodable"], 0, "{name}: {summary}");
        assert_eq!(summary["unresolved"], 0, "{name}: {summary}");
        assert_eq!(summary["complete"], true, "{name}: {summary} {:?}", self.all("missing"));
        assert!(!self.all("loss").is_empty(), "{name}: losses are always shown");
    }
}

/// A JSON string's text.
pub(crate) fn text(value: &Value) -> String {
    value.as_str().expect("a string").to_owned()
}

/// One line of `GODEBUG=inittrace=1`.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct InitTrace {
    pub(crate) package: String,
    /// From when the runtime began.
    pub(crate) at_milliseconds: f64,
    pub(crate) milliseconds: f64,
    pub(crate) bytes: u64,
    pub(crate) allocs: u64,
}

/// What Go itself says of the inits: `init PACKAGE @1.2 ms, 0.3 ms clock, ...` on standard error.
pub(crate) fn inittrace(stderr: &[u8]) -> Vec<InitTrace> {
    let stderr = String::from_utf8_lossy(stderr);
    let line = |line: &str| {
        let (package, rest) = line.strip_prefix("init ")?.split_once(" @")?;
        let mut parts = rest.split(", ");
        let mut next = |unit| parts.next()?.strip_suffix(unit);
        Some(InitTrace {
            package: package.to_owned(),
            at_milliseconds: next(" ms")?.parse().ok()?,
            milliseconds: next(" ms clock")?.parse().ok()?,
            bytes: next(" bytes")?.parse().ok()?,
            allocs: next(" allocs")?.parse().ok()?,
        })
    };
    stderr.lines().filter_map(line).collect()
}
