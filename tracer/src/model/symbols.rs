//! What addresses and numbers of the target mean, from its binary.

use super::waits::Symbols;
use crate::target::gobin::{Frame, GoBinary, wait_reason};
use crate::units::{RuntimeAddr, VirtAddr};

/// The symbols of a binary that is loaded `bias` bytes from where it states.
#[derive(Clone, Copy, Debug)]
pub struct BinarySymbols<'a> {
    /// The binary.
    pub binary: &'a GoBinary,
    /// How far from the addresses that it states.
    pub bias: u64,
}

impl Symbols for BinarySymbols<'_> {
    fn frames(&self, address: RuntimeAddr) -> Vec<Frame> {
        self.binary.frames(VirtAddr(address.0.wrapping_sub(self.bias)))
    }

    fn wait_reason(&self, number: u8) -> Option<&'static str> {
        wait_reason(self.binary.version(), number)
    }
}
