//! From a copied stack to source lines.

use crate::target::gobin::Frame;
use crate::target::goroutine::StackCopy;
pub use crate::target::unwind::LoadedCode;
use crate::target::unwind::{CallStack, Steps};
use crate::units::RuntimeAddr;

/// As many frames as are told.
const DEEPEST: usize = 256;

/// What telling a stack needs to know of a program's code.
pub trait Code: Steps {
    /// The source code there, innermost first. `returns` says that it is where a call will return to, so the
    /// code that counts is the call's, before it.
    fn frames(&self, pc: RuntimeAddr, returns: bool) -> Vec<Frame>;
}

impl Code for LoadedCode<'_> {
    fn frames(&self, pc: RuntimeAddr, returns: bool) -> Vec<Frame> {
        self.binary.frames(self.address(pc, returns))
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
    /// Unwinds a copied stack.
    #[must_use]
    pub fn unwind(copy: &StackCopy, code: &impl Code) -> Self {
        Self::of(&CallStack::unwind(copy, code), code)
    }

    /// The source code of an unwound stack.
    #[must_use]
    pub fn of(calls: &CallStack, code: &impl Code) -> Self {
        let mut stack = Self { frames: Vec::new(), whole: calls.whole };
        for call in &calls.calls {
            if stack.frames.len() >= DEEPEST {
                stack.whole = false;
                break;
            }
            stack.frames.extend(code.frames(call.pc, call.returns));
        }
        stack
    }

    /// Whether a function of that name is on it.
    #[must_use]
    pub fn has(&self, function: &str) -> bool {
        self.frames.iter().any(|frame| *frame.function == *function)
    }

    /// What the runtime called to run an init.
    #[must_use]
    pub fn init_function(&self) -> Option<&Frame> {
        let runs_inits = |frame: &Frame| matches!(&*frame.function, "runtime.doInit" | "runtime.doInit1");
        let at = self.frames.iter().position(runs_inits)?;
        self.frames.get(at.checked_sub(1)?)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::target::unwind::{Role, Step};

    /// Code made of functions of 100 bytes each, the first at 1000, all with frames of 16 bytes.
    pub(in super::super) struct Crafted(pub(in super::super) &'static [&'static str]);

    impl Steps for Crafted {
        fn step(&self, pc: RuntimeAddr, returns: bool) -> Option<Step> {
            let function = self.frames(pc, returns).pop()?.function;
            let frame_size = (!self.frames(pc, false).is_empty()).then_some(16);
            Some(Step { role: Role::of(&function), frame_size })
        }
    }

    impl Code for Crafted {
        fn frames(&self, pc: RuntimeAddr, returns: bool) -> Vec<Frame> {
            let at = pc.0.checked_sub(1000 + u64::from(returns));
            let function = at.and_then(|at| self.0.get(usize::try_from(at / 100).unwrap()));
            let frame = |name: &&str| Frame {
                function: (*name).into(),
                file: Some("a.go".into()),
                line: u32::try_from(at.unwrap() % 100).unwrap(),
                inlined: false,
                begins: 0,
                address: None,
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
        stack.frames.iter().map(|frame| (&*frame.function, frame.line)).collect()
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
