//! The least that a tracer of system calls can cost: a program that does nothing, at their entry and at their exit.

use std::io;
use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd, RawFd};

use anyhow::{Context as _, Result};

/// `enum bpf_cmd` and `enum bpf_prog_type` in include/uapi/linux/bpf.h.
const PROG_LOAD: libc::c_int = 5;
const RAW_TRACEPOINT_OPEN: libc::c_int = 17;
const RAW_TRACEPOINT: u32 = 17;

/// `r0 = 0; exit`
const NOTHING: [u64; 2] = [0xb7, 0x95];

/// The links; they end with it.
pub(super) struct EmptyPair {
    _links: [OwnedFd; 2],
}

/// The part of `union bpf_attr` that loads a program.
#[repr(C)]
#[derive(Default)]
struct Load {
    kind: u32,
    instructions: u32,
    code: u64,
    license: u64,
    /// The log that is not asked for, and what newer kernels know.
    rest: [u64; 4],
}

/// The part that attaches it.
#[repr(C)]
struct Open {
    name: u64,
    program: u32,
    padding: u32,
}

impl EmptyPair {
    pub(super) fn attach() -> Result<Self> {
        let mut load = Load {
            kind: RAW_TRACEPOINT,
            instructions: 2,
            code: NOTHING.as_ptr() as u64,
            license: c"GPL".as_ptr() as u64,
            ..Load::default()
        };
        let program = bpf(PROG_LOAD, &mut load).context("loading a program that does nothing")?;
        let open = |name: &std::ffi::CStr| {
            let program = program.as_raw_fd().cast_unsigned();
            bpf(RAW_TRACEPOINT_OPEN, &mut Open { name: name.as_ptr() as u64, program, padding: 0 })
        };
        let links = [open(c"sys_enter").context("attaching it")?, open(c"sys_exit").context("attaching it")?];
        Ok(Self { _links: links })
    }
}

fn bpf<T>(command: libc::c_int, attributes: &mut T) -> io::Result<OwnedFd> {
    // SAFETY: the kernel reads as many bytes as `attributes` has, and what these point to lives on.
    let fd = unsafe { libc::syscall(libc::SYS_bpf, command, std::ptr::from_mut(attributes), size_of::<T>()) };
    match RawFd::try_from(fd) {
        // SAFETY: the descriptor is new and nobody else's.
        Ok(fd) if fd >= 0 => Ok(unsafe { OwnedFd::from_raw_fd(fd) }),
        _ => Err(io::Error::last_os_error()),
    }
}
