//! All goroutines, read from memory made by hand.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::io;

use super::super::gobin::{GoVersion, RuntimeLayout, VersionSource};
use super::super::memory::Memory;
use super::super::unwind::{Role, Step, Steps};
use super::list::{Slice, addresses};
use super::walk::{Names, Walk};
use super::*;

/// Where the goroutines are, 512 bytes apart.
const G: u64 = 0xc000_0000;
const MAPPED: (u64, u64) = (G, G + (1 << 20));
/// Their stacks of 2 KiB, one for each.
const STACKS: u64 = G + (1 << 19);
/// The list, and its array.
const LIST: u64 = G + (1 << 18);
const ARRAY: u64 = LIST + 4096;

/// Words by their addresses, and zeros around them.
#[derive(Default)]
struct Crafted {
    words: BTreeMap<u64, u64>,
    /// A word that counts up whenever it is read.
    moving: Option<u64>,
    reads: Cell<u64>,
}

impl Memory for Crafted {
    fn read(&self, at: RuntimeAddr, into: &mut [u8]) -> io::Result<()> {
        let end = at.0.checked_add(into.len() as u64).ok_or(io::ErrorKind::InvalidInput)?;
        if at.0 < MAPPED.0 || end > MAPPED.1 {
            return Err(io::Error::from_raw_os_error(libc::EIO));
        }
        into.fill(0);
        self.reads.set(self.reads.get() + 1);
        for (address, word) in self.words.range(at.0..end.saturating_sub(7)) {
            let from = usize::try_from(address - at.0).unwrap();
            let word = if self.moving == Some(*address) { word + self.reads.get() } else { *word };
            into[from..from + 8].copy_from_slice(&word.to_le_bytes());
        }
        Ok(())
    }
}

/// Functions of 100 bytes from 1000 on, with frames of 16 bytes.
#[derive(Clone, Copy)]
struct Code;

const FUNCTIONS: [&str; 5] =
    ["main.work", "runtime.gopark", "runtime.goexit", "runtime.runFinalizers", "runtime.bgsweep"];

impl Steps for Code {
    fn step(&self, pc: RuntimeAddr, returns: bool) -> Option<Step> {
        let name = self.name(RuntimeAddr(pc.0.checked_sub(u64::from(returns))?))?;
        Some(Step { role: Role::of(&name), frame_size: Some(16) })
    }
}

impl Names for Code {
    fn name(&self, at: RuntimeAddr) -> Option<String> {
        let index = usize::try_from(at.0.checked_sub(1000)? / 100).ok()?;
        FUNCTIONS.get(index).map(|name| (*name).to_owned())
    }
}

const WORK: u64 = 1000;
const GOPARK: u64 = 1150;
const GOEXIT: u64 = 1201;
const FINALIZERS: u64 = 1300;
const SWEEP: u64 = 1400;

fn version() -> GoVersion {
    GoVersion::parse("go1.26.6", VersionSource::BuildInfo).unwrap()
}

fn layout() -> RuntimeLayout {
    RuntimeLayout::of(&version()).unwrap()
}

impl Crafted {
    fn set(&mut self, base: u64, field: u32, word: u64) {
        self.words.insert(base + u64::from(field), word);
    }

    /// One that waits for a channel, and where it is.
    fn parked(&mut self, index: u64, start: u64) -> u64 {
        let (at, low) = (G + index * 512, STACKS + index * 2048);
        let (g, sp) = (layout().g, low + 2048 - 128);
        for (field, word) in [
            (0, low),
            (8, low + 2048),
            (g.goid, index + 1),
            (g.atomicstatus, 4),
            (g.waitreason, 19),
            (g.sched_pc, GOPARK),
            (g.sched_sp, sp),
            (g.gopc, WORK + 50),
            (g.startpc, start),
        ] {
            self.set(at, field, word);
        }
        self.set(sp, 16, start + 50);
        self.set(sp, 40, GOEXIT);
        at
    }

    fn read(&self, at: Vec<u64>, limits: Limits) -> Goroutines {
        Walk::new(self, Code, layout(), &version(), limits).read(at)
    }
}

/// So many alike, and where they are.
fn alike(count: u64) -> (Crafted, Vec<u64>) {
    let mut memory = Crafted::default();
    let at = (0..count).map(|index| memory.parked(index, WORK)).collect();
    (memory, at)
}

#[test]
fn those_that_are_alike_are_one_group_with_one_stack() {
    let (memory, at) = alike(100);
    let seen = memory.read(at, Limits::default());
    assert_eq!((seen.live(), seen.all.len(), seen.groups.len(), seen.stacks.len()), (100, 100, 1, 1));
    let place = seen.groups[0].place;
    assert_eq!((place.status, place.depth, place.system), (GoroutineStatus::Waiting, 128, false));
    assert_eq!(place.wait.map(|wait| (wait.text, wait.kind)), Some(("chan receive", ReasonKind::Channel)));
    let stack = seen.stack(&seen.all[7]).unwrap();
    let pcs: Vec<u64> = stack.calls.iter().map(|call| call.pc.0).collect();
    assert_eq!((pcs, stack.whole), (vec![GOPARK, WORK + 50], true));
    assert!(memory.reads.get() < 100 * 5, "{} reads", memory.reads.get());
}

#[test]
fn beyond_the_limits_they_are_counted() {
    let (mut memory, mut at) = alike(400);
    // Two others, which are told whatever the many do.
    at.push(memory.parked(400, SWEEP));
    at.push(memory.parked(401, FINALIZERS));
    memory.set(at[400], layout().g.atomicstatus, 3);
    memory.set(at[400], layout().g.syscallpc, GOPARK);
    let seen = memory.read(at, Limits { told: 300, stacks: 3, ..Limits::default() });
    assert_eq!((seen.live(), seen.groups[0].count, seen.all.len()), (402, 400, 301));
    let read: Vec<u64> =
        seen.all.iter().filter(|one| seen.stack(one).is_some()).map(|one| one.goid).collect();
    assert_eq!(read.len(), 2, "one of the three has no stack pointer");
    assert!(seen.all.iter().any(|one| one.goid == 401 && one.stack == StackRead::Unreadable));
}

#[test]
fn the_runtimes_own_are_marked_unless_they_run_the_programs_code() {
    let mut memory = Crafted::default();
    let at = [(0, SWEEP), (1, FINALIZERS), (2, FINALIZERS)].map(|(index, start)| memory.parked(index, start));
    // The third has called a finalizer.
    memory.set(STACKS + 3 * 2048 - 128, 16, WORK + 50);
    let seen = memory.read(at.to_vec(), Limits::default());
    let system: Vec<bool> = seen.all.iter().map(|one| one.place.system).collect();
    assert_eq!(system, [true, true, false]);
}

#[test]
fn what_moves_is_counted_and_what_is_dead_or_no_goroutine_too() {
    let g = layout().g;
    let (mut memory, mut at) = alike(4);
    memory.moving = Some(at[0] + u64::from(g.sched_pc));
    memory.set(at[1], g.atomicstatus, 6);
    memory.set(at[2], g.atomicstatus, 77);
    at.extend([G + (1 << 30), u64::MAX - 7, G + 4 * 512 + 4]);
    at.sort_unstable();
    let seen = memory.read(at, Limits::default());
    assert_eq!((seen.live(), seen.dead, seen.changed, seen.unreadable), (2, 1, 1, 4));
    assert_eq!((seen.all[0].stack, seen.all[1].stack), (StackRead::Changing, StackRead::At(0)));
}

#[test]
fn a_list_is_read_as_far_as_it_may_be() {
    let mut memory = Crafted::default();
    for (index, word) in [ARRAY, 4, 8].into_iter().enumerate() {
        memory.words.insert(LIST + index as u64 * 8, word);
    }
    for (index, word) in [G + 512, G, G + 1024, G].into_iter().enumerate() {
        memory.words.insert(ARRAY + index as u64 * 8, word);
    }
    let read = |memory: &Crafted, most| addresses(memory, RuntimeAddr(LIST), most);
    assert_eq!(read(&memory, 100), Ok((vec![G, G + 512, G + 1024], 0)));
    assert_eq!(read(&memory, 2), Ok((vec![G, G + 512], 2)));
    // It is being moved all the time.
    memory.moving = Some(LIST);
    assert_eq!(read(&memory, 100), Err(GoroutineError::Moving));
    memory.moving = None;
    // A length that the memory does not have.
    memory.words.insert(LIST + 8, 1 << 30);
    memory.words.insert(LIST + 16, 1 << 30);
    assert_eq!(read(&memory, 100).map(|(_, beyond)| beyond), Ok((1 << 30) - 100));
    assert_eq!(read(&memory, usize::MAX), Err(GoroutineError::Unreadable));
    for slice in [[0, 1, 1], [ARRAY, 0, 1], [ARRAY, 2, 1], [ARRAY, 1, u64::MAX]] {
        for (index, word) in slice.into_iter().enumerate() {
            memory.words.insert(LIST + index as u64 * 8, word);
        }
        assert_eq!(Slice::read(&memory, RuntimeAddr(LIST)), None, "{slice:?}");
    }
}

proptest::proptest! {
    /// Whatever a program has in its memory, each goroutine is counted once.
    #[test]
    fn any_memory_is_read(
        words in proptest::collection::vec((0_u64..16, 0_usize..64, proptest::prelude::any::<u64>()), 0..64),
        told in 0_usize..20,
        groups in 0_usize..20,
    ) {
        let (mut memory, at) = alike(16);
        let likely = [0, 1, 2, 3, 4, 6, 8, 9, 10, G, STACKS, STACKS + 2047, u64::MAX, GOPARK, GOEXIT, 1 << 47];
        for (index, field, random) in words {
            let word = if random % 4 == 0 { random } else { likely[usize::try_from(random >> 8).unwrap() % 16] };
            memory.words.insert(at[usize::try_from(index).unwrap()] + field as u64 * 8, word);
        }
        let seen = memory.read(at, Limits { told, groups, stacks: told / 2, ..Limits::default() });
        proptest::prop_assert_eq!(seen.live() + seen.dead + seen.unreadable, 16);
        proptest::prop_assert!(seen.all.len() <= 16);
    }
}
