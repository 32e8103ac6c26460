//! The layouts that gotrace knows, against what the programs' own debug information says.

use std::borrow::Cow;
use std::collections::HashMap;

use gimli::{AttributeValue, DwarfSections, EndianSlice, LittleEndian, SectionId};
use gotrace::target::gobin::{GoBinary, RuntimeLayout};
use object::{Object as _, ObjectSection as _};

use crate::support::fixtures;

type Slice<'a> = EndianSlice<'a, LittleEndian>;
type Members = HashMap<String, u64>;

const STRUCTURES: [&str; 4] = ["runtime.g", "runtime.m", "runtime.gobuf", "runtime.pollDesc"];

/// Every member of the structures, with its offset, by the structure's name.
fn structures(bytes: &[u8]) -> HashMap<String, Members> {
    let file = object::File::parse(bytes).expect("an ELF file");
    let section = |id: SectionId| -> Result<Cow<'_, [u8]>, gimli::Error> {
        let section = file.section_by_name(id.name());
        Ok(section.map_or(Cow::Borrowed(&[][..]), |section| section.uncompressed_data().expect("a section")))
    };
    let sections = DwarfSections::load(section).expect("sections");
    let dwarf = sections.borrow(|bytes| EndianSlice::new(bytes, LittleEndian));
    let mut found = HashMap::new();
    let mut units = dwarf.units();
    while let Some(header) = units.next().expect("a unit") {
        let unit = dwarf.unit(header).expect("a unit");
        let mut entries = unit.entries();
        let mut current: Option<(isize, String)> = None;
        while let Some(entry) = entries.next_dfs().expect("an entry") {
            let name = entry.attr_value(gimli::DW_AT_name).and_then(|value| {
                let text: Slice<'_> = dwarf.attr_string(&unit, value).ok()?;
                Some(text.to_string().ok()?.to_owned())
            });
            let depth = entry.depth();
            if current.as_ref().is_some_and(|(at, _)| depth <= *at) {
                current = None;
            }
            match entry.tag() {
                gimli::DW_TAG_structure_type => {
                    current =
                        name.filter(|name| STRUCTURES.contains(&name.as_str())).map(|name| (depth, name));
                }
                gimli::DW_TAG_member => {
                    let Some((_, structure)) = &current else { continue };
                    let at = entry.attr_value(gimli::DW_AT_data_member_location);
                    let at = at.and_then(|value: AttributeValue<Slice<'_>>| value.udata_value());
                    if let (Some(name), Some(at)) = (name, at) {
                        found.entry(structure.clone()).or_insert_with(Members::new).insert(name, at);
                    }
                }
                _ => {}
            }
        }
    }
    found
}

#[test]
#[ignore = "needs fixtures: cargo xtask test"]
fn every_offset_is_the_one_that_the_debug_information_tells() {
    let builds =
        fixtures().into_iter().filter(|fixture| fixture.program == "nethttp" && fixture.build == "default");
    let mut compared = 0;
    for fixture in builds {
        let binary = GoBinary::open(&fixture.path).expect("a Go program");
        let layout = RuntimeLayout::of(binary.version()).expect("a known layout");
        let told = structures(&std::fs::read(&fixture.path).expect("the fixture"));
        let of = |structure: &str, member: &str| {
            let at = told.get(structure).and_then(|members| members.get(member));
            u32::try_from(*at.unwrap_or_else(|| panic!("{}: no {structure}.{member}", fixture.name)))
                .expect("small")
        };
        let sched = |member: &str| of("runtime.g", "sched") + of("runtime.gobuf", member);
        let (g, m, poll) = (layout.g, layout.m, layout.poll);
        let pairs = [
            (g.m, of("runtime.g", "m")),
            (g.sched_sp, sched("sp")),
            (g.sched_pc, sched("pc")),
            (g.sched_bp, sched("bp")),
            (g.syscallsp, of("runtime.g", "syscallsp")),
            (g.syscallpc, of("runtime.g", "syscallpc")),
            (g.atomicstatus, of("runtime.g", "atomicstatus")),
            (g.goid, of("runtime.g", "goid")),
            (g.waitsince, of("runtime.g", "waitsince")),
            (g.waitreason, of("runtime.g", "waitreason")),
            (g.lockedm, of("runtime.g", "lockedm")),
            (g.gopc, of("runtime.g", "gopc")),
            (g.startpc, of("runtime.g", "startpc")),
            (m.procid, of("runtime.m", "procid")),
            (m.curg, of("runtime.m", "curg")),
            (m.p, of("runtime.m", "p")),
            (m.id, of("runtime.m", "id")),
            (poll.fd, of("runtime.pollDesc", "fd")),
            (poll.rg, of("runtime.pollDesc", "rg")),
            (poll.wg, of("runtime.pollDesc", "wg")),
        ];
        let optional = |member: &str| told["runtime.g"].get(member).and_then(|at| u32::try_from(*at).ok());
        assert_eq!(g.syscallbp, optional("syscallbp"), "{}", fixture.name);
        assert_eq!(g.parent, optional("parentGoid"), "{}", fixture.name);
        for (index, (known, told)) in pairs.into_iter().enumerate() {
            assert_eq!(known, told, "{}: field {index}", fixture.name);
        }
        compared += 1;
    }
    assert!(compared >= 7, "{compared} builds only");
}
