//! Where the reader finds things in real programs, against their symbol tables.

use std::collections::{BTreeMap, HashMap};

use object::read::elf::ElfFile64;
use object::{LittleEndian, Object as _, ObjectSymbol as _, SymbolKind};

use crate::fixtures::open;
use crate::support::fixtures;

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
        let globals = binary.heap_globals();
        if binary.version().minor() == 20 {
            assert!(globals.is_err(), "{}: its layout was not measured", fixture.name);
            continue;
        }
        let (_, globals) = globals.unwrap_or_else(|error| panic!("{}: {error}", fixture.name));
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
