//! From an address to source lines, through inlined calls (runtime/symtab.go, runtime/symtabinl.go).

use std::sync::OnceLock;

use serde::Serialize;

use super::GoBinary;
use super::functions::Function;
use super::layout;
use super::source::u32_at;
use crate::units::VirtAddr;

/// More inlined calls inside each other than the compiler makes.
const DEEPEST: usize = 128;

/// Where a function's tables of values by address are in its record: pcfile and pcln, then pcdata by index.
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
        let holds = |function: &Function| {
            let calls = self.inline_tree(function);
            calls.into_iter().any(|(called, _)| called == name.as_bytes())
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

    /// Every call inlined into a function: the name, and the call's offset in its caller.
    fn inline_tree(&self, function: &Function) -> Vec<(&[u8], u32)> {
        let layout = layout::inline(self.pclntab.magic);
        let highest = self
            .pcdata(function, PCDATA_INLINE_INDEX)
            .and_then(|table| self.values(function, table).into_iter().map(|(_, value)| value).max());
        let (Some(highest), Some(tree)) = (highest, self.funcdata(function, FUNCDATA_INLINE_TREE)) else {
            return Vec::new();
        };
        let Ok(count) = u64::try_from(highest.saturating_add(1)) else { return Vec::new() };
        // The compiler's limit on a function's size bounds its calls.
        let Some(bytes) = self.bytes(tree, count.min(1 << 16) * layout.size) else { return Vec::new() };
        bytes.chunks_exact(layout.size as usize).filter_map(|entry| self.inline_entry(entry)).collect()
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

    fn value_at(&self, function: &Function, table: u32, at: VirtAddr) -> Option<i32> {
        self.values(function, table).into_iter().find(|(end, _)| at.0 < *end).map(|(_, value)| value)
    }

    /// A table of values by address: pairs of varints, how far the value moves and for how many bytes of
    /// code it then holds. Each pair here says up to which address.
    fn values(&self, function: &Function, table: u32) -> Vec<(u64, i32)> {
        let mut values = Vec::new();
        let bytes = self.line_tables().pc_values.get(table as usize..).unwrap_or_default();
        if table == 0 {
            return values;
        }
        let quantum = if self.machine() == super::Machine::X86_64 { 1 } else { 4 };
        let (mut at, mut value, mut address) = (0, -1_i32, function.entry.0);
        while let Some(step) = varint(bytes, &mut at) {
            if step == 0 && !values.is_empty() {
                break;
            }
            // Zigzag: the lowest bit is the sign.
            let step = (step >> 1).cast_signed() ^ -((step & 1).cast_signed());
            value = value.wrapping_add(step);
            let Some(length) = varint(bytes, &mut at).filter(|length| *length > 0) else { break };
            address = address.saturating_add(u64::from(length) * quantum);
            values.push((address, value));
            if address >= function.end.0 {
                break;
            }
        }
        values
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

fn varint(bytes: &[u8], at: &mut usize) -> Option<u32> {
    let (mut value, mut shift) = (0_u32, 0);
    loop {
        let byte = *bytes.get(*at)?;
        *at += 1;
        value |= u32::from(byte & 0x7f).checked_shl(shift).unwrap_or(0);
        if byte & 0x80 == 0 {
            return Some(value);
        }
        shift += 7;
    }
}
