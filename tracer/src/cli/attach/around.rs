//! What events make one ask about the process that is followed.

use std::cell::OnceCell;

use crate::event::blocking::Object;
use crate::model::blocking::ObjectNames;
use crate::model::gc::Surroundings;
use crate::model::{Around, BinarySymbols};
use crate::target::process::Process;
use crate::units::{RuntimeAddr, VirtAddr};

/// The process as it is while the ring is drained once: as far as /proc tells without asking file systems.
pub(super) struct AroundProcess<'a> {
    process: &'a Process,
    symbols: BinarySymbols<'a>,
    surroundings: OnceCell<Surroundings>,
}

impl<'a> AroundProcess<'a> {
    pub(super) fn new(process: &'a Process, symbols: BinarySymbols<'a>) -> Self {
        Self { process, symbols, surroundings: OnceCell::new() }
    }
}

impl ObjectNames for AroundProcess<'_> {
    fn name(&self, object: &Object, fd: Option<u64>) -> Option<String> {
        let descriptor = self.process.descriptor(fd?)?;
        let identity = descriptor.identity.filter(|identity| identity.inode == object.inode);
        identity.map(|_| descriptor.object.to_string())
    }
}

impl Around for AroundProcess<'_> {
    fn surroundings(&self) -> Surroundings {
        let process = self.process;
        let look = || Surroundings { rss: process.resident(), throttled: process.throttled() };
        *self.surroundings.get_or_init(look)
    }

    fn is_without_frame(&self, address: RuntimeAddr) -> bool {
        let BinarySymbols { binary, bias } = self.symbols;
        binary.frame_size(VirtAddr(address.0.wrapping_sub(bias))) == Some(0)
    }
}
