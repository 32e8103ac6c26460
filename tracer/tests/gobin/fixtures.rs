//! What the reader says of real programs, against what Go itself and the symbol table say of them.

use std::collections::{BTreeMap, HashMap};
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use gotrace::probe::plan;
use gotrace::target::gobin::{GoBinary, Machine, SiteKind, Support, VersionSource};
use object::read::elf::ElfFile64;
use object::{LittleEndian, Object as _, ObjectSymbol as _, SymbolKind};

use crate::support::{Fixture, fixtures, fixtures_of, inittrace};
use crate::{memory, walk};

/// Functions that gotrace looks for, or will, and others of every kind: assembly, wrapped, never returning.
const WELL_KNOWN: [&str; 23] = [
    "main.main",
    "runtime.bgsweep",
    "runtime.chanrecv",
    "runtime.chansend",
    "runtime.doInit1",
    "runtime.execute",
    "runtime.exit",
    "runtime.gcStart",
    "runtime.gcenable",
    "runtime.gogo",
    "runtime.gopark",
    "runtime.main",
    "runtime.mallocgc",
    "runtime.mcall",
    "runtime.morestack",
    "runtime.mstart",
    "runtime.newproc",
    "runtime.park_m",
    "runtime.ready",
    "runtime.rt0_go",
    "runtime.schedinit",
    "runtime.schedule",
    "runtime.sysmon",
];

fn open(fixture: &Fixture) -> GoBinary {
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
            Some(version) => assert_eq!(binary.version().raw(), format!("go{version}"), "{}", fixture.name),
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
fn every_hook_has_a_site_that_the_kernel_emulates() {
    for fixture in fixtures() {
        let binary = open(&fixture);
        let plan = plan::startup(&binary, plan::Detail::Lean);
        assert!(plan.missing.is_empty(), "{}: {:?}", fixture.name, plan.missing);
        let bytes = std::fs::read(&fixture.path).expect("a program");
        for planned in &plan.sites {
            let site = &planned.site;
            let at = usize::try_from(site.file_offset.0).expect("an offset");
            assert_eq!(bytes.get(at..at + site.bytes.len()), Some(&site.bytes[..]), "{}", fixture.name);
            if binary.version().minor() < 21 {
                continue;
            }
            assert!(site.emulated, "{}: {planned:?}", fixture.name);
            let expected: &[SiteKind] = match planned.hook.name() {
                "go_entry" => &[SiteKind::Entry],
                "schedinit_done" => &[SiteKind::AfterCall],
                _ => &[SiteKind::FramePush],
            };
            assert!(expected.contains(&site.kind), "{}: {planned:?}", fixture.name);
            let is_right = match site.kind {
                SiteKind::FramePush => site.bytes == [0x55],
                SiteKind::Entry => matches!(site.bytes[0], 0xe9 | 0xeb),
                _ => matches!(site.bytes[0], 0xe8 | 0x50..=0x57),
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

/// The version in a program's build information, made another of the same length.
fn patched(fixture: &Fixture, minor: &str) -> Option<(Vec<u8>, String)> {
    let version = format!("go{}", fixture.go.as_ref()?);
    let mut parts: Vec<&str> = version.splitn(3, '.').collect();
    parts[1] = minor;
    let (other, mut bytes) = (parts.join("."), std::fs::read(&fixture.path).expect("a program"));
    let block = bytes.windows(14).position(|window| window == b"\xff Go buildinf:")?;
    // Behind the block's header and the version's length.
    let at = block + 33;
    let place = bytes.get_mut(at..at + version.len()).filter(|place| *place == version.as_bytes())?;
    place.copy_from_slice(other.as_bytes());
    Some((bytes, other))
}

#[test]
#[ignore = "needs fixtures: cargo xtask test"]
fn versions_of_tomorrow_offer_all_but_inits() {
    let mut patches = 0;
    for fixture in fixtures_of("nethttp") {
        let Some((bytes, version)) = patched(&fixture, "99") else { continue };
        let binary = walk::open(&bytes).unwrap_or_else(|error| panic!("{}: {error}", fixture.name));
        assert_eq!((binary.version().raw(), binary.support()), (version.as_str(), Support::TooNew));
        let plan = plan::startup(&binary, plan::Detail::Lean);
        let missing: Vec<&str> = plan.missing.iter().map(|missing| missing.hook.name()).collect();
        assert_eq!(missing, ["init"], "{}: {:?}", fixture.name, plan.missing);
        patches += 1;
    }
    assert!(patches > 0, "no fixture with build information");
}

#[test]
#[ignore = "needs fixtures: cargo xtask test"]
fn functions_are_where_the_symbol_table_has_them() {
    for fixture in fixtures() {
        let bytes = std::fs::read(&fixture.path).expect("a program");
        let symbols = symbols(&bytes);
        if symbols.is_empty() {
            continue;
        }
        let binary = open(&fixture);
        // Functions in assembly are entered by the old calling convention, and the symbol's name says so.
        let address =
            |name: &str| symbols.get(name).or_else(|| symbols.get(&format!("{name}.abi0"))).copied();
        for name in WELL_KNOWN {
            let found = binary.functions().named(name).map(|function| function.entry.0);
            assert_eq!(found, address(name), "{}: {name}", fixture.name);
            assert!(found.is_some(), "{}: {name}", fixture.name);
        }
        let mut places: HashMap<String, Vec<u64>> = HashMap::new();
        for function in binary.functions().iter() {
            places.entry(function.name).or_default().push(function.entry.0);
        }
        // Of namesakes one is the wrapper; and only the symbol table keeps the type arguments in names.
        let of_go = |name: &str| name.starts_with("main.") || name.starts_with("net/http.");
        for (name, at) in symbols.iter().filter(|(name, _)| of_go(name) && !name.contains('[')) {
            let name = name.trim_end_matches(".abi0");
            assert!(places.get(name).is_some_and(|all| all.contains(at)), "{}: {name}", fixture.name);
        }
    }
}

/// The allocator's variables, found in the code alone; also in programs without a symbol table, where nothing
/// says more than that they were found.
#[test]
#[ignore = "needs fixtures: cargo xtask test"]
fn the_allocators_counters_are_where_the_symbol_table_has_them() {
    for fixture in fixtures() {
        let binary = open(&fixture);
        let (_, globals) = binary.heap_globals().unwrap_or_else(|error| panic!("{}: {error}", fixture.name));
        let bytes = std::fs::read(&fixture.path).expect("a program");
        let file = ElfFile64::<LittleEndian>::parse(&*bytes).expect("an ELF file");
        for (name, found) in [
            ("runtime.memstats", globals.memstats),
            ("runtime.gcController", globals.gc_controller),
            ("runtime.allp", globals.allp),
        ] {
            let symbol = file.symbols().find(|symbol| symbol.name() == Ok(name));
            assert_eq!(symbol.is_some(), !binary.linking().stripped, "{}: {name}", fixture.name);
            assert!(symbol.is_none_or(|at| at.address() == found.0), "{}: {name}", fixture.name);
        }
    }
}

/// The functions of `.symtab`; nothing when the program is stripped.
fn symbols(bytes: &[u8]) -> BTreeMap<String, u64> {
    let file = ElfFile64::<LittleEndian>::parse(bytes).expect("an ELF file");
    file.symbols()
        .filter(|symbol| symbol.kind() == SymbolKind::Text && symbol.is_definition())
        .filter_map(|symbol| Some((symbol.name().ok()?.to_owned(), symbol.address())))
        .collect()
}

#[test]
#[ignore = "needs fixtures: cargo xtask test"]
fn lines_are_those_of_addr2line() {
    let mut compared = 0;
    for fixture in fixtures_of("nethttp").into_iter().filter(|fixture| fixture.build == "default") {
        let version = fixture.go.clone().unwrap_or_default();
        // The toolchains that built the fixtures lie beside them.
        let cache = fixture.path.ancestors().nth(3).expect("the fixtures' folder");
        let root = cache.join("go").join(&version).join("go");
        if !root.join("bin/go").exists() {
            continue;
        }
        let binary = open(&fixture);
        let mut places = Vec::new();
        for name in
            ["main.main", "runtime.main", "runtime.schedinit", "net/http.(*Server).Serve", "fmt.Fprintf"]
        {
            let Some(function) = binary.functions().named(name) else { continue };
            let len = function.end.0 - function.entry.0;
            places.extend((0..len).step_by(11).map(|into| function.entry.0 + into));
        }
        assert!(places.len() > 100, "{}", fixture.name);
        let answers = addr2line(&root, cache, &fixture.path, &places);
        assert_eq!(answers.len(), places.len(), "{}", fixture.name);
        for (at, (function, position)) in places.into_iter().zip(answers) {
            let frames = binary.frames(gotrace::units::VirtAddr(at));
            let (inner, outer) = (frames.first().expect("a frame"), frames.last().expect("a frame"));
            assert_eq!(outer.function, function, "{} {at:#x}", fixture.name);
            assert!(!outer.inlined, "{} {at:#x} {frames:?}", fixture.name);
            // Between functions there is padding, of no line.
            let ours = match &inner.file {
                Some(file) => format!("{file}:{}", inner.line),
                None => ":-1".to_owned(),
            };
            assert_eq!(ours, position.replace("?:0", ":-1"), "{} {at:#x} {frames:?}", fixture.name);
        }
        compared += 1;
    }
    if compared == 0 {
        eprintln!("not compared: no Go toolchain lies beside the fixtures");
    }
}

/// Function and `file:line` for each address.
fn addr2line(root: &Path, cache: &Path, program: &Path, places: &[u64]) -> Vec<(String, String)> {
    let mut command = Command::new(root.join("bin/go"));
    command
        .args(["tool", "addr2line"])
        .arg(program)
        .env("GOROOT", root)
        .env("GOCACHE", cache.join("go-build"));
    command.env("GOTOOLCHAIN", "local").env("GOPROXY", "off").env("GOFLAGS", "-mod=mod");
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("the Go toolchain runs");
    let mut input = child.stdin.take().expect("its input");
    let asked: String = places.iter().map(|at| format!("{at:#x}\n")).collect();
    let writer = std::thread::spawn(move || input.write_all(asked.as_bytes()));
    let output = child.wait_with_output().expect("addr2line ends");
    writer.join().expect("a writer").expect("addr2line reads what it is asked");
    let text = String::from_utf8(output.stdout).expect("text");
    let lines: Vec<&str> = text.lines().collect();
    lines.chunks_exact(2).map(|pair| (pair[0].to_owned(), pair[1].to_owned())).collect()
}

/// A generator that gives the same numbers on every machine.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, end: usize) -> usize {
        // xorshift64*
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let number = self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 16;
        usize::try_from(number).expect("a number") % end
    }
}

#[test]
#[ignore = "needs fixtures: cargo xtask test"]
fn damage_to_real_programs_does_no_harm() {
    let mut numbers = Numbers(0x9e37_79b9_7f4a_7c15);
    let programs = fixtures();
    let is_chosen = |fixture: &&Fixture| {
        fixture.program == "esbuild"
            || (fixture.program == "nethttp"
                && fixture.build == "pie"
                && fixture.go.as_deref() > Some("1.25"))
    };
    for fixture in programs.iter().filter(is_chosen) {
        let whole = std::fs::read(&fixture.path).expect("a program");
        let tables = tables(&whole);
        for round in 0..300 {
            let mut bytes = whole.clone();
            for _ in 0..=numbers.below(64) {
                // Three times of four in the headers or in a table.
                let at = match numbers.below(4) {
                    0 => numbers.below(bytes.len()),
                    1 => numbers.below(1024),
                    _ => {
                        let (from, len) = tables[numbers.below(tables.len())];
                        from + numbers.below(len)
                    }
                };
                let extremes = [0, 0xff, 0x7f, 0x80, 1];
                bytes[at] = match numbers.below(3) {
                    0 => extremes[numbers.below(extremes.len())],
                    1 => bytes[at] ^ (1 << numbers.below(8)),
                    _ => u8::try_from(numbers.below(256)).expect("a byte"),
                };
            }
            survives(&fixture.name, &bytes, round);
        }
        for round in 0..100 {
            let len = numbers.below(whole.len());
            survives(&fixture.name, &whole[..len], round);
        }
    }
}

fn survives(name: &str, bytes: &[u8], round: usize) {
    let began = Instant::now();
    let (_, peak) = memory::peak_of(|| walk::walk_bytes(bytes));
    assert!(began.elapsed() <= Duration::from_secs(2), "{name} {round}: {:?}", began.elapsed());
    assert!(peak <= 4 * bytes.len() + (32 << 20), "{name} {round}: {peak} bytes");
}

/// The places worth damaging: where the function table's header, its parts' begins and the module data are.
fn tables(bytes: &[u8]) -> Vec<(usize, usize)> {
    let magic = [0xf1, 0xff, 0xff, 0xff, 0, 0, 1, 8];
    let header = bytes.windows(8).position(|window| window == magic).expect("a function table");
    let word = |at: usize| {
        let bytes: [u8; 8] = bytes[at..at + 8].try_into().expect("eight bytes");
        usize::try_from(u64::from_le_bytes(bytes)).expect("an offset")
    };
    let mut tables = vec![(header, 72)];
    for index in 3..8 {
        tables.push((header + word(header + 8 + 8 * index), 4096));
    }
    let table = header + word(header + 64);
    // Every record of the first functions, and the data behind: module data and the inits.
    tables.push((table, 1 << 16));
    let data = bytes.windows(16).position(|window| window.starts_with(b"\xff Go buildinf:"));
    tables.extend(data.map(|data| (data, 4096)));
    tables
}
