//! The main thread's long waits, one by one.

use tracer_ebpf::{
    main_thread::{MainThread, NONE},
    wire::{
        Probe,
        account::{MAX_DEPTH, Wait, WaitKind},
    },
};

use super::{emit, goroutine, maps::GO, registers};

/// Tells the present wait if it was long, and forgets it. With `own`, the main thread is the current one, and
/// its stack can be read.
#[inline(always)]
pub(super) fn tell(main: &mut MainThread, own: bool) {
    let duration = main.wait.duration;
    main.wait.duration = 0;
    if main.executed == 0 || duration < GO.load().slow_wait {
        return;
    }
    let present = main.wait;
    let tid = main.pid_tgid as u32;
    let g = main.g;
    let parked_in_poller = present.kind == WaitKind::Network as u32 && present.wait_reason != NONE as u32;
    let polled = if parked_in_poller { main.would_block } else { [NONE; 2] };
    if let Some((header, mut room)) = emit::reserve::<Wait>(Probe::Wait as u32, tid) {
        let record = room.as_mut_ptr();
        // SAFETY: `record` is room for one in the ring buffer, all of which is written.
        let record = unsafe {
            (&raw mut (*record).stack).write([0; MAX_DEPTH]);
            &mut *record
        };
        record.header = header;
        record.start = present.start;
        record.duration = duration;
        record.ip = present.ip;
        record.syscall = present.syscall;
        record.arguments = present.arguments;
        record.kind = present.kind;
        record.wait_reason = present.wait_reason;
        record.polled_syscall = polled[0];
        record.polled_fd = polled[1];
        record.goid = 0;
        record.depth = 0;
        if own {
            let saved = registers::of_current();
            record.goid = goroutine::goid(g);
            record.depth = goroutine::stack(g, saved.ip, saved.sp, saved.bp, &mut record.stack);
        }
        emit::submit(room);
    }
}
