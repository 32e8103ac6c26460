//! What the reader says of real programs, against what Go itself says of them.

use std::path::Path;
use std::process::{Command, Stdio};

use gotrace::probe::{parking, plan};
use gotrace::target::gobin::{GoBinary, Machine, SiteKind, Support, VersionSource};

use crate::support::{Fixture, fixtures, fixtures_of, inittrace};
use crate::walk;

pub(super) fn open(fixture: &Fixture) -> GoBinary {
    GoBinary::open(&fixture.path).unwrap_or_else(|error| panic!("{}: {error}", fixture.name))
}

fn packages(binary: &GoBinary) -> Vec<String> {
    let tasks = binary.init_tasks().unwrap_or_else(|error| panic!("{error}"));
    tasks.into_iter().map(|task| task.package).collect()
}

#[test]
#[ignore = "needs fixtures: cargo xtask test"]
fn the_version_is_the_one_that_built_it() {
    for fixture in fixtures() {
        let binary = open(&fixture);
        assert_eq!(
            (binary.support(), binary.machine()),
            (Support::Full, Machine::X86_64),
            "{}",
            fixture.name
        );
        match &fixture.go {
            Some(version) => {
                let experiment = match &*fixture.build {
                    "experiment" => "-X:nogreenteagc",
                    "lockranking" => "-X:staticlockranking",
                    _ => "",
                };
                let said = format!("go{version}{experiment}");
                assert_eq!(binary.version().raw(), said, "{}", fixture.name);
            }
            // Nothing but the runtime's own variable tells it.
            None => assert_eq!(binary.version().source, VersionSource::BuildVersion, "{}", fixture.name),
        }
        assert_eq!(binary.linking().pie, is_pie(&fixture.path), "{}", fixture.name);
        match fixture.build.as_str() {
            "default" => assert!(!binary.linking().stripped && binary.linking().dwarf, "{}", fixture.name),
            "stripped" => assert!(binary.linking().stripped && !binary.linking().dwarf, "{}", fixture.name),
            "pie" => assert!(binary.linking().pie, "{}", fixture.name),
            "cgo" => {
                assert!(binary.linking().cgo && binary.linking().interpreter.is_some(), "{}", fixture.name);
            }
            _ => {}
        }
    }
}

/// The ELF header's type: 3 is `ET_DYN`.
fn is_pie(path: &Path) -> bool {
    std::fs::read(path).expect("a program").get(16) == Some(&3)
}

#[test]
#[ignore = "needs fixtures: cargo xtask test"]
fn inits_and_their_order_are_those_that_go_reports() {
    for fixture in fixtures() {
        if ["exitininit", "killininit", "execininit"].contains(&fixture.program.as_str()) {
            continue;
        }
        let mut command = Command::new(&fixture.path);
        command.args(&fixture.args).envs(&fixture.env).env("GODEBUG", "inittrace=1").stdin(Stdio::null());
        let output = command.output().unwrap_or_else(|error| panic!("{}: {error}", fixture.name));
        let expected: Vec<String> = inittrace(&output.stderr).into_iter().map(|init| init.package).collect();
        assert!(!expected.is_empty(), "{}: {}", fixture.name, String::from_utf8_lossy(&output.stderr));
        assert_eq!(packages(&open(&fixture)), expected, "{}", fixture.name);
    }
}

/// Of a library only the entry is missing: the C program around it has its own.
#[test]
#[ignore = "needs fixtures: cargo xtask test"]
fn a_go_library_of_a_c_program_is_read_as_well() {
    let [host] = &fixtures_of("cshared")[..] else { panic!("one C program with a Go library") };
    let error = GoBinary::open(&host.path).expect_err("a C program").to_string();
    assert!(error.contains("not a Go program"), "{error}");
    let library = GoBinary::open(&host.path.with_file_name("libcshared.so")).expect("a Go library");
    assert!(library.linking().pie && library.linking().cgo);
    let output = Command::new(&host.path).env("GODEBUG", "inittrace=1").output().expect("it runs");
    assert!(output.status.success());
    let expected: Vec<String> = inittrace(&output.stderr).into_iter().map(|init| init.package).collect();
    assert!(expected.contains(&"example.com/cshared/late".to_owned()), "{expected:?}");
    assert_eq!(packages(&library), expected);
    let plan = plan::startup(&library, plan::Detail::Lean);
    let missing: Vec<&str> = plan.missing.iter().map(|missing| missing.hook.name()).collect();
    assert_eq!(missing, ["go_entry"], "{:?}", plan.missing);
}

#[test]
#[ignore = "needs fixtures: cargo xtask test"]
fn parked_goroutines_can_be_seen_wherever_it_is_cheap() {
    for fixture in fixtures() {
        let binary = open(&fixture);
        let plan = parking(&binary);
        if binary.version().minor() < 21 {
            // Frames are made without a push there; of 1.20 no layout was measured either.
            let missing = plan.expect_err("it would be single-stepped");
            let reason = if binary.version().minor() == 20 { "not known" } else { "single-step" };
            assert!(missing.reason.contains(reason), "{}: {missing:?}", fixture.name);
            continue;
        }
        let plan = plan.unwrap_or_else(|missing| panic!("{}: {missing:?}", fixture.name));
        assert!(plan.missing.is_empty(), "{}: {:?}", fixture.name, plan.missing);
        let hooks: Vec<&str> = plan.sites.iter().map(|planned| planned.hook.name()).collect();
        assert_eq!(hooks, ["execute", "made_ready", "park"], "{}", fixture.name);
        assert!(
            plan.sites.iter().all(|planned| planned.site.kind == SiteKind::FramePush),
            "{}",
            fixture.name
        );
        // What stands in where the compiler has inlined `execute`: RDX has the goroutine at a jump.
        let gogo = binary.functions().named("runtime.gogo").expect("assembly is never inlined");
        let site = binary.switch_site(&gogo).unwrap_or_else(|refusal| panic!("{}: {refusal}", fixture.name));
        assert_eq!(
            (site.emulated, site.register, site.kind),
            (true, Some(2), SiteKind::Switch),
            "{}",
            fixture.name
        );
        // And for `gopark`: a goroutine that parks calls it on its own stack.
        let mcall = binary.functions().named("runtime.mcall").expect("assembly is never inlined");
        let site = binary.site(&mcall).unwrap_or_else(|refusal| panic!("{}: {refusal}", fixture.name));
        assert_eq!((site.emulated, site.kind), (true, SiteKind::FramePush), "{}", fixture.name);
        assert!(binary.functions().named("runtime.park_m").is_some(), "{}", fixture.name);
    }
}

#[test]
#[ignore = "needs fixtures: cargo xtask test"]
fn every_hook_has_a_site_that_the_kernel_emulates() {
    for fixture in fixtures() {
        let binary = open(&fixture);
        let plan = plan::startup(&binary, plan::Detail::Full);
        assert!(plan.missing.is_empty(), "{}: {:?}", fixture.name, plan.missing);
        let bytes = std::fs::read(&fixture.path).expect("a program");
        for planned in &plan.sites {
            let site = &planned.site;
            let at = usize::try_from(site.file_offset.0).expect("an offset");
            assert_eq!(bytes.get(at..at + site.bytes.len()), Some(&site.bytes[..]), "{}", fixture.name);
            assert!(site.emulated, "{}: {planned:?}", fixture.name);
            let makes_frames_by_push = binary.version().minor() >= 21;
            let expected = match planned.hook.name() {
                "go_entry" => SiteKind::Entry,
                "mallocinit" | "gcinit" | "procresize" | "gcenable" => SiteKind::Call,
                name if name.ends_with("_done") => SiteKind::AfterCall,
                _ if makes_frames_by_push => SiteKind::FramePush,
                "init" => SiteKind::InitReady,
                // Up to Go 1.20 frames are made by `sub`: the kernel does not emulate that.
                _ => SiteKind::AfterEntry,
            };
            assert_eq!(site.kind, expected, "{}: {planned:?}", fixture.name);
            let is_right = match site.kind {
                SiteKind::FramePush => site.bytes == [0x55],
                SiteKind::Entry => matches!(site.bytes[0], 0xe9 | 0xeb),
                SiteKind::Call => site.bytes[0] == 0xe8,
                _ => true,
            };
            assert!(is_right, "{}: {planned:?}", fixture.name);
        }
    }
}

#[test]
#[ignore = "needs fixtures: cargo xtask test"]
fn stripping_takes_nothing_away() {
    let programs = fixtures_of("nethttp");
    let mut compared = 0;
    for default in programs.iter().filter(|fixture| fixture.build == "default") {
        let is_its_twin = |fixture: &&Fixture| fixture.build == "stripped" && fixture.go == default.go;
        let Some(stripped) = programs.iter().find(is_its_twin) else { continue };
        let (whole, stripped) = (open(default), open(stripped));
        let names = |binary: &GoBinary| -> Vec<(String, u64, u8)> {
            let row = |function: gotrace::target::gobin::Function| {
                (function.name, function.end.0 - function.entry.0, function.func_id)
            };
            binary.functions().iter().map(row).collect()
        };
        assert_eq!(names(&whole), names(&stripped), "{}", default.name);
        assert_eq!(packages(&whole), packages(&stripped), "{}", default.name);
        compared += 1;
    }
    assert!(compared > 0, "no stripped build beside a default one");
}

/// The program as if another version had built it, of which the name is as long, and stripped; `None` when it does not
/// tell.
pub(super) fn built_by(fixture: &Fixture, other: &str) -> Option<GoBinary> {
    as_of(fixture, other, false)
}

/// The same, with what debug information it has.
pub(super) fn as_of(fixture: &Fixture, other: &str, keeps_debug_info: bool) -> Option<GoBinary> {
    let version = format!("go{}", fixture.go.as_ref().filter(|_| !fixture.is_experiment())?);
    let mut bytes = std::fs::read(&fixture.path).expect("a program");
    let block = bytes.windows(14).position(|window| window == b"\xff Go buildinf:")?;
    // Behind the block's header and the version's length.
    let at = block + 33;
    let place = bytes.get_mut(at..at + version.len()).filter(|place| *place == version.as_bytes())?;
    place.copy_from_slice(other.as_bytes());
    if !keeps_debug_info {
        crate::support::drop_sections(&mut bytes);
    }
    let binary = walk::open(&bytes).unwrap_or_else(|error| panic!("{}: {error}", fixture.name));
    assert_eq!(binary.version().raw(), other);
    Some(binary)
}

#[test]
#[ignore = "needs fixtures: cargo xtask test"]
fn versions_of_tomorrow_offer_all_but_inits() {
    let mut patches = 0;
    for fixture in fixtures_of("nethttp") {
        let Some(version) = fixture.go.as_deref().and_then(|version| version.get(4..)) else { continue };
        let Some(binary) = built_by(&fixture, &format!("go1.99{version}")) else { continue };
        assert_eq!(binary.support(), Support::TooNew, "{}", fixture.name);
        let plan = plan::startup(&binary, plan::Detail::Lean);
        let missing: Vec<&str> = plan.missing.iter().map(|missing| missing.hook.name()).collect();
        assert_eq!(missing, ["init"], "{}: {:?}", fixture.name, plan.missing);
        patches += 1;
    }
    assert!(patches > 0, "no fixture with build information");
}
