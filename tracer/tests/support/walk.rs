//! Everything that the reader offers, asked of one file: what the tests of damaged files and the fuzz target share.

#![allow(dead_code, reason = "every test binary uses its own part of this")]

use std::fs::File;
use std::io::Write as _;
use std::path::PathBuf;

use gotrace::probe::{gc, plan};
use gotrace::target::gobin::{BinaryError, GoBinary};
use gotrace::units::VirtAddr;

/// What a walk saw, so that nothing of it is optimised away and sizes can be judged.
#[derive(Debug, Default)]
pub(crate) struct Walk {
    pub(crate) functions: usize,
    pub(crate) inits: usize,
    pub(crate) sites: usize,
    pub(crate) frames: usize,
    pub(crate) names_len: usize,
}

/// A file without a name that holds those bytes.
pub(crate) fn file_of(bytes: &[u8]) -> File {
    let mut file = tempfile::tempfile().expect("a temporary file");
    file.write_all(bytes).expect("a temporary file can be written");
    file
}

/// Opens those bytes as a Go binary.
pub(crate) fn open(bytes: &[u8]) -> Result<GoBinary, BinaryError> {
    GoBinary::from_file(file_of(bytes), PathBuf::from("hostile"))
}

/// Opens them and asks for everything.
pub(crate) fn walk_bytes(bytes: &[u8]) -> Result<Walk, BinaryError> {
    match open(bytes) {
        Ok(binary) => Ok(walk(&binary)),
        Err(error) => {
            assert!(!error.to_string().is_empty());
            Err(error)
        }
    }
}

/// Asks a binary for everything.
pub(crate) fn walk(binary: &GoBinary) -> Walk {
    let mut walk = Walk::default();
    let functions = binary.functions();
    assert!(!binary.version().raw().is_empty());
    let _ = (binary.machine(), binary.support(), binary.linking(), binary.build_info(), binary.entry());
    let _ = (functions.len(), functions.is_empty(), binary.version().experiments(), binary.path());
    for (index, function) in functions.iter().enumerate() {
        walk.functions += 1;
        walk.names_len += function.name.len();
        assert!(function.entry <= function.end, "a function of negative length");
        walk.sites += usize::from(binary.site(&function).is_ok());
        let _ = binary.init_ready_site(&function);
        // All of them would take long in a large program, and tell no more.
        if index % 16 == 0 || index < 256 {
            let middle = VirtAddr(u64::midpoint(function.entry.0, function.end.0));
            for at in [function.entry, middle, function.end] {
                walk.frames += binary.frames(at).len();
                let _ = binary.file_offset(at);
            }
            if let Some(found) = functions.containing(middle) {
                assert!(found.entry <= middle && middle < found.end);
            }
        }
        if index < 64 {
            let _ = binary.init_task(function.entry);
            let _ = functions.named(&function.name);
            let _ = binary.site_after_call(&function, "runtime.schedinit");
            let _ = binary.site_of_calls(&function, "runtime.schedinit");
            let _ = binary.world_stopped_site(&function, function.entry);
        }
    }
    for tasks in binary.init_tasks().into_iter() {
        walk.inits = tasks.len();
        for task in &tasks {
            assert!(binary.init_task(task.address).is_ok());
        }
    }
    for at in [0, 1, 8, 0x40_0000, 0x60_0000, u64::MAX, u64::MAX - 7, 1 << 63] {
        let _ = (binary.init_task(VirtAddr(at)), functions.containing(VirtAddr(at)));
        let _ = (binary.frames(VirtAddr(at)), binary.file_offset(VirtAddr(at)));
    }
    let _ =
        (binary.inlined_into("main.helper"), binary.inlined_into("runtime.doInit"), binary.inlined_into(""));
    let _ = (binary.layout_source(), binary.runtime_layout(), binary.heap_globals(), binary.pauses());
    for planned in gc(binary).into_iter().flat_map(|plan| plan.sites) {
        assert_eq!(binary.file_offset(planned.site.address), Some(planned.site.file_offset));
    }
    let plan = plan::startup(binary, plan::Detail::Lean);
    for planned in &plan.sites {
        assert!(!planned.site.bytes.is_empty());
        assert_eq!(binary.file_offset(planned.site.address), Some(planned.site.file_offset));
    }
    walk
}
