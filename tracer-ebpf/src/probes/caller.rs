//! Who runs on a thread of the target: the runtime's `m` of it, and the goroutine.

use aya_ebpf::helpers::bpf_get_current_pid_tgid;
use tracer_ebpf::wire::{
    Probe,
    blocking::{Caller, Thread},
};

use super::{
    emit,
    maps::{BLOCKING, THREADS},
    memory::read,
    target,
};

#[inline(always)]
pub(super) fn tid() -> u32 {
    bpf_get_current_pid_tgid() as u32
}

/// What is kept of the current thread; none, and counted, when there are more threads than are kept.
#[inline(always)]
pub(super) fn thread() -> Option<&'static mut Thread> {
    let tid = tid();
    if let Some(thread) = THREADS.get_ptr_mut(tid) {
        // SAFETY: the map's value lives as long as the program, and only its own thread's programs write it.
        return Some(unsafe { &mut *thread });
    }
    let _ = THREADS.insert(tid, Thread::default(), 0);
    let thread = THREADS.get_ptr_mut(tid);
    if thread.is_none() {
        emit::lose(Probe::Summed as u32);
    }
    // SAFETY: as above.
    thread.map(|thread| unsafe { &mut *thread })
}

/// Who runs on the thread; leaves a goroutine's id and origin in `thread`.
#[inline(always)]
pub(super) fn caller(thread: &mut Thread, register: u64) -> Caller {
    let caller = who(thread, register);
    if caller as u32 == Caller::Goroutine as u32 {
        identify(thread);
    }
    caller
}

/// Who runs on the thread; leaves a goroutine's `g` in `thread`.
#[inline(always)]
pub(super) fn who(thread: &mut Thread, register: u64) -> Caller {
    let go = BLOCKING.load();
    if go.m_curg == 0 {
        return Caller::Unknown;
    }
    if thread.m != 0 && go.m_moves != 0 && !is_m(thread.m) {
        thread.m = 0;
    }
    if thread.m == 0 {
        // Go code keeps g in a register; whatever is in it is only believed when it leads back to this thread.
        let Some(m) = read::<u64>(register + u64::from(go.g_m)) else { return Caller::Unknown };
        if !is_m(m) {
            return Caller::Unknown;
        }
        thread.m = m;
    }
    // The goroutine that made the last call made this one too when its g is in the register still: Go code keeps
    // its own there, and C code that keeps it was called by that goroutine.
    if thread.g != register || register == 0 || go.m_moves != 0 {
        thread.g = read::<u64>(thread.m + u64::from(go.m_curg)).unwrap_or(0);
    }
    if thread.g == 0 { Caller::Runtime } else { Caller::Goroutine }
}

/// The id of the goroutine that [`who`] found, and the address behind the go statement that made it.
#[inline(always)]
pub(super) fn identify(thread: &mut Thread) -> (u64, u64) {
    let go = BLOCKING.load();
    let goid = read::<u64>(thread.g + u64::from(go.g_goid)).unwrap_or(0);
    if goid != thread.goid {
        thread.goid = goid;
        thread.gopc = read::<u64>(thread.g + u64::from(go.g_gopc)).unwrap_or(0);
    }
    (goid, thread.gopc)
}

/// Whether that is the current thread's `m`: it holds the thread's id, as the target's own PID namespace counts.
#[inline(always)]
fn is_m(m: u64) -> bool {
    let go = BLOCKING.load();
    m != 0 && read::<u64>(m + u64::from(go.m_procid)) == Some(u64::from(target::own_tid()))
}
