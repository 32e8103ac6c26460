//! The parts of gotrace that are tried, and by which tests.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use std::process::Command;
use std::str::FromStr;

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::VOICE;
use crate::exec;
use crate::fixtures::Fixture;
use crate::privilege::Road;
use crate::test::{Part, Tools, guest, in_guest, native};
use crate::vm::Kernel;

/// A part of gotrace.
pub(super) struct Aspect {
    pub(super) name: &'static str,
    /// The fixtures' programs that its tests need.
    programs: &'static [&'static str],
    /// The tests, each of which compares with an oracle.
    tests: &'static [&'static str],
    /// Where `gotrace inspect` says that it cannot be had.
    refusal: Option<RefusedBy>,
}

/// What in `gotrace inspect --json` tells that a part cannot be had.
#[derive(Clone, Copy)]
enum RefusedBy {
    /// None of these hooks has a site.
    NoHook(&'static str),
    /// One of these hooks has none: what is told without it lacks something that the tests look for.
    AnyHook(&'static str),
    /// A reason.
    Field(&'static str),
}

/// All that is tried.
pub(super) const ASPECTS: [Aspect; 6] = [
    // Beside GODEBUG=inittrace=1, and the sums of the parts beside the whole.
    Aspect {
        name: "run",
        programs: &["nethttp", "slowinit"],
        tests: &[
            "oracle::every_programs_inits_are_the_ones_that_go_itself_names_in_order",
            "oracle::allocations_are_those_that_go_itself_counts",
            "slowinit::the_parts_of_every_init_and_phase_add_up",
        ],
        refusal: None,
    },
    // Beside the program's own dump of its goroutines, and what it was told to be stuck in.
    Aspect {
        name: "attach",
        programs: &["stuckininit", "parked"],
        tests: &[
            "attach::stuck::a_program_that_is_stuck_in_an_init_shows_where_and_on_what",
            "attach::goroutines::goroutines_are_where_the_programs_own_dump_has_them",
        ],
        refusal: None,
    },
    // Beside the fixture's own account.
    Aspect {
        name: "blocking",
        programs: &["syscalls", "blocked"],
        tests: &[
            "blocking::counts::a_hundred_thousand_system_calls_are_counted_one_by_one",
            "blocking::waits::every_wait_is_told_with_its_cause_its_place_its_object_and_its_length",
        ],
        refusal: None,
    },
    Aspect {
        name: "waits",
        programs: &["waits"],
        tests: &[
            "attach::waits::every_goroutine_that_is_parked_is_counted",
            "attach::waits::each_wait_is_told_with_its_reason_its_time_and_its_waker",
        ],
        refusal: Some(RefusedBy::AnyHook("waits")),
    },
    // Beside GODEBUG=gctrace=1 and runtime/metrics.
    Aspect {
        name: "gc",
        programs: &["collector"],
        tests: &[
            "gc::cycles::every_column_of_every_cycle_is_as_in_gctrace",
            "gc::stops::stops_are_as_many_and_as_long_as_the_runtime_counts",
        ],
        refusal: Some(RefusedBy::NoHook("gc")),
    },
    // Beside runtime/metrics and runtime.MemStats.
    Aspect {
        name: "counters",
        programs: &["counters"],
        tests: &["counters::counters_are_what_the_program_says_of_itself"],
        refusal: Some(RefusedBy::Field("counters_unknown")),
    },
];

/// What came of a part.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "verdict", content = "why")]
pub(super) enum Verdict {
    Passed,
    /// gotrace says that it cannot be had, and why.
    Refused(String),
    /// The tests that failed.
    Failed(Vec<String>),
    /// There is no program to try it on, and why.
    Unbuilt(String),
}

/// Where it is tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    Native,
    Guest(Kernel),
}

/// Everywhere.
pub(super) const PLACES: [Place; 3] =
    [Place::Native, Place::Guest(Kernel::V6_1), Place::Guest(Kernel::V6_12)];

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Native => f.write_str("native"),
            Self::Guest(kernel) => kernel.fmt(f),
        }
    }
}

impl FromStr for Place {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let known = PLACES.into_iter().find(|place| place.to_string() == text);
        known.ok_or_else(|| format!("one of {}", PLACES.map(|place| place.to_string()).join(", ")))
    }
}

impl Place {
    /// Tries each of the parts.
    pub(super) fn try_out<'a>(
        &self,
        aspects: &[&'a Aspect],
        tools: &Tools,
        kernel_tests: &Path,
        there: &[Fixture],
        unbuilt: &[(String, String)],
    ) -> Result<BTreeMap<&'a str, Verdict>> {
        let mut verdicts = BTreeMap::new();
        let mut left = Vec::new();
        for aspect in aspects {
            match aspect.obstacle(tools, there, unbuilt)? {
                Some(verdict) => drop(verdicts.insert(aspect.name, verdict)),
                None => left.push(*aspect),
            }
        }
        let tests: Vec<&str> = left.iter().flat_map(|aspect| aspect.tests).copied().collect();
        if tests.is_empty() {
            return Ok(verdicts);
        }
        let mut part = Part::default();
        self.run(&tests, tools, kernel_tests, &mut part)?;
        part.again(|tests, part| {
            let tests: Vec<&str> = tests.iter().map(String::as_str).collect();
            self.run(&tests, tools, kernel_tests, part)
        })?;
        let failed = part.failing();
        // A runner that ended early has not run them all.
        let all_ran = part.counted() == tests.len() as u64;
        for aspect in left {
            let own = |name: &&String| aspect.tests.contains(&name.as_str());
            let failed: Vec<String> = failed.iter().filter(own).cloned().collect();
            let verdict = match (all_ran, failed.is_empty()) {
                (true, true) => Verdict::Passed,
                (true, false) => Verdict::Failed(failed),
                (false, _) => Verdict::Failed(vec!["the test runner ended early".into()]),
            };
            VOICE.say(format_args!("{}: {verdict:?}", aspect.name));
            verdicts.insert(aspect.name, verdict);
        }
        Ok(verdicts)
    }

    fn run(&self, tests: &[&str], tools: &Tools, kernel_tests: &Path, part: &mut Part) -> Result<()> {
        match self {
            Self::Native => {
                let mut command = native(Road::find(), kernel_tests, tools);
                part.run(command.arg("--exact").args(tests))
            }
            Self::Guest(kernel) => {
                let mut guest = guest(*kernel, tools, kernel_tests, |_| true)?;
                in_guest(&mut guest, &format!("--exact {}", tests.join(" ")), part)
            }
        }
    }
}

impl Aspect {
    /// Why it is not tried: a program of its was not built, or gotrace itself says that it cannot be had.
    fn obstacle(
        &self,
        tools: &Tools,
        there: &[Fixture],
        unbuilt: &[(String, String)],
    ) -> Result<Option<Verdict>> {
        for program in self.programs {
            let own = there.iter().find(|fixture| fixture.program == *program);
            // What gotrace says of another program of the same toolchain holds for one that cannot be built with it.
            if let (Some(by), Some(fixture)) = (self.refusal, own.or(there.first()))
                && let Some(reason) = refusal(tools.gotrace(), by, Path::new(&fixture.path))?
            {
                return Ok(Some(Verdict::Refused(reason)));
            }
            if own.is_none() {
                let of_it = unbuilt.iter().find(|(name, _)| name.starts_with(&format!("{program}-go")));
                let reason = of_it.map_or("it was not built", |(_, reason)| reason);
                return Ok(Some(Verdict::Unbuilt(format!("{program}: {reason}"))));
            }
        }
        Ok(None)
    }
}

/// Why a part cannot be had of a program, as `gotrace inspect` tells it.
fn refusal(gotrace: &Path, by: RefusedBy, program: &Path) -> Result<Option<String>> {
    let text = exec::text(Command::new(gotrace).args(["inspect", "--json"]).arg(program))?;
    let inspection: Value = serde_json::from_str(&text).context("reading what gotrace inspect says")?;
    let (of, all) = match by {
        RefusedBy::Field(name) => return Ok(inspection[name].as_str().map(str::to_owned)),
        RefusedBy::NoHook(of) => (of, false),
        RefusedBy::AnyHook(of) => (of, true),
    };
    let hooks = inspection["hooks"].as_array().context("gotrace inspect names no hooks")?;
    let mut rows = hooks.iter().filter(|row| row["of"] == of);
    let has_any = rows.clone().any(|row| row["site"].is_object());
    let reason = rows.find_map(|row| row["reason"].as_str());
    Ok(reason.filter(|_| all || !has_any).map(|reason| match has_any {
        true => format!("in part: {reason}"),
        false => reason.to_owned(),
    }))
}
