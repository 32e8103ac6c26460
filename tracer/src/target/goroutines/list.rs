//! The runtime's list of all goroutines, `runtime.allgs` (runtime/proc.go, `allgadd`): it only grows.

use super::super::gobin::{GoBinary, RuntimeLayout};
use super::super::goroutine::Raw;
use super::super::memory::Memory;
use super::super::unwind::LoadedCode;
use super::walk::Walk;
use super::{GoroutineError, Goroutines, Limits};
use crate::units::{RuntimeAddr, VirtAddr};

/// No process has room for more goroutines: each has at least 2 KiB of stack.
const MOST: u64 = 1 << 36;

/// Where one process keeps the list of its goroutines.
#[derive(Clone, Copy, Debug)]
pub struct GoroutineList<'a> {
    place: RuntimeAddr,
    binary: &'a GoBinary,
    bias: u64,
    layout: RuntimeLayout,
}

/// What tells the list in every process of a binary.
#[derive(Clone, Debug)]
pub(super) struct ListPlaces {
    candidates: Vec<VirtAddr>,
    /// `runtime.main`
    main: VirtAddr,
    pub(super) layout: RuntimeLayout,
}

/// The three words of a Go slice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Slice {
    array: u64,
    len: u64,
    capacity: u64,
}

impl<'a> GoroutineList<'a> {
    /// Finds it; none when the runtime has not made the first goroutine yet. Of the variables that the functions
    /// which work with the list refer to it is the one that is a list, and whose first goroutine is main's.
    ///
    /// # Errors
    /// When the runtime's layout is not known, or its memory is not as expected.
    pub fn find(
        binary: &'a GoBinary,
        bias: u64,
        memory: &impl Memory,
    ) -> Result<Option<Self>, GoroutineError> {
        let places = ListPlaces::of(binary)?;
        let found = places.find(bias, memory)?;
        Ok(found.map(|place| Self { place, binary, bias, layout: places.layout }))
    }

    /// Reads all goroutines, while the program goes on.
    ///
    /// # Errors
    /// When the list itself cannot be read; what of it cannot is counted.
    pub fn read(&self, memory: &impl Memory, limits: Limits) -> Result<Goroutines, GoroutineError> {
        let code = LoadedCode { binary: self.binary, bias: self.bias };
        let (addresses, beyond) = addresses(memory, self.place, limits.listed)?;
        let walk = Walk::new(memory, code, self.layout, self.binary.version(), limits);
        Ok(Goroutines { beyond, ..walk.read(addresses) })
    }
}

impl ListPlaces {
    /// The variables that may be it.
    pub(super) fn of(binary: &GoBinary) -> Result<Self, GoroutineError> {
        let layout =
            binary.runtime_layout().ok_or_else(|| GoroutineError::Layout(binary.version().to_string()))?;
        let main = binary.functions().named("runtime.main").ok_or(GoroutineError::NoList)?.entry;
        let candidates = binary.goroutine_list_candidates();
        if candidates.is_empty() {
            return Err(GoroutineError::NoList);
        }
        Ok(Self { candidates, main, layout })
    }

    /// The one that it is in a process.
    pub(super) fn find(
        &self,
        bias: u64,
        memory: &impl Memory,
    ) -> Result<Option<RuntimeAddr>, GoroutineError> {
        let main = self.main.0.wrapping_add(bias);
        // The code refers to the length and the capacity as well, each by its own address.
        let is_slice = |place: u64| {
            let follows =
                |word: &u64| self.candidates.iter().any(|other| other.0 == place.wrapping_add(*word));
            [8, 16].iter().all(follows)
        };
        let begins_with_main = |place: &RuntimeAddr| {
            let Some(slice) = Slice::read(memory, *place) else { return false };
            let first = memory.u64(RuntimeAddr(slice.array));
            first.and_then(|first| Raw::read(memory, first, self.layout)).is_ok_and(|raw| raw.is_main(main))
        };
        let places = self.candidates.iter().filter(|place| is_slice(place.0));
        let places: Vec<RuntimeAddr> =
            places.map(|place| RuntimeAddr(place.0.wrapping_add(bias))).filter(begins_with_main).collect();
        match places[..] {
            [] => Ok(None),
            [place] => Ok(Some(place)),
            _ => Err(GoroutineError::Disagreement),
        }
    }
}

impl Slice {
    /// None when it is not one, or not at this moment: the program may be writing its words.
    pub(super) fn read(memory: &impl Memory, place: RuntimeAddr) -> Option<Self> {
        let mut words = [0; 24];
        memory.read(place, &mut words).ok()?;
        let word = |at: usize| words[at..at + 8].try_into().map_or(0, u64::from_le_bytes);
        let slice = Self { array: word(0), len: word(8), capacity: word(16) };
        let is_one = slice.array != 0 && (1..=slice.capacity).contains(&slice.len) && slice.capacity <= MOST;
        is_one.then_some(slice)
    }
}

/// The addresses in the list, in order and each once, and how many more there are than `most`.
pub(super) fn addresses(
    memory: &impl Memory,
    place: RuntimeAddr,
    most: usize,
) -> Result<(Vec<u64>, usize), GoroutineError> {
    /// The list moves to a larger array whenever it has doubled, no sooner.
    const TRIES: usize = 16;
    /// So many at once.
    const STEP: usize = 32 << 10;
    for _ in 0..TRIES {
        let Some(slice) = Slice::read(memory, place) else { continue };
        let listed = usize::try_from(slice.len).unwrap_or(usize::MAX);
        let mut found = Vec::new();
        let mut bytes = vec![0; STEP.min(listed) * 8];
        // The length may be a lie; the memory behind it ends where it ends.
        while found.len() < listed.min(most) {
            let count = STEP.min(listed.min(most) - found.len());
            let at = RuntimeAddr(slice.array.saturating_add(found.len() as u64 * 8));
            memory.read(at, &mut bytes[..count * 8])?;
            let words = bytes[..count * 8].chunks_exact(8);
            found.extend(words.map(|word| word.try_into().map_or(0, u64::from_le_bytes)));
        }
        // The old array is the collector's once the list has moved.
        if Slice::read(memory, place).is_none_or(|now| now.array != slice.array) {
            continue;
        }
        found.sort_unstable();
        found.dedup();
        return Ok((found, listed.saturating_sub(most)));
    }
    Err(GoroutineError::Moving)
}
