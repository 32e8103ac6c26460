//! System calls on their return, when whatever they name has been in memory.

use aya_ebpf::{
    helpers::{
        bpf_get_current_pid_tgid,
        generated::{bpf_probe_read_user, bpf_probe_read_user_str},
    },
    macros::raw_tracepoint,
    programs::RawTracePointContext,
};
use tracer_ebpf::{
    main_thread::MainThread,
    wire::{
        Probe,
        syscall::{Call, OBJECT_LEN, number},
    },
};

use super::{
    emit, main_thread,
    maps::GO,
    registers::{self, Saved},
    target, wait,
};

const EAGAIN: i64 = -11;
const EINPROGRESS: i64 = -115;

/// `sys_exit(regs, ret)`
#[raw_tracepoint(tracepoint = "sys_exit")]
fn sys_exit(ctx: RawTracePointContext) -> i32 {
    let Some(main) = main_thread::get() else { return 0 };
    let ids = bpf_get_current_pid_tgid();
    if main.executed == 0 {
        // The account begins with the last system call before execve, so next to its time stamp.
        if main.pid_tgid == ids || main.task == 0 && target::is_current() {
            main_thread::begin(main);
        }
        return 0;
    }
    if !main_thread::is_process(main, ids) {
        return 0;
    }
    let own = main.pid_tgid == ids;
    let result: u64 = ctx.arg(1);
    let would_block = matches!(result as i64, EAGAIN | EINPROGRESS);
    if own {
        main.account.syscalls += 1;
    }
    let registers = registers::current();
    let waited = own && (main.wait.duration != 0 || would_block);
    if !waited && !may_matter(registers::syscall(registers)) {
        // Almost all of them: the runtime sets 114 signal handlers alone.
        return 0;
    }
    let saved = registers::saved(registers);
    if main.over != 0 {
        after_main(main, &saved, result, ids);
        return 0;
    }
    match saved.syscall {
        number::OPENAT => call(&saved, result, ids, Object::Path(saved.arguments[1])),
        number::OPEN => call(&saved, result, ids, Object::Path(saved.arguments[0])),
        number::CONNECT => call(&saved, result, ids, Object::Bytes(saved.arguments[1], saved.arguments[2])),
        number::MMAP if (saved.fd as i32) >= 0 => call(&saved, result, ids, Object::None),
        number::CLONE => call(&saved, result, ids, Object::None),
        // Its flags are the first word of its argument.
        number::CLONE3 => call(&saved, result, ids, Object::Bytes(saved.arguments[0], 8)),
        number::MPROTECT if main.g == 0 => call(&saved, result, ids, Object::None),
        _ => after_main(main, &saved, result, ids),
    }
    if own {
        if would_block {
            main.would_block = [saved.syscall, saved.arguments[0]];
        }
        // Behind the call's own record, which says what it waited for.
        wait::tell(main, true);
    }
    0
}

/// Whether a system call of that number may be told of, by its arguments and its result.
#[inline(always)]
fn may_matter(syscall: u64) -> bool {
    matches!(
        syscall,
        number::OPENAT
            | number::OPEN
            | number::CONNECT
            | number::MMAP
            | number::CLONE
            | number::CLONE3
            | number::MPROTECT
            | number::LISTEN
            | number::ACCEPT
            | number::ACCEPT4
            | number::WRITE
    )
}

/// What makes a program ready is of interest after `main.main` as well.
#[inline(always)]
fn after_main(main: &mut MainThread, saved: &Saved, result: u64, ids: u64) {
    match saved.syscall {
        number::LISTEN => call(saved, result, ids, Object::None),
        number::ACCEPT | number::ACCEPT4 if main.accepted == 0 && (result as i64) >= 0 => {
            main.accepted = 1;
            call(saved, result, ids, Object::None);
        }
        number::WRITE
            if GO.load().tell_writes != 0 && matches!(saved.arguments[0], 1 | 2) && (result as i64) > 0 =>
        {
            call(saved, result, ids, Object::Bytes(saved.arguments[1], result));
        }
        _ => {}
    }
}

enum Object {
    None,
    /// The path at that address.
    Path(u64),
    /// That many bytes at that address.
    Bytes(u64, u64),
}

#[inline(always)]
fn call(saved: &Saved, result: u64, ids: u64, object: Object) {
    if let Some((header, mut room)) = emit::reserve::<Call>(Probe::Call as u32, ids as u32) {
        let record = room.as_mut_ptr();
        // SAFETY: `record` is room for one in the ring buffer, all of which is written.
        let record = unsafe {
            (&raw mut (*record).object).write([0; OBJECT_LEN]);
            &mut *record
        };
        record.header = header;
        record.syscall = saved.syscall;
        record.result = result;
        let [first, second, third] = saved.arguments;
        record.arguments = [first, second, third, saved.fourth, saved.fd, saved.sixth];
        let to = (&raw mut record.object).cast();
        let length = match object {
            Object::None => 0,
            // SAFETY: the helper checks the address and writes at most that many bytes.
            Object::Path(address) => {
                unsafe { bpf_probe_read_user_str(to, OBJECT_LEN as u32, address as *const _) }
                    .checked_sub(1)
                    .unwrap_or(-1)
            }
            Object::Bytes(address, length) => {
                let length = if length > OBJECT_LEN as u64 { OBJECT_LEN as u32 } else { length as u32 };
                // SAFETY: as above.
                let result = unsafe { bpf_probe_read_user(to, length, address as *const _) };
                if result == 0 { i64::from(length) } else { -1 }
            }
        };
        record.object_len = if length < 0 { u64::MAX } else { length as u64 };
        emit::submit(room);
    }
}
