//! From an address to source lines, through inlined calls (runtime/symtab.go, runtime/symtabinl.go).

use std::fmt;
use std::sync::OnceLock;

use serde::Serialize;

use super::GoBinary;
use super::functions::Function;
use super::layout;
use super::source::u32_at;
use crate::units::VirtAddr;

/// More inlined calls inside each other than the compiler makes.
const DEEPEST: usize = 128;

/// `PATH_MAX` of every system that Go programs are built on.
const LONGEST_PATH: usize = 4096;

/// Where a function's tables of values by address are in its record: pcsp, pcfile and pcln, then pcdata by index.
pub(super) const PC_SP: usize = 16;
const PC_FILE: usize = 20;
const PC_LINE: usize = 24;
const NPCDATA: usize = 28;
const UNIT: usize = 32;

/// `PCDATA_InlTreeIndex` and `FUNCDATA_InlTree` (internal/abi/symtab.go).
const PCDATA_INLINE_INDEX: u32 = 2;
const FUNCDATA_INLINE_TREE: u8 = 3;

/// The parts of the pclntab that only lines need, read when the first line is asked for.
#[derive(Debug, Default)]
pub(super) struct LineTables(OnceLock<Tables>);

#[derive(Debug, Default)]
struct Tables {
    files_by_unit: Vec<u8>,
    files: Vec<u8>,
    pc_values: Vec<u8>,
}

/// One level of the source code that an address belongs to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Frame {
    /// The function.
    pub function: String,
    /// The file, when it is known.
    pub file: Option<String>,
    /// The line; zero when it is not known.
    pub line: u32,
    /// Whether this function was inlined into the next frame's.
    pub inlined: bool,
}

/// `net/http.init server.go:12`: the function, the file's name and the line.
impl fmt::Display for Frame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.function)?;
        match &self.file {
            Some(file) => write!(f, " {}:{}", file.rsplit('/').next().unwrap_or(file), self.line),
            None => Ok(()),
        }
    }
}

impl GoBinary {
    /// The source code that an address belongs to, innermost first; nothing when it is no Go code.
    #[must_use]
    pub fn frames(&self, address: VirtAddr) -> Vec<Frame> {
        let Some(function) = self.functions().containing(address) else { return Vec::new() };
        let mut frames = Vec::new();
        let mut at = address;
        for _ in 0..DEEPEST {
            let (file, line) = self.position(&function, at);
            let Some((name, parent)) = self.inlined_call(&function, at) else {
                frames.push(Frame { function: function.name, file, line, inlined: false });
                break;
            };
            frames.push(Frame { function: name, file, line, inlined: true });
            at = parent;
        }
        frames
    }

    /// The functions that hold an inlined copy of `name`, by name.
    #[must_use]
    pub fn inlined_into(&self, name: &str) -> Vec<String> {
        if !self.functions().has_name(name) {
            return Vec::new();
        }
        // In a program all inline trees together are smaller than the file; elsewhere they may overlap.
        let mut budget = self.source.len;
        let holds = |function: &Function| {
            let tree = self.inline_tree(function, budget);
            budget -= (tree.len() as u64).min(budget);
            tree.chunks_exact(self.inline_entry_size())
                .any(|entry| self.inline_entry(entry).is_some_and(|(called, _)| called == name.as_bytes()))
        };
        self.functions().iter().filter(holds).map(|function| function.name).collect()
    }

    fn position(&self, function: &Function, at: VirtAddr) -> (Option<String>, u32) {
        let value =
            |field| self.value_at(function, self.functions().record_word(function.record, field)?, at);
        let line = value(PC_LINE).and_then(|line| u32::try_from(line).ok()).unwrap_or(0);
        let file = value(PC_FILE).and_then(|file| self.file_name(function, u32::try_from(file).ok()?));
        (file, line)
    }

    fn file_name(&self, function: &Function, file: u32) -> Option<String> {
        let unit = self.functions().record_word(function.record, UNIT)?;
        let index = usize::try_from(unit.checked_add(file)?).ok()?;
        let tables = self.line_tables();
        let offset =
            u32_at(&tables.files_by_unit, index.checked_mul(4)?).filter(|offset| *offset != u32::MAX)?;
        let rest = tables.files.get(usize::try_from(offset).ok()?..)?;
        let rest = &rest[..rest.len().min(LONGEST_PATH)];
        let path = rest.get(..memchr::memchr(0, rest)?)?;
        Some(String::from_utf8_lossy(path).into_owned())
    }

    /// The innermost inlined call at that address: its name, and the address of the call in its caller.
    fn inlined_call(&self, function: &Function, at: VirtAddr) -> Option<(String, VirtAddr)> {
        let index =
            u64::try_from(self.value_at(function, self.pcdata(function, PCDATA_INLINE_INDEX)?, at)?).ok()?;
        let layout = layout::inline(self.pclntab.magic);
        let tree = self.funcdata(function, FUNCDATA_INLINE_TREE)?;
        let entry =
            self.bytes(VirtAddr(tree.0.checked_add(index.checked_mul(layout.size)?)?), layout.size)?;
        let (name, parent) = self.inline_entry(&entry)?;
        let parent = VirtAddr(function.entry.0.checked_add(u64::from(parent))?);
        // A call cannot be its own caller.
        (parent != at && parent < function.end).then(|| (String::from_utf8_lossy(name).into_owned(), parent))
    }

    /// The records of every call inlined into a function; nothing when there are more than `most` bytes.
    fn inline_tree(&self, function: &Function, most: u64) -> Vec<u8> {
        let table = self.pcdata(function, PCDATA_INLINE_INDEX);
        let highest = table.and_then(|table| self.values(function, table).map(|(_, value)| value).max());
        let count = highest.and_then(|highest| u64::try_from(highest).ok()).map_or(0, |highest| highest + 1);
        let len = count * self.inline_entry_size() as u64;
        if len == 0 || len > most {
            return Vec::new();
        }
        self.funcdata(function, FUNCDATA_INLINE_TREE)
            .and_then(|tree| self.bytes(tree, len))
            .unwrap_or_default()
    }

    fn inline_entry_size(&self) -> usize {
        layout::inline(self.pclntab.magic).size as usize
    }

    fn inline_entry(&self, entry: &[u8]) -> Option<(&[u8], u32)> {
        let layout = layout::inline(self.pclntab.magic);
        let name = self.functions().name_at(u32_at(entry, layout.name as usize)? as usize)?;
        Some((name, u32_at(entry, layout.parent_pc as usize)?))
    }

    fn pcdata(&self, function: &Function, index: u32) -> Option<u32> {
        let functions = self.functions();
        let count = functions.record_word(function.record, NPCDATA)?;
        let at = functions.layout().size + 4 * index as usize;
        if index < count { functions.record_word(function.record, at) } else { None }
    }

    /// Function data lies at offsets from `moduledata.gofunc`.
    fn funcdata(&self, function: &Function, index: u8) -> Option<VirtAddr> {
        let functions = self.functions();
        let layout = functions.layout();
        if index >= functions.record_byte(function.record, layout.nfuncdata)? {
            return None;
        }
        let npcdata = functions.record_word(function.record, NPCDATA)? as usize;
        let at = npcdata.checked_mul(4)?.checked_add(layout.size + 4 * usize::from(index))?;
        let offset = functions.record_word(function.record, at)?;
        let base = self.gofunc?;
        (offset != u32::MAX).then(|| VirtAddr(base.wrapping_add(u64::from(offset))))
    }

    pub(super) fn value_at(&self, function: &Function, table: u32, at: VirtAddr) -> Option<i32> {
        self.values(function, table).find(|(end, _)| at.0 < *end).map(|(_, value)| value)
    }

    fn values(&self, function: &Function, table: u32) -> Values<'_> {
        // Place zero stands for no table.
        let bytes = self.line_tables().pc_values.get(table as usize..).filter(|_| table != 0);
        Values {
            bytes: bytes.unwrap_or_default(),
            at: 0,
            value: -1,
            address: function.entry.0,
            end: function.end.0,
            quantum: if self.machine() == super::Machine::X86_64 { 1 } else { 4 },
        }
    }

    fn line_tables(&self) -> &Tables {
        self.line_tables.0.get_or_init(|| {
            let table = &self.pclntab;
            let part = |from: u64, to: u64| {
                let address = table.address.checked_add(from).map(VirtAddr)?;
                self.bytes(address, to.checked_sub(from)?)
            };
            Tables {
                files_by_unit: part(table.files_by_unit, table.files).unwrap_or_default(),
                files: part(table.files, table.pc_values).unwrap_or_default(),
                pc_values: part(table.pc_values, table.table).unwrap_or_default(),
            }
        })
    }
}

/// A table of values by address: pairs of varints, how far the value moves and for how many bytes of code it
/// then holds. Each item says up to which address. It ends with the function, so it is no longer than its code.
struct Values<'a> {
    bytes: &'a [u8],
    at: usize,
    value: i32,
    address: u64,
    end: u64,
    quantum: u64,
}

impl Iterator for Values<'_> {
    type Item = (u64, i32);

    fn next(&mut self) -> Option<(u64, i32)> {
        if self.address >= self.end {
            return None;
        }
        let is_first = self.at == 0;
        let step = varint(self.bytes, &mut self.at).filter(|step| *step != 0 || is_first)?;
        // Zigzag: the lowest bit is the sign.
        self.value = self.value.wrapping_add((step >> 1).cast_signed() ^ -((step & 1).cast_signed()));
        let length = varint(self.bytes, &mut self.at).filter(|length| *length > 0)?;
        self.address = self.address.saturating_add(u64::from(length) * self.quantum);
        Some((self.address, self.value))
    }
}

/// None where the bytes end, or go on for longer than 32 bits need.
fn varint(bytes: &[u8], at: &mut usize) -> Option<u32> {
    let mut value = 0;
    for shift in [0, 7, 14, 21, 28] {
        let byte = *bytes.get(*at)?;
        *at += 1;
        value |= u32::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}
