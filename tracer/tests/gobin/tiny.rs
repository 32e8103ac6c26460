//! What the reader says of binaries that were made by hand.

use gotrace::probe::plan;
use gotrace::target::gobin::{BinaryError, GoBinary, Machine, SiteKind, Support, VersionSource};

use crate::image::{Image, Inits};
use crate::walk;

fn open(image: Image) -> GoBinary {
    walk::open(&image.bytes()).unwrap_or_else(|error| panic!("{image:?}: {error}"))
}

/// An image of one version's tables that says so.
fn of_layout(layout: u32, version: &'static str) -> Image {
    Image { build_info: Some(version), build_version: version, layout, ..Image::default() }
}

fn packages(binary: &GoBinary) -> Vec<String> {
    let tasks = binary.init_tasks().expect("a list of inits");
    tasks.into_iter().map(|task| task.package).collect()
}

#[test]
fn an_image_of_every_layout_is_read_in_full() {
    let versions = [
        (19, "go1.19.8"),
        (20, "go1.20.14"),
        (21, "go1.21.13"),
        (22, "go1.22.10"),
        (23, "go1.23.9"),
        (24, "go1.24.11"),
        (25, "go1.25.5"),
        (26, "go1.26.6"),
        (27, "go1.27.3"),
    ];
    for (layout, version) in versions {
        for relocated in [false, true] {
            let binary = open(Image { relocated, ..of_layout(layout, version) });
            assert_eq!(binary.version().raw(), version);
            assert_eq!(binary.support(), Support::Full, "{version}");
            assert_eq!(binary.linking().pie, relocated, "{version}");
            assert_eq!(packages(&binary), ["runtime", "errors", "main"], "{version} {relocated}");
            let plan = plan::startup(&binary, plan::Detail::Lean);
            assert!(plan.missing.is_empty(), "{version}: {:?}", plan.missing);
            assert!(plan.sites.iter().all(|planned| planned.site.emulated), "{version}: {:?}", plan.sites);
        }
    }
}

#[test]
fn the_runtime_has_inits_even_where_nothing_imports_it() {
    for relocated in [false, true] {
        let of = |inits| packages(&open(Image { inits, relocated, ..Image::default() }));
        assert_eq!(of(Inits::Main), ["runtime", "main"]);
        assert_eq!(of(Inits::None), ["runtime"]);
    }
}

#[test]
fn functions_are_found_by_name_and_by_address_and_never_their_wrappers() {
    let binary = open(Image::default());
    let all: Vec<String> = binary.functions().iter().map(|function| function.name).collect();
    assert_eq!(all.iter().filter(|name| *name == "runtime.schedinit").count(), 2);
    let schedinit = binary.functions().named("runtime.schedinit").expect("runtime.schedinit");
    assert_eq!(schedinit.func_id, 0);
    assert_eq!(binary.functions().containing(schedinit.entry), Some(schedinit.clone()));
    assert!(binary.functions().named("runtime.sched").is_none());
    assert!(binary.functions().named("").is_none());
    let site = binary.site(&schedinit).expect("a site");
    assert_eq!((site.kind, site.address.0), (SiteKind::FramePush, schedinit.entry.0 + 6));
}

#[test]
fn inlined_calls_and_lines_are_read() {
    for (layout, version) in [(19, "go1.19.8"), (26, "go1.26.6")] {
        let binary = open(of_layout(layout, version));
        let main = binary.functions().named("main.main").expect("main.main");
        let at = |offset| binary.frames(gotrace::units::VirtAddr(main.entry.0 + offset));
        let shown = |offset| -> Vec<String> {
            let frame = |frame: gotrace::target::gobin::Frame| {
                format!("{} {}:{}", frame.function, frame.file.unwrap_or_default(), frame.line)
            };
            at(offset).into_iter().map(frame).collect()
        };
        assert_eq!(shown(0), ["main.main main.go:10"], "{version}");
        assert_eq!(shown(12), ["main.helper util.go:20", "main.main main.go:10"], "{version}");
        assert!(at(12)[0].inlined);
        assert_eq!(shown(18), ["main.main main.go:12"], "{version}");
        assert_eq!(binary.inlined_into("main.helper"), ["main.main"], "{version}");
        assert_eq!(binary.inlined_into("main.nothing"), [""; 0]);
    }
}

#[test]
fn build_information_is_read_and_its_lack_made_up_for() {
    let binary = open(Image::default());
    assert_eq!(binary.version().source, VersionSource::BuildInfo);
    let info = binary.build_info().expect("build information");
    assert_eq!(info.main_module(), Some("example.com/tiny"));
    assert_eq!(info.setting("CGO_ENABLED"), Some("0"));
    for relocated in [false, true] {
        let binary = open(Image { build_info: None, relocated, ..Image::default() });
        assert_eq!(binary.version().raw(), "go1.26.6");
        assert_eq!(binary.version().source, VersionSource::BuildVersion);
        assert!(binary.build_info().is_none());
        assert_eq!(packages(&binary), ["runtime", "errors", "main"]);
    }
}

#[test]
fn a_version_of_tomorrow_offers_phases_and_says_why_no_inits() {
    let binary = open(of_layout(27, "go1.99.3"));
    assert_eq!(binary.support(), Support::TooNew);
    let error = binary.init_tasks().expect_err("its layout cannot be known").to_string();
    assert!(error.contains("go1.99.3"), "{error}");
    let plan = plan::startup(&binary, plan::Detail::Lean);
    let missing: Vec<&str> = plan.missing.iter().map(|missing| missing.hook.name()).collect();
    assert_eq!(missing, ["init"]);
    assert!(plan.missing[0].reason.contains("go1.99.3"), "{:?}", plan.missing);
    assert_eq!(plan.sites.len(), 6, "{:?}", plan.sites);
    walk::walk(&binary);
}

#[test]
fn a_version_of_tomorrow_may_mark_wrappers_otherwise() {
    let binary = open(Image { wrapper: Some(31), ..of_layout(27, "go1.28") });
    let schedinit = binary.functions().named("runtime.schedinit").expect("runtime.schedinit");
    assert_eq!(schedinit.func_id, 0);
    assert_eq!(plan::startup(&binary, plan::Detail::Lean).missing.len(), 1);
}

#[test]
fn functions_that_cannot_be_told_apart_are_not_called_absent() {
    // A version whose mark is known, and a wrapper that has another.
    let binary = open(Image { wrapper: Some(31), ..Image::default() });
    assert!(binary.functions().named("runtime.schedinit").is_none());
    assert_eq!(binary.functions().count_named("runtime.schedinit"), 2);
    let plan = plan::startup(&binary, plan::Detail::Lean);
    let [missing] = &plan.missing[..] else { panic!("{:?}", plan.missing) };
    assert_eq!(missing.hook.name(), "schedinit");
    assert!(missing.reason.contains("2 functions of that name"), "{missing:?}");
}

#[test]
fn an_arm64_programs_entry_is_looked_for_by_its_own_name() {
    let binary = open(Image { arm64: true, ..Image::default() });
    assert_eq!(binary.machine(), Machine::Aarch64);
    let plan = plan::startup(&binary, plan::Detail::Lean);
    assert!(plan.sites.is_empty(), "{:?}", plan.sites);
    let entry = plan.missing.iter().find(|missing| missing.hook.name() == "go_entry").expect("the hook");
    assert_eq!(entry.function, "_rt0_arm64_linux");
    for missing in &plan.missing {
        assert!(missing.reason.contains("x86-64 code only, not in arm64's"), "{missing:?}");
    }
}

#[test]
fn a_version_of_yesterday_is_told_and_not_planned_for() {
    let binary = open(of_layout(19, "go1.17.3"));
    assert_eq!(binary.support(), Support::TooOld);
    assert_eq!(binary.version().raw(), "go1.17.3");
    let error = binary.init_tasks().expect_err("its layout is not known").to_string();
    assert!(error.contains("go1.17.3"), "{error}");
    walk::walk(&binary);
}

/// What UPX leaves: its own segments, without anything of Go's.
#[test]
fn a_packed_program_is_told_by_the_packer() {
    let mut bytes = Image::default().bytes()[..64 + 4 * 56].to_vec();
    bytes[56..58].copy_from_slice(&[0, 0]);
    bytes.extend_from_slice(b"\x12\x34\x56\x78UPX!");
    let error = walk::open(&bytes).expect_err("a packed program").to_string();
    assert!(error.contains("upx -d"), "{error}");
}

#[test]
fn a_table_of_another_go_is_refused_by_the_version_that_built_it() {
    for (version, expected) in [("go1.17.3", "built by go1.17.3"), ("go1.26.6", "unpacked first")] {
        let mut bytes = of_layout(26, version).bytes();
        let magic = [0xf1, 0xff, 0xff, 0xff, 0, 0, 1, 8];
        let at = bytes.windows(8).position(|window| window == magic).expect("the table's header");
        // What Go 1.16 and 1.17 wrote.
        bytes[at] = 0xfa;
        let error = walk::open(&bytes).expect_err("a table that is not known");
        assert_eq!(matches!(error, BinaryError::TooOld { .. }), version == "go1.17.3");
        assert!(error.to_string().contains(expected), "{error}");
    }
}

/// What the fuzz target starts from. `GOTRACE_BLESS=1` writes them anew.
#[test]
fn seeds_are_the_images() {
    let seeds = [
        ("recursive", of_layout(19, "go1.19.8")),
        ("listed", of_layout(27, "go1.27.3")),
        ("relocated", Image { relocated: true, ..of_layout(26, "go1.26.6") }),
        ("without_build_info", Image { build_info: None, ..of_layout(24, "go1.24.11") }),
    ];
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/seeds/gobin");
    for (name, image) in seeds {
        let (path, bytes) = (folder.join(name), image.bytes());
        if std::env::var_os("GOTRACE_BLESS").is_some() {
            std::fs::write(&path, &bytes).expect("the seed can be written");
        }
        let kept = std::fs::read(&path).unwrap_or_default();
        assert!(kept == bytes, "{name} is out of date: run with GOTRACE_BLESS=1");
    }
}
