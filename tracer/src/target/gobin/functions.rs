//! The functions that the table lists: names and bounds, whatever was stripped.

use super::elf::Elf;
use super::error::BinaryError;
use super::layout::{self, FuncLayout};
use super::pclntab::Pclntab;
use super::source::{Source, u32_at};
use crate::units::VirtAddr;

/// Where a function's record keeps its name's place (runtime/runtime2.go, `_func.nameOff`).
const NAME: usize = 4;

/// Longer than the longest name. Generic functions are named with the whole shape of their type arguments,
/// each field of a structure written out.
const LONGEST_NAME: usize = 1 << 16;

/// A function of the program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Function {
    /// Its name, as Go writes it: `net/http.(*Server).Serve`.
    pub name: String,
    /// Its first instruction.
    pub entry: VirtAddr,
    /// Where the next function begins.
    pub end: VirtAddr,
    /// What the runtime takes it for (`internal/abi.FuncID`).
    pub func_id: u8,
    /// Its record in the table.
    pub(super) record: usize,
}

/// All functions, in the order of their addresses.
#[derive(Debug)]
pub struct Functions {
    names: Vec<u8>,
    table: Vec<u8>,
    count: usize,
    text: u64,
    layout: FuncLayout,
    /// The function ID of ABI wrappers, once it is known.
    wrapper: Option<u8>,
}

impl Functions {
    pub(super) fn read(source: &Source, elf: &Elf, pclntab: &Pclntab) -> Result<Self, BinaryError> {
        let part = |from: u64, len: u64| elf.bytes(source, VirtAddr(pclntab.address + from), len);
        let functions = Self {
            names: part(pclntab.names, pclntab.files_by_unit - pclntab.names)?,
            table: part(pclntab.table, pclntab.table_len)?,
            count: pclntab.functions as usize,
            text: pclntab.text,
            layout: layout::func(pclntab.magic),
            wrapper: None,
        };
        // So the code of all functions together is no longer than the file.
        let code = elf.segment_of(VirtAddr(pclntab.text)).filter(|segment| segment.executable);
        let room = code.map_or(0, |segment| segment.file_size - (pclntab.text - segment.address));
        let last = functions.code_offset(functions.count);
        if last.is_none_or(|last| u64::from(last) > room) {
            return Err(source.malformed("functions outside its code"));
        }
        let mut previous = 0;
        for index in 0..=functions.count {
            // The order makes every later search right, and every length positive.
            match functions.code_offset(index) {
                Some(offset) if offset >= previous => previous = offset,
                _ => return Err(source.malformed("a function table out of order")),
            }
        }
        // Names are written once each, and at most a function and its wrappers share one. Longer together than
        // their table they are only where they overlap, to waste memory.
        let mut room = functions.names.len().saturating_mul(4);
        for index in 0..functions.count {
            let len = functions.name_of(index).map_or(0, <[u8]>::len);
            room = room.checked_sub(len).ok_or_else(|| source.malformed("names that overlap"))?;
        }
        Ok(functions)
    }

    /// Once the version is known.
    pub(super) fn set_wrapper(&mut self, wrapper: Option<u8>) {
        self.wrapper = wrapper;
    }

    /// What marks wrappers, as the table itself shows: the linker writes a function and its wrapper under one
    /// name, so most pairs of namesakes have the mark on one side. Zero stands for any ordinary function.
    pub(super) fn mark_of_pairs(&self) -> Option<u8> {
        let row = |index| {
            let mark = self.record_byte(self.record(index)?, self.layout.func_id)?;
            Some((self.name_of(index)?, mark))
        };
        let mut marks: Vec<(&[u8], u8)> = (0..self.count).filter_map(row).collect();
        marks.sort_unstable();
        let mut pairs = [0_usize; 256];
        for namesakes in marks.chunk_by(|(name, _), (next, _)| name == next) {
            if let [(_, first), (_, second)] = namesakes
                && first != second
            {
                pairs[usize::from(*first)] += 1;
                pairs[usize::from(*second)] += 1;
            }
        }
        (1..=u8::MAX)
            .max_by_key(|mark| pairs[usize::from(*mark)])
            .filter(|mark| pairs[usize::from(*mark)] > 0)
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.count
    }

    /// Whether there is none; no Go program is like that.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Every function, in the order of their addresses.
    pub fn iter(&self) -> impl Iterator<Item = Function> {
        (0..self.count).filter_map(|index| self.at(index))
    }

    /// The function of that name. The linker gives a function and the wrapper that other calling
    /// conventions enter it by the same name; this is never the wrapper.
    #[must_use]
    pub fn named(&self, name: &str) -> Option<Function> {
        let mut found = self.candidates(name);
        let function = found.next()?;
        // Two that remain cannot be told apart.
        found.next().is_none().then_some(function)
    }

    /// How many functions have that name, not counting wrappers.
    #[must_use]
    pub fn count_named(&self, name: &str) -> usize {
        self.candidates(name).count()
    }

    fn candidates(&self, name: &str) -> impl Iterator<Item = Function> {
        self.all_named(name).filter(|function| Some(function.func_id) != self.wrapper)
    }

    /// The function of that name and its wrappers.
    pub(super) fn all_named(&self, name: &str) -> impl Iterator<Item = Function> {
        let name = name.as_bytes();
        (0..self.count).filter(move |index| self.is_named(*index, name)).filter_map(|index| self.at(index))
    }

    /// The function that holds that address.
    #[must_use]
    pub fn containing(&self, address: VirtAddr) -> Option<Function> {
        let function = self.at(self.index_of(address)?)?;
        (address < function.end).then_some(function)
    }

    /// The function that begins at that address.
    pub(super) fn entered_at(&self, address: VirtAddr) -> Option<Function> {
        self.at(self.index_of(address)?).filter(|function| function.entry == address)
    }

    /// Whether a function begins at that address.
    pub(super) fn is_entry(&self, address: VirtAddr) -> bool {
        let begin = self.index_of(address).and_then(|index| self.code_offset(index));
        begin.is_some_and(|offset| self.text.checked_add(u64::from(offset)) == Some(address.0))
    }

    /// The last function that begins at or before that address.
    fn index_of(&self, address: VirtAddr) -> Option<usize> {
        let offset = u32::try_from(address.0.checked_sub(self.text)?).ok()?;
        let (mut low, mut high) = (0, self.count);
        while low < high {
            let middle = usize::midpoint(low, high);
            if self.code_offset(middle)? <= offset { low = middle + 1 } else { high = middle }
        }
        low.checked_sub(1)
    }

    /// Compares in place: most names differ within a few bytes.
    fn is_named(&self, index: usize, name: &[u8]) -> bool {
        let offset = self.record(index).and_then(|record| self.record_word(record, NAME));
        let found = offset.and_then(|offset| self.names.get(usize::try_from(offset).ok()?..));
        found.is_some_and(|found| found.starts_with(name) && found.get(name.len()) == Some(&0))
    }

    /// Whether the table of names has that name; of a function, or of one that was inlined wherever it was
    /// called.
    pub(super) fn has_name(&self, name: &str) -> bool {
        let name = name.as_bytes();
        memchr::memmem::find_iter(&self.names, name).any(|at| {
            self.names.get(at + name.len()) == Some(&0) && (at == 0 || self.names.get(at - 1) == Some(&0))
        })
    }

    /// The name at that place in the table of names.
    pub(super) fn name_at(&self, offset: usize) -> Option<&[u8]> {
        let rest = self.names.get(offset..)?;
        let rest = &rest[..rest.len().min(LONGEST_NAME)];
        rest.get(..memchr::memchr(0, rest)?)
    }

    /// A word of a function's record.
    pub(super) fn record_word(&self, record: usize, at: usize) -> Option<u32> {
        u32_at(&self.table, record.checked_add(at)?)
    }

    /// A byte of a function's record.
    pub(super) fn record_byte(&self, record: usize, at: usize) -> Option<u8> {
        self.table.get(record.checked_add(at)?).copied()
    }

    pub(super) fn layout(&self) -> FuncLayout {
        self.layout
    }

    fn at(&self, index: usize) -> Option<Function> {
        let record = self.record(index)?;
        Some(Function {
            name: String::from_utf8_lossy(self.name_of(index)?).into_owned(),
            entry: VirtAddr(self.text + u64::from(self.code_offset(index)?)),
            end: VirtAddr(self.text + u64::from(self.code_offset(index + 1)?)),
            func_id: self.record_byte(record, self.layout.func_id)?,
            record,
        })
    }

    fn name_of(&self, index: usize) -> Option<&[u8]> {
        let offset = self.record_word(self.record(index)?, NAME)?;
        self.name_at(usize::try_from(offset).ok()?)
    }

    /// The table begins with a pair for each function: where its code begins, and where its record is.
    fn code_offset(&self, index: usize) -> Option<u32> {
        u32_at(&self.table, index.checked_mul(8)?)
    }

    fn record(&self, index: usize) -> Option<usize> {
        usize::try_from(u32_at(&self.table, index.checked_mul(8)?.checked_add(4)?)?).ok()
    }
}
