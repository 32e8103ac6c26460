//! The main goroutine, read from memory made by hand.

use std::cell::Cell;
use std::collections::BTreeMap;

use super::super::gobin::{GoVersion, VersionSource};
use super::*;

const G: u64 = 0xc000_0000;
const M: u64 = 0x50_0000;
const POLL: u64 = 0x60_0000;
const STACK: (u64, u64) = (0xc001_0000, 0xc001_2000);
const SP: u64 = STACK.1 - 64;

/// Words by their addresses, and zeros around each; nothing else is mapped.
#[derive(Default)]
struct Crafted {
    words: BTreeMap<u64, u64>,
    /// A word that counts up whenever it is read.
    moving: Option<u64>,
    reads: Cell<u64>,
}

impl Memory for Crafted {
    fn read(&self, at: RuntimeAddr, into: &mut [u8]) -> io::Result<()> {
        let mapped = [(G, G + 4096), (M, M + 4096), (POLL, POLL + 4096), STACK];
        let end = at.0.checked_add(into.len() as u64).ok_or(io::ErrorKind::InvalidInput)?;
        if !mapped.iter().any(|(low, high)| *low <= at.0 && end <= *high) {
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

fn layout() -> RuntimeLayout {
    RuntimeLayout::of(&GoVersion::parse("go1.26.6", VersionSource::BuildInfo).unwrap()).unwrap()
}

/// Parked by the poller, locked to its thread.
fn parked() -> Crafted {
    let RuntimeLayout { g, m, poll, .. } = layout();
    let mut memory = Crafted::default();
    let mut set = |base: u64, field: u32, word: u64| memory.words.insert(base + u64::from(field), word);
    set(G, 0, STACK.0);
    set(G, 8, STACK.1);
    set(G, g.goid, 1);
    set(G, g.atomicstatus, 4);
    set(G, g.waitreason, 2);
    set(G, g.sched_sp, SP);
    set(G, g.sched_pc, 0x40_1234);
    set(G, g.lockedm, M);
    set(M, m.procid, 42);
    set(POLL, poll.fd, 7);
    set(POLL, poll.wg, G);
    set(SP, 8, POLL);
    set(SP, 24, POLL + u64::from(poll.wg));
    memory
}

fn read(memory: &Crafted) -> Result<Goroutine, GoroutineError> {
    MainGoroutine { at: G, layout: layout() }.read(memory)
}

#[test]
fn a_parked_goroutine_is_read_with_what_it_is_parked_for() {
    let goroutine = read(&parked()).unwrap();
    assert_eq!((goroutine.status, goroutine.wait_reason), (GoroutineStatus::Waiting, 2));
    assert_eq!((goroutine.procid, goroutine.polled_fd, goroutine.wait_since), (Some(42), Some(7), None));
    let stack = goroutine.stack.unwrap();
    assert_eq!((stack.pc, stack.sp, stack.bytes.len()), (0x40_1234, SP, 64));
    assert_eq!((stack.word(SP + 8), stack.word(SP + 64), stack.word(SP - 8)), (Some(POLL), None, None));
}

#[test]
fn a_descriptor_that_does_not_name_the_goroutine_is_not_believed() {
    let poll = layout().poll;
    for field in [POLL + u64::from(poll.wg), SP + 24, SP + 8] {
        let mut memory = parked();
        memory.words.insert(field, 0x1234_5678);
        assert_eq!(read(&memory).unwrap().polled_fd, None, "{field:#x}");
    }
    let mut memory = parked();
    memory.words.insert(POLL + u64::from(poll.fd), u64::MAX);
    assert_eq!(read(&memory).unwrap().polled_fd, None);
}

#[test]
fn a_thread_that_runs_something_else_is_not_believed() {
    let RuntimeLayout { g, m, .. } = layout();
    let mut memory = parked();
    memory.words.insert(G + u64::from(g.lockedm), 0);
    memory.words.insert(G + u64::from(g.m), M);
    assert_eq!(read(&memory).unwrap().procid, None);
    memory.words.insert(M + u64::from(m.curg), G);
    assert_eq!(read(&memory).unwrap().procid, Some(42));
}

#[test]
fn a_stack_pointer_outside_the_stack_gives_no_stack() {
    let g = layout().g;
    for sp in [0, STACK.0 - 8, STACK.1, SP + 1, u64::MAX] {
        let mut memory = parked();
        memory.words.insert(G + u64::from(g.sched_sp), sp);
        assert_eq!(read(&memory).unwrap().stack, None, "{sp:#x}");
    }
    let mut unmapped = parked();
    unmapped.words.insert(G, 0x7000_0000);
    unmapped.words.insert(G + 8, 0x7000_2000);
    unmapped.words.insert(G + u64::from(g.sched_sp), 0x7000_1000);
    assert_eq!(read(&unmapped).unwrap().stack, None);
}

#[test]
fn what_changes_while_it_is_read_is_not_told() {
    let g = layout().g;
    let moving = Crafted { moving: Some(G + u64::from(g.sched_pc)), ..parked() };
    assert_eq!(read(&moving), Err(GoroutineError::Moving));
    let mut odd = parked();
    odd.words.insert(G + u64::from(g.atomicstatus), 77);
    assert_eq!(read(&odd), Err(GoroutineError::Unreadable));
    let away = MainGoroutine { at: 0x1000, layout: layout() };
    assert_eq!(away.read(&parked()), Err(GoroutineError::Unreadable));
}

#[test]
fn only_the_first_goroutine_of_all_is_the_main_one() {
    let g = layout().g;
    let main = 0x40_1000;
    let is_main = |field: u64, word: u64| {
        let mut memory = parked();
        memory.words.insert(G + u64::from(g.startpc), main);
        memory.words.insert(field, word);
        Raw::read(&memory, G, layout()).unwrap().is_main(main)
    };
    assert!(is_main(G + u64::from(g.goid), 1));
    assert!(!is_main(G + u64::from(g.goid), 2));
    assert!(!is_main(G + u64::from(g.startpc), main + 1));
    assert!(!is_main(G + 8, STACK.0));
    assert!(!is_main(G + 8, STACK.0 + 3000));
    assert!(!is_main(G + u64::from(g.atomicstatus), 77));
}

proptest::proptest! {
    /// Whatever a program has in its memory, reading it ends, and well.
    #[test]
    fn any_memory_is_read(
        words in proptest::collection::vec((0_u64..512, 0_usize..16, proptest::prelude::any::<u64>()), 0..64),
    ) {
        let RuntimeLayout { g, .. } = layout();
        let mut memory = parked();
        // Among the likely values, so that something hangs together now and then.
        let likely = [0, 1, 3, 4, G, M, POLL, STACK.0, STACK.1, SP, SP + 24, u64::MAX, u64::MAX - 7, 1 << 47, POLL + 40, SP - 64];
        for (at, pick, random) in words {
            let page = [G, M, POLL, STACK.0, STACK.1 - 4096][pick % 5];
            let word = if random % 4 == 0 { random } else { likely[usize::try_from(random % 16).unwrap()] };
            memory.words.insert(page + at * 8, word);
        }
        memory.words.entry(G + u64::from(g.goid)).or_insert(1);
        if let Ok(goroutine) = read(&memory)
            && let Some(stack) = goroutine.stack
        {
            proptest::prop_assert!(stack.bytes.len() as u64 <= MOST_STACK);
            proptest::prop_assert_eq!(stack.word(u64::MAX), None);
        }
    }
}
