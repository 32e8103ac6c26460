//! From a copied stack to source lines.

use crate::target::gobin::{Frame, GoBinary};
use crate::target::goroutine::StackCopy;
use crate::units::{RuntimeAddr, VirtAddr};

/// As many frames as are told: Go's own dumps stop at 100.
const DEEPEST: usize = 256;

/// What unwinding needs to know of a program's code.
pub trait Code {
    /// How far above the stack pointer the return address is when the instruction there runs; none when that is
    /// no Go code.
    fn frame_size(&self, pc: RuntimeAddr) -> Option<u64>;

    /// The source code there, innermost first. `returns` says that it is where a call will return to, so the
    /// code that counts is the call's, before it.
    fn frames(&self, pc: RuntimeAddr, returns: bool) -> Vec<Frame>;
}

/// A binary, loaded at addresses that are larger by a bias.
#[derive(Clone, Copy, Debug)]
pub struct LoadedCode<'a> {
    /// The binary.
    pub binary: &'a GoBinary,
    /// How much larger.
    pub bias: u64,
}

impl Code for LoadedCode<'_> {
    fn frame_size(&self, pc: RuntimeAddr) -> Option<u64> {
        self.binary.frame_size(VirtAddr(pc.0.wrapping_sub(self.bias)))
    }

    fn frames(&self, pc: RuntimeAddr, returns: bool) -> Vec<Frame> {
        let at = VirtAddr(pc.0.wrapping_sub(self.bias));
        // A function that has not begun yet is at its first instruction, which no call is before.
        let is_entry = self.binary.functions().containing(at).is_some_and(|function| function.entry == at);
        let back = u64::from(returns && !is_entry);
        self.binary.frames(VirtAddr(at.0.wrapping_sub(back)))
    }
}

/// A goroutine's stack, innermost first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stack {
    /// Its frames, inlined calls too.
    pub frames: Vec<Frame>,
    /// Whether it is all of it, down to where the goroutine began.
    pub whole: bool,
}

impl Stack {
    /// Unwinds as the runtime does: by the size of every frame, which the program's own tables tell for each
    /// instruction (runtime/traceback.go).
    #[must_use]
    pub fn unwind(copy: &StackCopy, code: &impl Code) -> Self {
        let mut stack = Self::default();
        let (mut pc, mut sp, mut returns) = (copy.pc, copy.sp, true);
        while stack.frames.len() < DEEPEST {
            let frames = code.frames(RuntimeAddr(pc), returns);
            let Some(outermost) = frames.last() else { return stack };
            // Where every goroutine was made to return to.
            if outermost.function == "runtime.goexit" {
                stack.whole = true;
                return stack;
            }
            // These are not called but pushed where a signal found the code: its next instruction is the one.
            returns = !matches!(outermost.function.as_str(), "runtime.asyncPreempt" | "runtime.sigpanic");
            stack.frames.extend(frames);
            let Some(size) = code.frame_size(RuntimeAddr(pc)) else { return stack };
            let Some(at) = sp.checked_add(size) else { return stack };
            let Some(caller) = copy.word(at) else { return stack };
            (pc, sp) = (caller, at + 8);
        }
        stack
    }

    /// Whether a function of that name is on it.
    #[must_use]
    pub fn has(&self, function: &str) -> bool {
        self.frames.iter().any(|frame| frame.function == function)
    }

    /// What the runtime called to run an init.
    #[must_use]
    pub fn init_function(&self) -> Option<&Frame> {
        let runs_inits =
            |frame: &Frame| matches!(frame.function.as_str(), "runtime.doInit" | "runtime.doInit1");
        let at = self.frames.iter().position(runs_inits)?;
        self.frames.get(at.checked_sub(1)?)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// Code made of functions of 100 bytes each, the first at 1000, all with frames of 16 bytes.
    pub(in super::super) struct Crafted(pub(in super::super) &'static [&'static str]);

    impl Code for Crafted {
        fn frame_size(&self, pc: RuntimeAddr) -> Option<u64> {
            (!self.frames(pc, false).is_empty()).then_some(16)
        }

        fn frames(&self, pc: RuntimeAddr, returns: bool) -> Vec<Frame> {
            let at = pc.0.checked_sub(1000 + u64::from(returns));
            let function = at.and_then(|at| self.0.get(usize::try_from(at / 100).unwrap()));
            let frame = |name: &&str| Frame {
                function: (*name).to_owned(),
                file: Some("a.go".to_owned()),
                line: u32::try_from(at.unwrap() % 100).unwrap(),
                inlined: false,
            };
            function.map(frame).into_iter().collect()
        }
    }

    /// A stack of such frames: the innermost address, and the return addresses.
    pub(in super::super) fn copy(pc: u64, returns: &[u64]) -> StackCopy {
        let bytes = returns.iter().flat_map(|pc| [0, 0, *pc]).flat_map(u64::to_le_bytes).collect();
        StackCopy { pc, sp: 0xc000_0000, bytes }
    }

    const CODE: Crafted = Crafted(&["main.main", "runtime.main", "runtime.goexit", "runtime.asyncPreempt"]);

    fn lines(stack: &Stack) -> Vec<(&str, u32)> {
        stack.frames.iter().map(|frame| (frame.function.as_str(), frame.line)).collect()
    }

    #[test]
    fn calls_are_told_and_not_what_follows_them() {
        let stack = Stack::unwind(&copy(1050, &[1120, 1201]), &CODE);
        assert_eq!(lines(&stack), [("main.main", 49), ("runtime.main", 19)]);
        assert!(stack.whole && stack.has("main.main") && !stack.has("main.other"));
    }

    #[test]
    fn what_a_signal_found_was_not_called() {
        let stack = Stack::unwind(&copy(1310, &[1050, 1120, 1201]), &CODE);
        assert_eq!(lines(&stack), [("runtime.asyncPreempt", 9), ("main.main", 50), ("runtime.main", 19)]);
    }

    #[test]
    fn a_stack_that_leads_nowhere_is_not_whole() {
        for copy in [copy(1050, &[1120, 7]), copy(1050, &[]), copy(7, &[1120]), copy(1050, &[1120; 2000])] {
            let stack = Stack::unwind(&copy, &CODE);
            assert!(!stack.whole, "{copy:?}");
            assert!(stack.frames.len() <= DEEPEST);
        }
        let far = StackCopy { pc: 1050, sp: u64::MAX - 8, bytes: vec![0; 64] };
        assert_eq!(lines(&Stack::unwind(&far, &CODE)), [("main.main", 49)]);
    }
}
