//! Why goroutines do not run: where the runtime parks one, makes it ready, and runs it again. These are the hottest
//! places that gotrace probes, so there are sums, and only what is rare is sent: a long wait that another goroutine ended.

use aya_ebpf::{
    EbpfContext as _,
    bindings::BPF_F_USER_STACK,
    helpers::generated::bpf_get_attach_cookie,
    macros::uprobe,
    programs::{ProbeContext, tracing::StackIdContext as _},
};
use tracer_ebpf::wire::{
    Header, Probe,
    blocking::{Caller, NO_STACK},
    parking::{Key, LONGEST_HANDLER, Parked, Stats, Waker, Woken},
    startup::Cookie,
};

use super::{
    caller::{caller, thread, tid},
    emit,
    main_thread::now,
    maps::{BLOCKING, EMPTY_PARKING, PARKED, PARKING, PARKINGS, SAMPLING, SPENT, STACKS},
    memory::read,
    registers,
    sums::note,
    target,
};

/// Registers by their numbers in instruction encodings.
const RAX: u32 = 0;
const RCX: u32 = 1;
const R14: u32 = 14;

/// `_Gwaiting` (runtime/runtime2.go).
const WAITING: u32 = 4;
/// `_Gscan`, which the collector adds while it scans the stack.
const SCAN: u32 = 0x1000;

/// One program for all three places; the cookie says which it is, and which register holds the goroutine's `g`.
#[uprobe]
fn parking(ctx: ProbeContext) -> u32 {
    if !target::is_current() {
        return 0;
    }
    let time = now();
    // SAFETY: `ctx` is the context that the kernel gave this program.
    let cookie = Cookie::from_bits(unsafe { bpf_get_attach_cookie(ctx.as_ptr()) });
    emit::count(cookie.probe);
    let g = registers::by_number(ctx.regs, cookie.register);
    if cookie.probe == Probe::Park as u32 {
        park(&ctx, cookie, time);
    } else if cookie.probe == Probe::MadeReady as u32 {
        made_ready(&ctx, g, time);
    } else {
        execute(g, time);
    }
    spend(time);
    0
}

/// The current goroutine is about to be parked.
#[inline(always)]
fn park(ctx: &ProbeContext, cookie: Cookie, time: u64) {
    let g = registers::by_number(ctx.regs, R14);
    let is_gopark = cookie.register == R14;
    if !is_gopark && !calls_park_m(ctx) {
        return;
    }
    let Some(thread) = thread() else { return emit::count_dropped(Probe::Park as u32) };
    if caller(thread, g) as u32 != Caller::Goroutine as u32 {
        return emit::count_dropped(Probe::Park as u32);
    }
    if !is_followed(thread.goid) {
        return;
    }
    // `gopark` has the reason among its arguments, and has noted it when it calls `mcall`.
    let reason = if is_gopark {
        registers::by_number(ctx.regs, RCX) as u8
    } else {
        read(g + u64::from(PARKING.load().g_waitreason)).unwrap_or(0)
    };
    let stack = match ctx.get_stackid(&STACKS, u64::from(BPF_F_USER_STACK)) {
        Ok(number) => number,
        Err(error) => i64::from(error),
    };
    let parked = Parked {
        since: time,
        stack,
        gopc: thread.gopc,
        ready: 0,
        waker_gopc: 0,
        waker_goid: 0,
        reason: u32::from(reason),
        waker: Waker::Unseen as u32,
    };
    if PARKED.insert(thread.goid, parked, 0).is_err() {
        emit::count_dropped(Probe::Park as u32);
    }
}

/// Whether what `mcall` is to call, on the scheduler's stack, is `park_m`: RAX is a Go function value, which points to
/// the code's address. Others that call `mcall` end, yield or are preempted.
#[inline(always)]
fn calls_park_m(ctx: &ProbeContext) -> bool {
    let called: Option<u64> = read(registers::by_number(ctx.regs, RAX));
    called
        .is_some_and(|called| called.wrapping_sub(registers::instruction(ctx.regs)) == PARKING.load().park_m)
}

/// A parked goroutine is made ready to run.
#[inline(always)]
fn made_ready(ctx: &ProbeContext, g: u64, time: u64) {
    let Some(goid) = read::<u64>(g + u64::from(BLOCKING.load().g_goid)) else { return };
    let parked = PARKED.get_ptr_mut(goid);
    if parked.is_none() && !is_followed(goid) {
        return;
    }
    let (waker, waker_gopc, waker_goid) = waker(ctx);
    let Some(parked) = parked else { return joined(g, waker, waker_gopc) };
    // SAFETY: the map's value lives as long as the program; a goroutine is parked, made ready and run in this
    // order, so nothing else changes it meanwhile.
    let parked = unsafe { &mut *parked };
    parked.ready = time;
    parked.waker = waker as u32;
    parked.waker_gopc = waker_gopc;
    parked.waker_goid = waker_goid;
}

/// The scheduler switches to a goroutine.
#[inline(always)]
fn execute(g: u64, time: u64) {
    let Some(goid) = read::<u64>(g + u64::from(BLOCKING.load().g_goid)) else { return };
    let Some(parked) = PARKED.get_ptr(goid) else { return };
    // SAFETY: as above.
    let parked = unsafe { *parked };
    let _ = PARKED.remove(goid);
    let key = Key {
        stack: parked.stack,
        gopc: parked.gopc,
        waker_gopc: parked.waker_gopc,
        reason: parked.reason,
        waker: parked.waker,
    };
    // Two processors' clocks may differ by a little.
    let since = |begin: u64| if time > begin { time - begin } else { 0 };
    let total = since(parked.since);
    if parked.waker_goid != 0 && total >= BLOCKING.load().slow {
        let at = |header| Header { time, ..header };
        emit::emit(Probe::Woken as u32, tid(), |header| Woken { header: at(header), goid, parked });
    }
    let Some(stats) = stats(&key) else { return emit::count_dropped(Probe::Execute as u32) };
    emit::add(&raw mut stats.count, 1);
    emit::add(&raw mut stats.total, total);
    if parked.ready != 0 {
        emit::add(&raw mut stats.runnable, since(parked.ready));
    }
    if total > stats.longest {
        stats.longest = total;
    }
    note(&mut stats.histogram, total);
}

/// Who runs on this thread, which makes another goroutine ready: of a goroutine also its go statement and its id.
#[inline(always)]
fn waker(ctx: &ProbeContext) -> (Waker, u64, u64) {
    let Some(thread) = thread() else { return (Waker::Unknown, 0, 0) };
    match caller(thread, registers::by_number(ctx.regs, R14)) {
        Caller::Goroutine => (Waker::Goroutine, thread.gopc, thread.goid),
        Caller::Runtime => (Waker::Runtime, 0, 0),
        Caller::Unknown => (Waker::Unknown, 0, 0),
    }
}

/// A goroutine that was parked before gotrace came is made ready.
#[inline(always)]
fn joined(g: u64, waker: Waker, waker_gopc: u64) {
    let config = PARKING.load();
    let status: Option<u32> = read(g + u64::from(config.g_atomicstatus));
    let reason: Option<u8> = read(g + u64::from(config.g_waitreason));
    let gopc: Option<u64> = read(g + u64::from(BLOCKING.load().g_gopc));
    let (Some(status), Some(reason), Some(gopc)) = (status, reason, gopc) else { return };
    if status & !SCAN != WAITING || waker as u32 == Waker::Unknown as u32 {
        return;
    }
    let key = Key { stack: NO_STACK, gopc, waker_gopc, reason: u32::from(reason), waker: waker as u32 };
    match stats(&key) {
        Some(stats) => emit::add(&raw mut stats.joined, 1),
        None => emit::count_dropped(Probe::MadeReady as u32),
    }
}

/// Whether the goroutine is among those that are followed.
#[inline(always)]
fn is_followed(goid: u64) -> bool {
    // SAFETY: the map's value lives as long as the program, and is a word.
    SAMPLING.get_ptr(0).is_none_or(|mask| unsafe { mask.read_volatile() } & goid == 0)
}

#[inline(always)]
fn stats(key: &Key) -> Option<&'static mut Stats> {
    let mut found = PARKINGS.get_ptr_mut(key);
    if found.is_none() {
        if let Some(empty) = EMPTY_PARKING.get(0) {
            // Another processor may be faster; then there is one already.
            let _ = PARKINGS.insert(key, empty, 1);
        }
        found = PARKINGS.get_ptr_mut(key);
    }
    // SAFETY: the map's value lives as long as the program.
    found.map(|stats| unsafe { &mut *stats })
}

/// Adds up what the handler took since `began`.
#[inline(always)]
fn spend(began: u64) {
    let Some(spent) = SPENT.get_ptr_mut(0) else { return };
    let took = now() - began;
    emit::add(spent, if took < LONGEST_HANDLER { took } else { LONGEST_HANDLER });
}
