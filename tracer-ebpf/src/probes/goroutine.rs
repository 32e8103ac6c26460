//! The main goroutine, read from the target's memory: only what it has used itself, so that the page is there.

use tracer_ebpf::wire::account::{MAX_DEPTH, WaitKind};

use super::{maps::GO, memory::read};

/// `_Gwaiting` (runtime/runtime2.go).
const WAITING: u32 = 4;
/// `_Gscan`, which the collector adds while it scans the stack.
const SCAN: u32 = 0x1000;

/// The goroutine's wait reason, if it is parked.
#[inline(always)]
pub(super) fn parked(g: u64) -> Option<u32> {
    let go = GO.load();
    if g == 0 || go.g_atomicstatus == 0 {
        return None;
    }
    let status: u32 = read(g + u64::from(go.g_atomicstatus))?;
    if status & !SCAN != WAITING {
        return None;
    }
    let reason: u8 = read(g + u64::from(go.g_waitreason))?;
    Some(u32::from(reason))
}

/// What a wait reason stands for.
#[inline(always)]
pub(super) fn wait_kind(reason: u32) -> WaitKind {
    let go = GO.load();
    let bit = 1_u64 << (reason & 63);
    if go.sleep_reasons & bit != 0 {
        WaitKind::Sleep
    } else if go.network_reasons & bit != 0 {
        WaitKind::Network
    } else if go.gc_reasons & bit != 0 {
        WaitKind::Gc
    } else {
        WaitKind::Goroutine
    }
}

/// Its id; 0 when it is not known.
#[inline(always)]
pub(super) fn goid(g: u64) -> u64 {
    let go = GO.load();
    if g == 0 || go.g_goid == 0 {
        return 0;
    }
    read(g + u64::from(go.g_goid)).unwrap_or(0)
}

/// The address behind the go statement that made it; 0 when it is not known.
#[inline(always)]
pub(super) fn made_by(g: u64) -> u64 {
    let go = GO.load();
    if go.g_gopc == 0 { 0 } else { read(g + u64::from(go.g_gopc)).unwrap_or(0) }
}

/// Fills in the goroutine's stack, the innermost frame first, from the thread's registers when they are on it,
/// else from where it was left (parked, or in C code). Returns how many frames there are.
#[inline(always)]
pub(super) fn stack(g: u64, ip: u64, sp: u64, bp: u64, into: &mut [u64; MAX_DEPTH]) -> u64 {
    let go = GO.load();
    if g == 0 || go.g_sched_bp == 0 {
        return 0;
    }
    let Some([low, high]) = read::<[u64; 2]>(g) else { return 0 };
    let on_stack = low <= sp && sp < high;
    let (pc, mut frame) = if on_stack {
        (ip, bp)
    } else {
        let pc = read(g + u64::from(go.g_sched_pc)).unwrap_or(0);
        (pc, read(g + u64::from(go.g_sched_bp)).unwrap_or(0))
    };
    into[0] = pc;
    let mut depth = 1;
    for slot in into.iter_mut().skip(1) {
        // Frame pointers only grow on the way out; whatever does not is none.
        if frame < low || frame >= high {
            break;
        }
        let Some([next, address]) = read::<[u64; 2]>(frame) else { break };
        if address == 0 {
            break;
        }
        *slot = address;
        depth += 1;
        if next <= frame {
            break;
        }
        frame = next;
    }
    depth
}
