//! Reading the goroutines of a list: all of them in large pieces, then the stacks of some one by one.

use std::collections::HashMap;

use super::super::gobin::{GoVersion, ReasonKind, RuntimeLayout, wait_reason};
use super::super::goroutine::{G_SIZE, MOST_STACK, Raw, StackCopy, polled_fd};
use super::super::memory::Memory;
use super::super::unwind::{CallAddress, CallStack, LoadedCode, Remembered, Role, Steps};
use super::{Goroutine, GoroutineStatus, Goroutines, Group, Limits, Place, StackRead, WaitReason};
use crate::units::{RuntimeAddr, boot_clock};

/// As much memory as is read at once, and how far apart goroutines may be that are read together.
const PIECE: u64 = 256 << 10;
const GAP: u64 = 4 << 10;

/// Of each group, when there are more goroutines than are told.
const TOLD_OF_EACH: usize = 1024;

/// As much of a stack as is read at first: nearly all that wait use less.
const SHORT_STACK: u64 = 4 << 10;

/// So often a goroutine is looked at that moves on meanwhile.
const TRIES: usize = 4;

/// Code that also tells what functions are called.
pub(super) trait Names: Steps {
    /// The name of the function at that address; none when there is none.
    fn name(&self, at: RuntimeAddr) -> Option<String>;
}

impl Names for LoadedCode<'_> {
    fn name(&self, at: RuntimeAddr) -> Option<String> {
        Some(self.binary.functions().containing(self.address(at, false))?.name)
    }
}

/// What a goroutine's first function makes of it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Program,
    System,
    /// The runtime's own, while it does not call the program's functions.
    Finalizers,
}

/// One reading.
pub(super) struct Walk<'a, M, C> {
    memory: &'a M,
    names: C,
    steps: Remembered<C>,
    layout: RuntimeLayout,
    reasons: Vec<Option<WaitReason>>,
    limits: Limits,
    kinds: HashMap<u64, Kind>,
    stacks: HashMap<CallStack, usize>,
    groups: HashMap<Place, Group>,
    result: Goroutines,
}

impl<'a, M: Memory, C: Names + Copy> Walk<'a, M, C> {
    pub(super) fn new(
        memory: &'a M,
        code: C,
        layout: RuntimeLayout,
        version: &GoVersion,
        limits: Limits,
    ) -> Self {
        let reason = |number| {
            let text = wait_reason(version, number).filter(|text| !text.is_empty())?;
            Some(WaitReason { number, text, kind: ReasonKind::of(text) })
        };
        Self {
            memory,
            names: code,
            steps: Remembered::new(code),
            layout,
            reasons: (0..=u8::MAX).map(reason).collect(),
            limits,
            kinds: HashMap::new(),
            stacks: HashMap::new(),
            groups: HashMap::new(),
            result: Goroutines { at: boot_clock(), ..Goroutines::default() },
        }
    }

    /// Reads those at these addresses, which are in order.
    pub(super) fn read(mut self, addresses: Vec<u64>) -> Goroutines {
        let mut told = self.look_at_all(&addresses);
        drop(addresses);
        self.read_stacks(&mut told);
        for (_, goroutine) in told {
            let group = self.group(&goroutine.place);
            group.add(goroutine.wait_since);
            group.told += 1;
            self.result.all.push(goroutine);
        }
        let mut result = self.result;
        result.all.sort_unstable_by_key(|goroutine| goroutine.goid);
        result.groups = self.groups.into_values().filter(|group| group.count > 0).collect();
        result.groups.sort_unstable_by_key(|group| {
            let place = group.place;
            (std::cmp::Reverse(group.count), place.created, place.start, place.pc, place.depth)
        });
        let mut stacks: Vec<(CallStack, usize)> = self.stacks.into_iter().collect();
        stacks.sort_unstable_by_key(|(_, index)| *index);
        result.stacks = stacks.into_iter().map(|(stack, _)| stack).collect();
        result.took = boot_clock().since(result.at);
        result
    }

    /// Counts all, and gives those that are told one by one, with their addresses.
    fn look_at_all(&mut self, addresses: &[u64]) -> Vec<(u64, Goroutine)> {
        let tell_all = addresses.len() <= self.limits.told;
        let mut told = Vec::new();
        let mut told_of: HashMap<Place, usize> = HashMap::new();
        in_pieces(self.memory, addresses, |at, bytes| {
            let raw = bytes.and_then(|bytes| Raw::of(bytes, self.layout));
            let Some(raw) = raw.filter(|_| at.is_multiple_of(8)) else {
                self.result.unreadable += 1;
                return;
            };
            let status = match GoroutineStatus::of(raw.status()) {
                Some(GoroutineStatus::Dead) => {
                    self.result.dead += 1;
                    return;
                }
                Some(status) if raw.has_bounds() => status,
                _ => {
                    self.result.unreadable += 1;
                    return;
                }
            };
            let place = self.place(&raw, status);
            let is_told = tell_all || {
                let of_group = told_of.entry(place).or_default();
                *of_group += 1;
                // There are no more of these than threads.
                let busy = matches!(status, GoroutineStatus::Running | GoroutineStatus::Syscall);
                let most = if busy { self.limits.told.saturating_mul(2) } else { self.limits.told };
                told.len() < most && (busy || *of_group <= TOLD_OF_EACH)
            };
            if is_told {
                told.push((at, self.goroutine(at, &raw, place)));
            } else {
                let since = self.wait_since(&raw);
                self.group(&place).add(since);
            }
        });
        told
    }

    /// Some of every group first.
    fn read_stacks(&mut self, told: &mut [(u64, Goroutine)]) {
        let mut order: Vec<(usize, usize)> = Vec::with_capacity(told.len());
        let mut of_place: HashMap<Place, usize> = HashMap::new();
        for (index, (_, goroutine)) in told.iter().enumerate() {
            if goroutine.stack == StackRead::NotTried {
                let rank = of_place.entry(goroutine.place).or_default();
                order.push((*rank, index));
                *rank += 1;
            }
        }
        order.sort_unstable();
        for (_, index) in order.into_iter().take(self.limits.stacks) {
            let (at, goroutine) = &mut told[index];
            if let Some(now) = self.with_stack(*at) {
                *goroutine = now;
            } else {
                goroutine.stack = StackRead::Unreadable;
            }
            if goroutine.stack == StackRead::Changing {
                self.result.changed += 1;
            }
        }
    }

    /// The goroutine with its stack, both of the same moment; none when it has ended or cannot be read.
    fn with_stack(&mut self, at: u64) -> Option<Goroutine> {
        let mut last = None;
        for _ in 0..TRIES {
            let before = Raw::read(self.memory, at, self.layout).ok()?;
            let status = GoroutineStatus::of(before.status())?;
            if status == GoroutineStatus::Dead || !before.has_bounds() {
                break;
            }
            let copied = if before.has_stack() { self.copy_and_unwind(&before) } else { None };
            let polled = match &copied {
                Some((copy, _)) if status == GoroutineStatus::Waiting => {
                    polled_fd(self.memory, self.layout.poll, at, copy)
                }
                _ => None,
            };
            let place = self.place(&before, status);
            let mut goroutine = self.goroutine(at, &before, place);
            let after = Raw::read(self.memory, at, self.layout).ok()?;
            if before.bytes != after.bytes {
                goroutine.stack = StackRead::Changing;
                last = Some(goroutine);
                continue;
            }
            match copied {
                Some((_, stack)) => {
                    if self.kind(before.start()) == Kind::Finalizers && self.is_in_program(&stack) {
                        goroutine.place.system = false;
                    }
                    let next = self.stacks.len();
                    goroutine.stack = StackRead::At(*self.stacks.entry(stack).or_insert(next));
                    goroutine.polled_fd = polled;
                }
                None if before.has_stack() => goroutine.stack = StackRead::Unreadable,
                None => goroutine.stack = StackRead::Running,
            }
            return Some(goroutine);
        }
        last
    }

    fn is_in_program(&self, stack: &CallStack) -> bool {
        let step = |call: &CallAddress| self.steps.step(call.pc, call.returns);
        stack.calls.iter().filter_map(step).any(|step| step.role == Role::Other)
    }

    fn copy_and_unwind(&self, raw: &Raw) -> Option<(StackCopy, CallStack)> {
        let copy = raw.copy_stack(self.memory, SHORT_STACK)?;
        let stack = CallStack::unwind(&copy, &self.steps);
        if stack.whole || (copy.bytes.len() as u64) < SHORT_STACK {
            return Some((copy, stack));
        }
        let copy = raw.copy_stack(self.memory, MOST_STACK)?;
        let stack = CallStack::unwind(&copy, &self.steps);
        Some((copy, stack))
    }

    fn goroutine(&self, at: u64, raw: &Raw, place: Place) -> Goroutine {
        let g = self.layout.g;
        Goroutine {
            goid: raw.word(g.goid),
            place,
            wait_since: self.wait_since(raw),
            parent: g.parent.map(|parent| raw.word(parent)).filter(|parent| *parent != 0),
            thread: raw.thread(self.memory, at),
            locked: raw.word(g.lockedm) != 0,
            registers: raw.has_stack().then(|| raw.registers()),
            stack: if raw.has_stack() { StackRead::NotTried } else { StackRead::Running },
            polled_fd: None,
        }
    }

    fn place(&mut self, raw: &Raw, status: GoroutineStatus) -> Place {
        let g = self.layout.g;
        let registers = raw.has_stack().then(|| raw.registers());
        let waits = status == GoroutineStatus::Waiting;
        Place {
            status,
            wait: if waits { self.reasons[usize::from(raw.wait_reason())] } else { None },
            created: RuntimeAddr(raw.word(g.gopc)),
            start: RuntimeAddr(raw.start()),
            pc: RuntimeAddr(registers.map_or(0, |registers| registers.pc)),
            depth: registers.map_or(0, |registers| raw.bounds().1.wrapping_sub(registers.sp)),
            system: self.kind(raw.start()) != Kind::Program,
        }
    }

    fn wait_since(&self, raw: &Raw) -> Option<u64> {
        let waits = matches!(
            GoroutineStatus::of(raw.status()),
            Some(GoroutineStatus::Waiting | GoroutineStatus::Syscall)
        );
        Some(raw.word(self.layout.g.waitsince)).filter(|since| waits && *since != 0)
    }

    /// `runtime.isSystemGoroutine` (runtime/traceback.go).
    fn kind(&mut self, start: u64) -> Kind {
        if let Some(kind) = self.kinds.get(&start) {
            return *kind;
        }
        let kind = match self.names.name(RuntimeAddr(start)).as_deref() {
            Some("runtime.main" | "runtime.corostart" | "runtime.handleAsyncEvent") => Kind::Program,
            // As they are called up to Go 1.24 and from Go 1.25 on.
            Some("runtime.runfinq" | "runtime.runFinalizers" | "runtime.runCleanups") => Kind::Finalizers,
            Some(name) if name.starts_with("runtime.") => Kind::System,
            _ => Kind::Program,
        };
        // There are no more functions than that; there may be more wrong addresses.
        if self.kinds.len() < self.limits.groups {
            self.kinds.insert(start, kind);
        }
        kind
    }

    fn group(&mut self, place: &Place) -> &mut Group {
        let mut place = *place;
        if self.groups.len() >= self.limits.groups && !self.groups.contains_key(&place) {
            let nowhere = RuntimeAddr(0);
            place = Place { created: nowhere, start: nowhere, pc: nowhere, depth: 0, system: false, ..place };
        }
        self.groups.entry(place).or_insert(Group { place, count: 0, told: 0, oldest_wait: None })
    }
}

impl Group {
    fn add(&mut self, wait_since: Option<u64>) {
        self.count += 1;
        self.oldest_wait = [self.oldest_wait, wait_since].into_iter().flatten().min();
    }
}

/// Hands out the bytes at each of these addresses, which are in order; none where they cannot be read.
/// Neighbours are read together.
fn in_pieces(memory: &impl Memory, addresses: &[u64], mut each: impl FnMut(u64, Option<&[u8]>)) {
    let size = G_SIZE as u64;
    let mut rest = addresses;
    let mut bytes = Vec::new();
    while let Some(first) = rest.first() {
        let belongs = |pair: &[u64]| {
            let end = pair[1].saturating_add(size);
            pair[1] - pair[0] <= GAP && end - first <= PIECE
        };
        let count = 1 + rest.windows(2).take_while(|pair| belongs(pair)).count();
        let (piece, behind) = rest.split_at(count);
        rest = behind;
        let len = usize::try_from(piece[count - 1] - first).map_or(0, |last| last + G_SIZE);
        bytes.resize(len, 0);
        let whole = memory.read(RuntimeAddr(*first), &mut bytes).is_ok();
        for at in piece {
            let from = usize::try_from(at - first).unwrap_or(usize::MAX);
            if whole {
                each(*at, bytes.get(from..));
            } else {
                let mut one = [0; G_SIZE];
                let read = memory.read(RuntimeAddr(*at), &mut one).is_ok();
                each(*at, read.then_some(&one[..]));
            }
        }
    }
}
