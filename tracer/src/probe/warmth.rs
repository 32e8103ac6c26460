//! Lets the kernel get ready for probes to be put in place.
//!
//! Before the first for a while, it waits until no processor can be in the middle of a fork: for a grace period of RCU's,
//! about ten milliseconds (`percpu_down_write(&dup_mmap_sem)` in `register_for_each_vma`, kernel/events/uprobes.c). The
//! next ones need not wait for that.

use std::fs::File;
use std::io;

use super::held::Held;
use super::trap;
use super::uprobe_multi::{Point, Program, Supported};
use crate::units::FileOffset;

/// Puts a probe on an instruction of gotrace's own, and takes it away.
#[derive(Debug)]
pub struct Warmth {
    program: Program,
    place: FileOffset,
    pid: u32,
    #[expect(dead_code, reason = "held for its drop")]
    page: Held,
}

impl Warmth {
    /// With that program.
    ///
    /// # Errors
    /// When there is no descriptor, or gotrace's own code is not as it was compiled.
    pub(super) fn by(program: &Program) -> io::Result<Self> {
        let pid = if program.supported() == Supported::Yes { std::process::id() } else { 0 };
        let place = trap::place()?;
        let page = Held::at(&File::open("/proc/self/exe")?, [place]);
        Ok(Self { program: program.try_clone()?, place, pid, page })
    }

    /// Does so; whoever puts probes in place meanwhile waits for the rest of the same time, and shortly after for none.
    ///
    /// # Errors
    /// When the kernel refuses it.
    pub fn make(&self) -> io::Result<()> {
        let point = [Point { offset: self.place.0, cookie: 0 }];
        self.program.attach(&c"/proc/self/exe".to_owned(), &point, self.pid).map(drop)
    }
}
