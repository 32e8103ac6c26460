//! What moved between Go versions. Everything else about the tables is the same from 1.19 to 1.27.

/// The Go minor versions whose layouts were checked.
pub(super) const KNOWN: std::ops::RangeInclusive<u32> = 19..=27;

/// The pclntab's first word (cmd/link/internal/ld/pcln.go; internal/abi/symtab.go).
pub(super) const MAGIC_118: u32 = 0xffff_fff0;
/// From Go 1.20 on.
pub(super) const MAGIC_120: u32 = 0xffff_fff1;
/// Go 1.16 and 1.17.
pub(super) const MAGIC_116: u32 = 0xffff_fffa;
/// Go 1.2 to 1.15.
pub(super) const MAGIC_12: u32 = 0xffff_fffb;

/// Where things are in one version's tables.
#[derive(Clone, Copy, Debug)]
pub(super) struct Layout {
    /// `moduledata.gofunc` (runtime/symtab.go).
    pub(super) gofunc: u64,
    /// `moduledata.inittasks`, a slice; up to Go 1.20 there is none.
    pub(super) init_tasks: Option<u64>,
    /// `funcID_wrapper` (internal/abi/symtab.go): marks the ABI wrappers that share their function's name.
    pub(super) wrapper: u8,
}

/// The layout of a Go minor version; none when it is not known.
pub(super) fn of(minor: u32) -> Option<Layout> {
    let (gofunc, init_tasks, wrapper) = match minor {
        19 => (304, None, 21),
        // Go 1.20 put `covctrs` and `ecovctrs` before it.
        20 => (320, None, 21),
        21 => (320, Some(464), 21),
        22..=24 => (320, Some(464), 22),
        25 => (320, Some(464), 23),
        26 => (320, Some(472), 23),
        27 => (344, Some(448), 23),
        _ => return None,
    };
    Some(Layout { gofunc, init_tasks, wrapper })
}

/// `moduledata`'s fields that have not moved since Go 1.18 (runtime/symtab.go).
pub(super) mod moduledata {
    /// `pclntable`, a slice: the function table with the functions' records.
    pub(in super::super) const PCLNTABLE: usize = 104;
    /// `ftab`, a slice.
    pub(in super::super) const FTAB: usize = 128;
    /// `minpc`
    pub(in super::super) const MINPC: usize = 160;
    /// `maxpc`
    pub(in super::super) const MAXPC: usize = 168;
    /// `text`: what the tables' code offsets count from. Not the section of that name.
    pub(in super::super) const TEXT: usize = 176;
    /// As much of it as gotrace reads at once.
    pub(in super::super) const SIZE: u64 = 192;
}

/// Where a `_func` record keeps what (runtime/runtime2.go).
#[derive(Clone, Copy, Debug)]
pub(super) struct FuncLayout {
    pub(super) start_line: Option<usize>,
    pub(super) func_id: usize,
    pub(super) nfuncdata: usize,
    pub(super) size: usize,
}

/// By the pclntab's magic: Go 1.20 added `startLine`.
pub(super) fn func(magic: u32) -> FuncLayout {
    if magic == MAGIC_118 {
        FuncLayout { start_line: None, func_id: 36, nfuncdata: 39, size: 40 }
    } else {
        FuncLayout { start_line: Some(36), func_id: 40, nfuncdata: 43, size: 44 }
    }
}

/// An inlined call's record in a function's inline tree (runtime/symtabinl.go).
#[derive(Clone, Copy, Debug)]
pub(super) struct InlineLayout {
    pub(super) name: u64,
    pub(super) parent_pc: u64,
    pub(super) start_line: Option<usize>,
    pub(super) size: u64,
}

/// By the pclntab's magic: Go 1.20 dropped file, line and parent, and added `startLine`.
pub(super) fn inline(magic: u32) -> InlineLayout {
    if magic == MAGIC_118 {
        InlineLayout { name: 12, parent_pc: 16, start_line: None, size: 20 }
    } else {
        InlineLayout { name: 4, parent_pc: 8, start_line: Some(12), size: 16 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_known_version_has_a_layout_and_no_other() {
        for minor in 0..64 {
            assert_eq!(of(minor).is_some(), KNOWN.contains(&minor), "1.{minor}");
        }
    }
}
