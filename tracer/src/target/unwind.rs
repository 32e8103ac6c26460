//! From a copied stack to the addresses of the calls on it.

use std::cell::RefCell;
use std::collections::HashMap;

use super::gobin::GoBinary;
use super::goroutine::StackCopy;
use crate::units::{RuntimeAddr, VirtAddr};

/// As many calls as are followed: Go's own dumps stop at 100.
const DEEPEST: usize = 256;

/// What unwinding needs to know of a program's code.
pub trait Steps {
    /// How to get from the function that holds that address to its caller; none when that is no Go code.
    /// `returns` says that it is where a call will return to, so the code that counts is the call's, before it.
    fn step(&self, pc: RuntimeAddr, returns: bool) -> Option<Step>;
}

/// How to get from a function to its caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    /// What the function is.
    pub role: Role,
    /// How far above the stack pointer the return address is when the instruction there runs; none when the
    /// program's tables do not tell.
    pub frame_size: Option<u64>,
}

/// What a function is to unwinding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Where every goroutine was made to return to.
    Bottom,
    /// It was not called but pushed where a signal found the code: the code's next instruction is the one.
    Pushed,
    /// The runtime's own.
    Runtime,
    /// Any other.
    Other,
}

impl Role {
    /// The role of the function of that name.
    #[must_use]
    pub fn of(function: &str) -> Self {
        match function {
            "runtime.goexit" => Self::Bottom,
            "runtime.asyncPreempt" | "runtime.sigpanic" => Self::Pushed,
            _ if function.starts_with("runtime.") => Self::Runtime,
            _ => Self::Other,
        }
    }
}

/// A binary, loaded at addresses that are larger by a bias.
#[derive(Clone, Copy, Debug)]
pub struct LoadedCode<'a> {
    /// The binary.
    pub binary: &'a GoBinary,
    /// How much larger.
    pub bias: u64,
}

impl LoadedCode<'_> {
    /// The address in the binary whose code counts.
    #[must_use]
    pub fn address(&self, pc: RuntimeAddr, returns: bool) -> VirtAddr {
        let at = VirtAddr(pc.0.wrapping_sub(self.bias));
        // A function that has not begun yet is at its first instruction, which no call is before.
        let is_entry = self.binary.functions().containing(at).is_some_and(|function| function.entry == at);
        VirtAddr(at.0.wrapping_sub(u64::from(returns && !is_entry)))
    }
}

impl Steps for LoadedCode<'_> {
    fn step(&self, pc: RuntimeAddr, returns: bool) -> Option<Step> {
        let function = self.binary.functions().containing(self.address(pc, returns))?;
        let frame_size = self.binary.frame_size(VirtAddr(pc.0.wrapping_sub(self.bias)));
        Some(Step { role: Role::of(&function.name), frame_size })
    }
}

/// Remembers every step: many goroutines are at the same places.
#[derive(Debug)]
pub struct Remembered<S> {
    steps: S,
    known: RefCell<HashMap<(u64, bool), Option<Step>>>,
}

impl<S: Steps> Remembered<S> {
    /// Remembers nothing yet.
    pub fn new(steps: S) -> Self {
        Self { steps, known: RefCell::default() }
    }
}

impl<S: Steps> Steps for Remembered<S> {
    fn step(&self, pc: RuntimeAddr, returns: bool) -> Option<Step> {
        *self.known.borrow_mut().entry((pc.0, returns)).or_insert_with(|| self.steps.step(pc, returns))
    }
}

/// A place in the code that a stack names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct CallAddress {
    /// The address as the stack has it.
    pub pc: RuntimeAddr,
    /// Whether a call will return to it, as nearly always, so that the code that counts is before it.
    pub returns: bool,
}

/// The addresses on a goroutine's stack, innermost first.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct CallStack {
    /// The addresses; inlined calls share one.
    pub calls: Vec<CallAddress>,
    /// Whether it is all of it, down to where the goroutine began.
    pub whole: bool,
}

impl CallStack {
    /// Unwinds as the runtime does: by the size of every frame, which the program's own tables tell for each
    /// instruction (runtime/traceback.go).
    #[must_use]
    pub fn unwind(copy: &StackCopy, code: &(impl Steps + ?Sized)) -> Self {
        let mut stack = Self::default();
        let (mut pc, mut sp, mut returns) = (copy.pc, copy.sp, true);
        while stack.calls.len() < DEEPEST {
            let Some(step) = code.step(RuntimeAddr(pc), returns) else { return stack };
            if step.role == Role::Bottom {
                stack.whole = true;
                return stack;
            }
            stack.calls.push(CallAddress { pc: RuntimeAddr(pc), returns });
            returns = step.role != Role::Pushed;
            let caller = step.frame_size.and_then(|size| {
                let at = sp.checked_add(size)?;
                Some((copy.word(at)?, at + 8))
            });
            let Some(caller) = caller else { return stack };
            (pc, sp) = caller;
        }
        stack
    }
}
