//! One link for all of a program's sites (`BPF_TRACE_UPROBE_MULTI`, Linux 6.6).
//!
//! aya can do this from 0.15 on, which needs Rust 1.98. Until that is our minimum, this file loads the
//! program with the attach type that the link needs and creates the link; then it goes.

use std::ffi::CString;
use std::io;
use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd, RawFd};

use aya_obj::generated::{bpf_attach_type::BPF_TRACE_UPROBE_MULTI, bpf_attr, bpf_cmd, bpf_prog_type};

use super::undisturbed::Undisturbed;

/// A program that can only be attached to many sites at once.
#[derive(Debug)]
pub(super) struct Program(OwnedFd);

/// The sites of one binary, armed. Dropping it disarms all of them at once.
#[derive(Debug)]
pub(super) struct Link(Option<OwnedFd>);

impl Drop for Link {
    fn drop(&mut self) {
        let _undisturbed = Undisturbed::begin();
        drop(self.0.take());
    }
}

/// Whether the kernel has such links.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Supported {
    /// It has, and their pid filter means the process.
    Yes,
    /// It has, but the pid filter means a single thread (before "bpf: Fix multi-uprobe PID filtering
    /// logic", Linux 6.10 and stable branches), so it must not be used.
    WithoutPidFilter,
    /// It has not.
    No,
}

/// One site: where in the file, and what the program is told there.
#[derive(Clone, Copy, Debug)]
pub(super) struct Point {
    pub(super) offset: u64,
    pub(super) cookie: u64,
}

/// Why a program could not be loaded: the system call's error, and what the verifier said.
#[derive(Debug)]
pub(super) struct Refusal {
    pub(super) source: io::Error,
    pub(super) verifier_log: String,
}

/// Loads a program from a relocated object.
pub(super) fn load(object: &aya_obj::Object, name: &str) -> Result<Program, Refusal> {
    let no_log = |source| Refusal { source, verifier_log: String::new() };
    let missing = || no_log(io::Error::new(io::ErrorKind::NotFound, format!("no program {name}")));
    let program = object.programs.get(name).ok_or_else(missing)?;
    let function = object.functions.get(&program.function_key()).ok_or_else(missing)?;

    match prog_load(program, function, &mut []) {
        Ok(fd) => Ok(Program(fd)),
        Err(source) => {
            let mut log = vec![0; 16 << 20];
            // Once more, with the verifier's reasons; only its words matter now.
            let _ = prog_load(program, function, &mut log);
            let length = log.iter().position(|byte| *byte == 0).unwrap_or(log.len());
            Err(Refusal { source, verifier_log: String::from_utf8_lossy(&log[..length]).into_owned() })
        }
    }
}

fn prog_load(
    program: &aya_obj::Program,
    function: &aya_obj::Function,
    log: &mut [u8],
) -> io::Result<OwnedFd> {
    let mut attr = zeroed_attr();
    // SAFETY: every variant of the union is plain data, and all of it is zeroed.
    let load = unsafe { &mut attr.__bindgen_anon_3 };
    load.prog_type = bpf_prog_type::BPF_PROG_TYPE_KPROBE as u32;
    load.expected_attach_type = BPF_TRACE_UPROBE_MULTI as u32;
    load.insns = function.instructions.as_ptr() as u64;
    load.insn_cnt = u32::try_from(function.instructions.len()).map_err(io::Error::other)?;
    load.license = program.license.as_ptr() as u64;
    if !log.is_empty() {
        load.log_level = 1;
        load.log_buf = log.as_mut_ptr() as u64;
        load.log_size = u32::try_from(log.len()).map_err(io::Error::other)?;
    }
    bpf(bpf_cmd::BPF_PROG_LOAD, &mut attr)
}

impl Program {
    /// The same one, for another to hold.
    pub(super) fn try_clone(&self) -> io::Result<Self> {
        self.0.try_clone().map(Self)
    }

    /// Arms the sites of the file at `path`, for the process `pid` or, with 0, for all.
    pub(super) fn attach(&self, path: &CString, points: &[Point], pid: u32) -> io::Result<Link> {
        let offsets: Vec<u64> = points.iter().map(|point| point.offset).collect();
        let cookies: Vec<u64> = points.iter().map(|point| point.cookie).collect();
        let mut attr = zeroed_attr();
        // SAFETY: as in `prog_load`.
        let create = unsafe { &mut attr.link_create };
        create.__bindgen_anon_1.prog_fd = raw(&self.0);
        create.attach_type = BPF_TRACE_UPROBE_MULTI as u32;
        // SAFETY: as in `prog_load`.
        let multi = unsafe { &mut create.__bindgen_anon_3.uprobe_multi };
        multi.path = path.as_ptr() as u64;
        multi.offsets = offsets.as_ptr() as u64;
        multi.cookies = cookies.as_ptr() as u64;
        multi.cnt = u32::try_from(points.len()).map_err(io::Error::other)?;
        multi.pid = pid;
        let _undisturbed = Undisturbed::begin();
        bpf(bpf_cmd::BPF_LINK_CREATE, &mut attr).map(|fd| Link(Some(fd)))
    }

    /// Asks the kernel by two calls that must fail, each in its own way. "/" is no regular file, so a kernel
    /// that knows such links says EBADF; one that also filters by process refuses a negative pid before that,
    /// with EINVAL (kernel/trace/bpf_trace.c, `bpf_uprobe_multi_link_attach`).
    pub(super) fn supported(&self) -> Supported {
        let root = c"/".to_owned();
        let point = [Point { offset: 0, cookie: 0 }];
        let errno = |pid| self.attach(&root, &point, pid).err().and_then(|error| error.raw_os_error());
        if errno(0) != Some(libc::EBADF) {
            Supported::No
        } else if errno(u32::MAX) == Some(libc::EINVAL) {
            Supported::Yes
        } else {
            Supported::WithoutPidFilter
        }
    }
}

fn raw(fd: &OwnedFd) -> u32 {
    // Descriptors are never negative.
    fd.as_raw_fd().cast_unsigned()
}

fn zeroed_attr() -> bpf_attr {
    // SAFETY: the union consists of integers and addresses, for which zero is a value.
    unsafe { std::mem::zeroed() }
}

/// The system call, for the commands that return a descriptor.
fn bpf(command: bpf_cmd, attr: &mut bpf_attr) -> io::Result<OwnedFd> {
    // SAFETY: the kernel reads `attr` and the buffers that it names, which outlive the call, and writes to
    // the log buffer only.
    let result =
        unsafe { libc::syscall(libc::SYS_bpf, command, std::ptr::from_mut(attr), size_of::<bpf_attr>()) };
    match RawFd::try_from(result) {
        // SAFETY: the kernel just made this descriptor for us.
        Ok(fd) if fd >= 0 => Ok(unsafe { OwnedFd::from_raw_fd(fd) }),
        _ => Err(io::Error::last_os_error()),
    }
}
