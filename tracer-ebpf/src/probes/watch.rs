//! Every process of some binaries, from its exec to `main.main`. The sites are armed for all of them; which processes
//! run the binary, the kernel has found out when it comes by a site, whatever file system or mount the file was
//! executed from.

use aya_ebpf::{
    EbpfContext as _,
    helpers::{
        bpf_get_current_comm, bpf_get_current_pid_tgid,
        generated::{
            bpf_get_attach_cookie, bpf_get_current_cgroup_id, bpf_get_current_task, bpf_ktime_get_boot_ns,
        },
    },
    macros::{raw_tracepoint, uprobe},
    programs::{ProbeContext, RawTracePointContext},
};
use tracer_ebpf::wire::{
    Header, Probe,
    account::Account,
    process::{COMM_LEN, Exec, Exit},
    startup::{Cookie, Heap, Hit},
    watch::{FILE_IS_NEW_AFTER, FileKey, Listen, NewFile, Origin},
};

use super::{
    emit::{announce, emit, lose},
    maps::{EXECUTED, Executed, FILES_TOLD, SILENT, WATCH, WATCHED},
    memory::read_kernel,
    registers,
};

/// include/net/tcp_states.h
const TCP_LISTEN: u32 = 10;

/// Any process's exec: kept until it comes by a site, or forgotten. Of one that is watched it is the end.
#[raw_tracepoint(tracepoint = "sched_process_exec")]
fn watch_exec(ctx: RawTracePointContext) -> i32 {
    let tgid = process();
    let comm = bpf_get_current_comm().unwrap_or([0; COMM_LEN]);
    // SAFETY: the helper has no preconditions.
    let time = unsafe { bpf_ktime_get_boot_ns() };
    if WATCHED.remove(tgid).is_ok() {
        emit(Probe::Exec as u32, tgid, |header| Exec { header, comm, account: Account::default() });
    }
    let _ = SILENT.remove(tgid);
    let _ = EXECUTED.insert(tgid, Executed { time, comm, parent: parent() }, 0);
    if WATCH.load().tell_files != 0 {
        // sched_process_exec(task, old_pid, bprm)
        tell_file(ctx.arg::<u64>(2), tgid, time);
    }
    0
}

/// Tells which file the process executed, if that was not told lately: so programs that are run all the time cost
/// user space nothing.
#[inline(always)]
fn tell_file(bprm: u64, tgid: u32, time: u64) {
    let file = file_of(bprm);
    if file.inode != 0 {
        if let Some(told) = FILES_TOLD.get_ptr(file)
            // SAFETY: a word of a map's value, which lives as long as the program.
            && time.wrapping_sub(unsafe { *told }) < FILE_IS_NEW_AFTER
        {
            return;
        }
        let _ = FILES_TOLD.insert(file, time, 0);
    }
    announce(Probe::NewFile as u32, tgid, |header| NewFile { header, file });
}

/// The file of a `linux_binprm`, as far as it is known.
#[inline(always)]
fn file_of(bprm: u64) -> FileKey {
    let offsets = WATCH.load();
    let cgroup = cgroup();
    let unknown = FileKey { device: 0, inode: 0, cgroup };
    if offsets.inode_number == 0 {
        return unknown;
    }
    let word = |at: u64, offset: u32| read_kernel::<u64>(at + u64::from(offset)).filter(|word| *word != 0);
    let Some(inode) = word(bprm, offsets.binprm_file).and_then(|file| word(file, offsets.file_inode)) else {
        return unknown;
    };
    let superblock = word(inode, offsets.inode_superblock);
    let device = superblock.and_then(|at| read_kernel::<u32>(at + u64::from(offsets.superblock_device)));
    match (word(inode, offsets.inode_number), device) {
        (Some(inode), Some(device)) => FileKey { device: u64::from(device), inode, cgroup },
        _ => unknown,
    }
}

/// The end of the process, told by its main thread's.
#[raw_tracepoint(tracepoint = "sched_process_exit")]
fn watch_exit(_ctx: RawTracePointContext) -> i32 {
    let ids = bpf_get_current_pid_tgid();
    let tgid = process();
    if ids as u32 != tgid {
        return 0;
    }
    let _ = EXECUTED.remove(tgid);
    let _ = SILENT.remove(tgid);
    if WATCHED.remove(tgid).is_ok() {
        emit(Probe::Exit as u32, tgid, |header| Exit { header });
    }
    0
}

/// The first TCP socket of a process that is to be connected to. The kernel tells in the caller's context
/// (`inet_csk_listen_start`), of Multipath TCP as well, which is TCP underneath.
#[raw_tracepoint(tracepoint = "inet_sock_set_state")]
fn watch_listen(ctx: RawTracePointContext) -> i32 {
    // inet_sock_set_state(sk, oldstate, newstate)
    if ctx.arg::<u64>(2) as u32 != TCP_LISTEN {
        return 0;
    }
    let tgid = process();
    if SILENT.remove(tgid).is_ok() {
        announce(Probe::Listen as u32, tgid, |header| Listen { header });
    }
    0
}

/// Every site, in every process that runs one of the binaries. Those that have reached `main.main`, or had begun before
/// gotrace did, are not looked at. A process belongs to the binary whose site it came by first: one file can have two
/// numbers, when it is in two overlay mounts.
#[uprobe]
fn watch(ctx: ProbeContext) -> u32 {
    // SAFETY: `ctx` is the context that the kernel gave this program.
    let cookie = Cookie::from_bits(unsafe { bpf_get_attach_cookie(ctx.as_ptr()) });
    let tgid = process();
    let mut argument = registers::by_number(ctx.regs, cookie.register);
    if let Some(binary) = WATCHED.get_ptr(tgid) {
        // SAFETY: a word of a map's value, which lives as long as the program.
        if unsafe { *binary } != cookie.site {
            return 0;
        }
    } else {
        let Some(executed) = EXECUTED.get_ptr(tgid) else {
            if cookie.probe == Probe::GoEntry as u32 {
                // Its exec was forgotten, for so many others.
                lose(Probe::Exec as u32);
            }
            return 0;
        };
        // SAFETY: the entry is this process's own, which does nothing else meanwhile; what takes its place when
        // it is forgotten is an entry too.
        let Executed { time, comm, parent } = unsafe { *executed };
        if WATCHED.insert(tgid, cookie.site, 0).is_err() {
            // Too many at once.
            lose(Probe::Exec as u32);
            let _ = EXECUTED.remove(tgid);
            return 0;
        }
        announce(Probe::Exec as u32, tgid, |header| Exec {
            header: Header { time, ..header },
            comm,
            account: Account::default(),
        });
        let cgroup = cgroup();
        emit(Probe::Origin as u32, tgid, |header| Origin { header, binary: cookie.site, cgroup });
        if WATCH.load().tell_listens != 0 && SILENT.insert(tgid, 0, 0).is_err() {
            lose(Probe::Listen as u32);
        }
        let _ = EXECUTED.remove(tgid);
        if cookie.probe == Probe::GoEntry as u32 {
            argument = u64::from(parent);
        }
    }
    // SAFETY: `regs` is the context, valid for the program's run.
    let ip = unsafe { (*ctx.regs).rip };
    let (account, heap) = (Account::default(), Heap::UNKNOWN);
    emit(cookie.probe, tgid, |header| Hit { header, ip, argument, account, heap });
    if cookie.probe == Probe::MainMain as u32 {
        let _ = WATCHED.remove(tgid);
    }
    0
}

/// The current process's control group of version 2.
#[inline(always)]
fn cgroup() -> u64 {
    // SAFETY: the helper has no preconditions.
    unsafe { bpf_get_current_cgroup_id() }
}

/// The current process, in the initial PID namespace.
#[inline(always)]
fn process() -> u32 {
    (bpf_get_current_pid_tgid() >> 32) as u32
}

/// The current process's parent, in the initial PID namespace; 0 when it is not known.
#[inline(always)]
fn parent() -> u32 {
    let offsets = WATCH.load();
    if offsets.real_parent == 0 || offsets.tgid == 0 {
        return 0;
    }
    // SAFETY: the helper has no preconditions.
    let task = unsafe { bpf_get_current_task() };
    let parent = read_kernel::<u64>(task + u64::from(offsets.real_parent)).filter(|parent| *parent != 0);
    parent.and_then(|parent| read_kernel(parent + u64::from(offsets.tgid))).unwrap_or(0)
}
