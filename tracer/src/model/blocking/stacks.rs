//! The kernel's stacks as source code.

use std::collections::HashMap;
use std::sync::Arc;

use ahash::RandomState;

use super::super::waits::Symbols;
use crate::event::blocking::{Key, StackTaken};
use crate::stream::Tables;
use crate::target::gobin::Frame;
use crate::units::RuntimeAddr;

/// The function's name of what is no Go code: C's, or nothing at all.
pub const NOT_GO: &str = "(not Go code)";

/// What is known of where a call was made.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::model) struct Resolved {
    /// The stack, innermost first; empty when it was not taken.
    pub frames: Arc<[Arc<Frame>]>,
    /// The go statement that made the goroutine.
    pub origin: Option<Frame>,
}

/// Resolves each address once: the same few functions are on most stacks.
pub(in crate::model) struct Stacks<'a> {
    tables: &'a Tables,
    symbols: &'a dyn Symbols,
    addresses: HashMap<RuntimeAddr, Vec<Arc<Frame>>, RandomState>,
    stacks: HashMap<u32, Arc<[Arc<Frame>]>, RandomState>,
}

impl<'a> Stacks<'a> {
    pub(in crate::model) fn new(tables: &'a Tables, symbols: &'a dyn Symbols) -> Self {
        Self { tables, symbols, addresses: HashMap::default(), stacks: HashMap::default() }
    }

    pub(in crate::model) fn resolve(&mut self, stack: StackTaken, gopc: Option<RuntimeAddr>) -> Resolved {
        let frames = match stack {
            StackTaken::Taken(number) => self.stack(number),
            StackTaken::TooShort | StackTaken::Lost(_) => Arc::default(),
        };
        let origin = gopc.and_then(|gopc| self.origin(gopc));
        Resolved { frames, origin }
    }

    /// The go statement that the address is behind.
    pub(in crate::model) fn origin(&mut self, gopc: RuntimeAddr) -> Option<Frame> {
        // Several copies of the code are one statement.
        Some(Frame { address: None, ..Frame::clone(self.at(before(gopc)).first()?) })
    }

    /// Whether the stack that the key names could not be read back.
    pub(super) fn is_missing(&self, key: &Key) -> bool {
        matches!(key.stack, StackTaken::Taken(number) if !self.tables.stacks.contains_key(&number))
    }

    fn stack(&mut self, number: u32) -> Arc<[Arc<Frame>]> {
        if let Some(known) = self.stacks.get(&number) {
            return Arc::clone(known);
        }
        let tables = self.tables;
        let frames = self.frames(tables.stacks.get(&number).map_or(&[][..], Vec::as_slice));
        self.stacks.insert(number, Arc::clone(&frames));
        frames
    }

    /// The source code of a stack, the innermost address first.
    pub(in crate::model) fn frames(&mut self, addresses: &[RuntimeAddr]) -> Arc<[Arc<Frame>]> {
        let mut frames: Vec<Arc<Frame>> = Vec::with_capacity(addresses.len());
        for (index, address) in addresses.iter().enumerate() {
            // A return address is behind the call; the call may end the function. What a signal found was not called.
            let preempted = frames.last().is_some_and(|frame| *frame.function == *"runtime.asyncPreempt");
            let at = if index == 0 || preempted { *address } else { before(*address) };
            let here = self.at(at);
            if !here.is_empty() {
                frames.extend_from_slice(here);
            } else if frames.last().is_none_or(|frame| *frame.function != *NOT_GO) {
                frames.push(Arc::new(Frame {
                    function: NOT_GO.into(),
                    file: None,
                    line: 0,
                    inlined: false,
                    begins: 0,
                    address: None,
                }));
            }
        }
        // Where every goroutine returns to, and where every thread begins.
        while frames.last().is_some_and(|frame| *frame.function == *"runtime.goexit") {
            frames.pop();
        }
        frames.into()
    }

    fn at(&mut self, address: RuntimeAddr) -> &[Arc<Frame>] {
        let frames = || self.symbols.frames(address).into_iter().map(Arc::new).collect();
        self.addresses.entry(address).or_insert_with(frames)
    }
}

fn before(address: RuntimeAddr) -> RuntimeAddr {
    RuntimeAddr(address.0.saturating_sub(1))
}

/// Whether a function is on the stack whose name begins so.
pub(super) fn has_any(stack: &[Arc<Frame>], prefixes: &[&str]) -> bool {
    // Most names have another byte where the prefix ends, which is sooner seen than that they begin alike.
    let begins = |name: &str, prefix: &str| {
        let last = prefix.len().wrapping_sub(1);
        name.as_bytes().get(last) == prefix.as_bytes().get(last) && name.starts_with(prefix)
    };
    stack.iter().any(|frame| prefixes.iter().any(|prefix| begins(&frame.function, prefix)))
}
