//! What a tracer left that was killed while it armed or disarmed its probes, out again.
//!
//! A fatal signal that is pending makes the kernel fail to fetch the page that it is to restore, and it gives up with the
//! breakpoint in place ("failed to unregister, leaking uprobe" in its log; kernel/events/uprobes.c,
//! `register_for_each_vma`). The program then runs into a probe that serves nobody. Whoever arms the same place and
//! disarms it has the kernel restore the byte; where somebody else's probe is, the kernel lets it be.

use std::ffi::CString;
use std::fs::File;

use aya::programs::UProbe;
use aya::programs::uprobe::{UProbeAttachLocation, UProbeAttachPoint, UProbeScope};
use tracer_ebpf::config::Config;

use super::attach::{AttachError, STARTUP, own_path, typed};
use super::held::Held;
use super::load::{LoadError, LoadOptions, Loaded};
use super::uprobe_multi::{Point, Supported};
use crate::units::FileOffset;

/// Arms those places of the binary for the process, with a program that does nothing, and disarms them again.
///
/// They must have a breakpoint already: no other place is safe without a proof.
///
/// # Errors
/// When the kernel refuses it.
pub fn rearm(binary: &File, places: &[FileOffset], pid: u32) -> Result<(), AttachError> {
    // It looks at process 0, which runs no program.
    let mut loaded = Loaded::load(&LoadOptions::of_start(Config::default()))?;
    let path = own_path(binary);
    let _held = Held::at(binary, places.iter().copied());
    if let Some(program) = loaded.multi_program(STARTUP)? {
        let pid = if program.supported() == Supported::Yes { pid } else { 0 };
        let path = CString::new(path).map_err(|_| LoadError::Part("path"))?;
        let points: Vec<Point> = places.iter().map(|place| Point { offset: place.0, cookie: 0 }).collect();
        let armed = program.attach(&path, &points, pid);
        return armed.map(drop).map_err(|source| AttachError::Sites { sites: points.len(), source });
    }
    loaded.load_uprobe(STARTUP)?;
    let program: &mut UProbe = typed(&mut loaded, STARTUP)?;
    for place in places {
        let location = UProbeAttachLocation::AbsoluteOffset(place.0);
        let refused = |source| {
            let function = format!("the instruction at {:#x} of the file", place.0);
            AttachError::Site { function, source: Box::new(source) }
        };
        let point = UProbeAttachPoint { location, cookie: None };
        let armed = program.attach(point, &path, UProbeScope::AllProcesses).map_err(refused)?;
        program.detach(armed).map_err(refused)?;
    }
    Ok(())
}
