//! What the file tells about the program's memory once it runs: where to look, and how a stack is unwound.

use super::GoBinary;
use super::code;
use super::lines::PC_SP;
use super::source::u64_at;
use crate::units::VirtAddr;

/// The functions that read or write `runtime.allgs`, the list of all goroutines (runtime/proc.go). With profile
/// guided optimisation one may be inlined into the next.
const GOROUTINE_LIST: [&str; 5] = [
    "runtime.allgadd",
    "runtime.newproc1",
    "runtime.forEachGRace",
    "runtime.checkdead",
    "runtime.tracebackothers",
];

/// Places that must look in memory as in the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Landmarks {
    /// Where the program begins.
    pub entry: VirtAddr,
    /// `runtime.firstmoduledata`: begins with the address of the function table.
    pub moduledata: VirtAddr,
    /// The word there in the file: what it is in memory before the dynamic linker has filled it in.
    pub unlinked: u64,
    /// The function table (pclntab).
    pub pclntab: VirtAddr,
    /// Its first four bytes.
    pub magic: u32,
}

impl GoBinary {
    /// Places by which to tell that this is the program in some memory.
    #[must_use]
    pub fn landmarks(&self) -> Landmarks {
        Landmarks {
            entry: self.entry(),
            moduledata: self.pclntab.moduledata,
            unlinked: self
                .bytes(self.pclntab.moduledata, 8)
                .and_then(|word| u64_at(&word, 0))
                .unwrap_or(self.pclntab.address),
            pclntab: VirtAddr(self.pclntab.address),
            magic: self.pclntab.magic,
        }
    }

    /// Where the address of the list of all goroutines may be kept: every variable that the functions which
    /// work with the list refer to. Which one it is shows in the memory of a process.
    #[must_use]
    pub fn goroutine_list_candidates(&self) -> Vec<VirtAddr> {
        let mut places: Vec<VirtAddr> =
            GOROUTINE_LIST.iter().flat_map(|function| code::references(self, function)).collect();
        places.sort_unstable();
        places.dedup();
        places.retain(|at| at.0.is_multiple_of(8));
        places
    }

    /// How many bytes the function that holds that address has pushed and reserved on its stack when the
    /// instruction there runs: so far above the stack pointer is its return address. None when that is no Go
    /// code (runtime/symtab.go, `funcspdelta`).
    #[must_use]
    pub fn frame_size(&self, at: VirtAddr) -> Option<u64> {
        let function = self.functions().containing(at)?;
        let table = self.functions().record_word(function.record, PC_SP)?;
        u64::try_from(self.value_at(&function, table, at)?).ok()
    }

    /// How many bytes of a task tell its state: up to Go 1.20 a word, then half a one (runtime/proc.go).
    #[must_use]
    pub fn init_state_size(&self) -> usize {
        if self.layout().is_ok_and(|layout| layout.init_tasks.is_none()) { 8 } else { 4 }
    }
}
