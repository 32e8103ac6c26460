//! The kernel's stacks as source code.

use std::collections::HashMap;
use std::sync::Arc;

use ahash::RandomState;

use super::super::waits::Symbols;
use super::class::Idle;
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
    /// Whether an idle one may look like this.
    pub may_idle: bool,
    /// The go statement that made the goroutine.
    pub origin: Option<Frame>,
}

/// Resolves each address once: the same few functions are on most stacks.
pub(in crate::model) struct Stacks<'a> {
    tables: &'a Tables,
    symbols: &'a dyn Symbols,
    addresses: HashMap<RuntimeAddr, At, RandomState>,
    stacks: HashMap<u32, Resolved, RandomState>,
}

/// What is at an address.
struct At {
    frames: Box<[Arc<Frame>]>,
    may_idle: bool,
}

impl<'a> Stacks<'a> {
    pub(in crate::model) fn new(tables: &'a Tables, symbols: &'a dyn Symbols) -> Self {
        Self { tables, symbols, addresses: HashMap::default(), stacks: HashMap::default() }
    }

    pub(in crate::model) fn resolve(&mut self, stack: StackTaken, gopc: Option<RuntimeAddr>) -> Resolved {
        let resolved = match stack {
            StackTaken::Taken(number) => self.stack(number),
            StackTaken::TooShort | StackTaken::Lost(_) => Resolved::default(),
        };
        Resolved { origin: gopc.and_then(|gopc| self.origin(gopc)), ..resolved }
    }

    /// The go statement that the address is behind.
    pub(in crate::model) fn origin(&mut self, gopc: RuntimeAddr) -> Option<Frame> {
        // Several copies of the code are one statement.
        Some(Frame { address: None, ..Frame::clone(self.at(before(gopc)).frames.first()?) })
    }

    /// Whether the stack that the key names could not be read back.
    pub(super) fn is_missing(&self, key: &Key) -> bool {
        matches!(key.stack, StackTaken::Taken(number) if !self.tables.stacks.contains_key(&number))
    }

    fn stack(&mut self, number: u32) -> Resolved {
        if let Some(known) = self.stacks.get(&number) {
            return known.clone();
        }
        let tables = self.tables;
        let resolved = self.read(tables.stacks.get(&number).map_or(&[][..], Vec::as_slice));
        self.stacks.insert(number, resolved.clone());
        resolved
    }

    /// The source code of a stack, the innermost address first.
    pub(in crate::model) fn frames(&mut self, addresses: &[RuntimeAddr]) -> Arc<[Arc<Frame>]> {
        self.read(addresses).frames
    }

    fn read(&mut self, addresses: &[RuntimeAddr]) -> Resolved {
        let mut may_idle = false;
        let mut frames: Vec<Arc<Frame>> = Vec::with_capacity(addresses.len());
        for (index, address) in addresses.iter().enumerate() {
            // A return address is behind the call; the call may end the function. What a signal found was not called.
            let preempted = frames.last().is_some_and(|frame| *frame.function == *"runtime.asyncPreempt");
            let at = if index == 0 || preempted { *address } else { before(*address) };
            let here = self.at(at);
            may_idle |= here.may_idle;
            if !here.frames.is_empty() {
                frames.extend_from_slice(&here.frames);
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
        Resolved { frames: frames.into(), may_idle, origin: None }
    }

    fn at(&mut self, address: RuntimeAddr) -> &At {
        self.addresses.entry(address).or_insert_with(|| {
            let frames: Box<[_]> = self.symbols.frames(address).into_iter().map(Arc::new).collect();
            At { may_idle: frames.iter().any(|frame| Idle::is_known(&frame.function)), frames }
        })
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
