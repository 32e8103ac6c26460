//! The garbage collector: its cycles, the times that the world was stopped, and who was made to help with marking.
//!
//! Three hits a cycle, and nothing but what the runtime notes anyway: the clock readings are its own.

use core::mem::offset_of;

use aya_ebpf::{
    EbpfContext as _,
    helpers::generated::{bpf_get_attach_cookie, bpf_ktime_get_ns, bpf_probe_read_user},
    macros::uprobe,
    programs::ProbeContext,
};
use tracer_ebpf::wire::{
    Header, Probe,
    account::MAX_DEPTH,
    gc::{
        ASKER, ASSIST_SLACK, AssistKey, AssistStats, CONTROLLER_WORDS, Cycle, Holder, STATS_WORDS, Stop,
        WORK_WORDS,
    },
    startup::Cookie,
};

use super::{
    caller::tid,
    emit, goroutine, holder,
    main_thread::now,
    maps::{ASSISTS, WORLD},
    memory::read,
    opaque::opaque,
    registers, stack, target,
};

/// Registers by their numbers in instruction encodings.
const RAX: u32 = 0;
const RCX: u32 = 1;
const RBX: u32 = 3;
const RDI: u32 = 7;
const R14: u32 = 14;

/// What each read returns whose memory is not there (include/uapi/asm-generic/errno-base.h).
const EFAULT: i64 = -14;

/// One field of the configuration. To load all of them would take half of a program's stack.
macro_rules! known {
    ($field:ident) => {{
        let known = (&raw const $crate::probes::maps::GC).cast::<tracer_ebpf::config::GcConfig>();
        // SAFETY: a `Global` is nothing but its value.
        unsafe { (&raw const (*known).$field).read_volatile() }
    }};
}
pub(super) use known;

/// What is known of the stop of the world that goes on, or of the next one.
#[repr(C)]
pub(super) struct World {
    /// What is told of it.
    pub(super) stop: Stop,
    /// The `g` of the holder that it names; 0 when it names none.
    pub(super) holder: u64,
    /// The `m` that runs it, while the Ps are looked at.
    pub(super) found_m: u64,
    /// When the first look was, of the runtime's clock.
    pub(super) first_look: u64,
    /// When the holder's thread was last looked at, of the runtime's clock; 0 when it was not.
    pub(super) looked: u64,
    /// How long it had been on a CPU by then.
    pub(super) runtime: u64,
    /// How long stopping took, when a probe told it before the world was started; else 0.
    stopping: u64,
    /// 1 when a later probe tells of it.
    pending: u64,
}

/// One program for all places; the cookie says which it is.
#[uprobe]
fn gc(ctx: ProbeContext) -> u32 {
    if !target::is_current() {
        return 0;
    }
    // SAFETY: `ctx` is the context that the kernel gave this program.
    let cookie = Cookie::from_bits(unsafe { bpf_get_attach_cookie(ctx.as_ptr()) });
    if cookie.probe == Probe::GcAssist as u32 {
        assist(&ctx, cookie);
    } else if cookie.probe == Probe::GcCycle as u32 {
        // SAFETY: `regs` is the context, valid for the program's run.
        let ip = unsafe { (*ctx.regs).rip };
        cycle(ip - cookie.site, registers::by_number(ctx.regs, R14));
    } else if let Some(world) = WORLD.get_ptr_mut(0) {
        // SAFETY: the map's value lives as long as the program, and only who stops the world gets here.
        stop(&ctx, cookie, unsafe { &mut *world });
    }
    0
}

/// CLOCK_MONOTONIC, which is `runtime.nanotime`'s.
#[inline(always)]
pub(super) fn runtime_clock() -> u64 {
    // SAFETY: the helper has no preconditions.
    unsafe { bpf_ktime_get_ns() }
}

/// A cycle is over, and the next cannot begin before this one's goroutine has gone on (`work.startSema`).
#[inline(always)]
fn cycle(bias: u64, g: u64) {
    const PROBE: u32 = Probe::GcCycle as u32;
    let Some((header, mut room)) = emit::reserve::<Cycle>(PROBE, tid()) else { return };
    let [work, controller, stats] = [known!(work), known!(controller), known!(stats)].map(|at| at + bias);
    let pause_total = read::<u64>(known!(pause_total) + bias);
    let goid = goroutine::goid(running(g));
    let record = room.as_mut_ptr();
    // SAFETY: room for one, all of which is written.
    let is_whole = unsafe {
        (&raw mut (*record).header).write(header);
        (&raw mut (*record).monotonic).write(runtime_clock());
        (&raw mut (*record).goid).write(goid);
        (&raw mut (*record).pause_total).write(pause_total.unwrap_or(0));
        copy::<WORK_WORDS>(work, &raw mut (*record).work)
            & copy::<CONTROLLER_WORDS>(controller, &raw mut (*record).controller)
            & copy::<STATS_WORDS>(stats, &raw mut (*record).stats)
    };
    if is_whole && pause_total.is_some() {
        emit::submit_to_follower(room);
    } else {
        emit::give_up(PROBE, room);
    }
}

/// Copies words of the target's memory. Returns whether any of them could be read: a page that the program has never
/// written to is not there, and its words are zero, as they are here then.
#[inline(always)]
fn copy<const WORDS: usize>(from: u64, into: *mut [u64; WORDS]) -> bool {
    let read = |word: usize, count: usize| {
        // SAFETY: the helper checks the address, and writes zeroes when it cannot read; the room is that large.
        unsafe {
            let at = from + 8 * word as u64;
            bpf_probe_read_user(into.cast::<u64>().add(word).cast(), 8 * count as u32, at as *const _)
        }
    };
    if read(0, WORDS) == 0 {
        return true;
    }
    // Added up, the verifier has one way through it, and not two from each word on.
    let mut results = 0;
    for word in 0..WORDS {
        results += read(word, 1);
    }
    results > EFAULT * WORDS as i64
}

/// The goroutine that runs on the thread whose `g` or `g0` that is.
#[inline(always)]
fn running(g: u64) -> u64 {
    let m = read::<u64>(g + u64::from(known!(g_m))).unwrap_or(0);
    if m == 0 { 0 } else { read(m + u64::from(known!(m_curg))).unwrap_or(0) }
}

/// The world is stopped, or started again.
#[inline(always)]
fn stop(ctx: &ProbeContext, cookie: Cookie, world: &mut World) {
    let register = |number| registers::by_number(ctx.regs, number);
    let clock = runtime_clock();
    if cookie.probe == Probe::WorldStopping as u32 {
        emit::count(cookie.probe);
        begin_anew(world);
        world.stop.reason = register(RAX) as u8 as u32;
        world.stop.started = clock;
        world.stop.own_clock = 1;
        world.pending = 1;
    } else if cookie.probe == Probe::WorldStopped as u32 {
        emit::count(cookie.probe);
        if cookie.register == RBX {
            world.stopping = register(RBX);
        } else if world.stop.started != 0 {
            world.stop.finished = clock;
        }
        holder::leave(world);
    } else if cookie.probe == Probe::WorldStarting as u32 {
        let (reason, started) = (register(RBX) as u8 as u32, register(RCX));
        world.stop.reason = reason;
        world.stop.started = started;
        world.stop.finished = if cookie.register == RDI {
            register(RDI)
        } else if world.stopping != 0 {
            started + world.stopping
        } else {
            0
        };
        // Mark termination has taken the time already that counts as its end.
        let over = register(RAX);
        world.stop.total = if over > started { over - started } else { 0 };
        holder::leave(world);
        if known!(told_later) >> (reason & 63) & 1 != 0 {
            world.pending = 1;
        } else {
            tell(world, register(R14), clock);
        }
    } else if world.pending != 0 {
        world.stop.total = if cookie.register == RBX { register(RBX) } else { 0 };
        tell(world, register(R14), clock);
    }
}

/// Sends what is known of the stop, and forgets it. By itself for the room on its stack.
#[inline(never)]
fn tell(world: &mut World, g: u64, clock: u64) {
    let asker = running(g);
    // What was seen before it began was of another stop, whose end was not seen.
    if world.first_look < world.stop.started {
        forget_holder(world);
    }
    world.stop.header = Header { time: now(), probe: Probe::WorldStarted as u32, tid: tid() };
    world.stop.monotonic = clock;
    world.stop.goid = goroutine::goid(asker);
    world.stop.gopc = if asker == 0 { 0 } else { goroutine::made_by(asker) };
    let depth = left(asker, &mut world.stop.stacks[ASKER]);
    world.stop.depth = depth;
    // The room in the ring is in no cache, so what is not there is not sent.
    if world.stop.holder.goid != 0 {
        emit::send(Probe::WorldStarted as u32, &world.stop, size_of::<Stop>());
    } else {
        let frames = opaque(u64::from(depth)) as usize;
        let frames = if frames < MAX_DEPTH { frames } else { MAX_DEPTH };
        emit::send(Probe::WorldStarted as u32, &world.stop, offset_of!(Stop, stacks) + 8 * frames);
    }
    begin_anew(world);
}

/// Fills in the stack that a goroutine left when it switched to another or to the scheduler's. Returns how many frames
/// there are.
#[inline(never)]
pub(super) fn left(g: u64, into: &mut [u64; MAX_DEPTH]) -> u32 {
    goroutine::stack(g, 0, 0, 0, into) as u32
}

/// Nothing is known of the next stop yet.
#[inline(always)]
fn begin_anew(world: &mut World) {
    world.stop.started = 0;
    world.stop.finished = 0;
    world.stop.total = 0;
    world.stop.reason = 0;
    world.stop.own_clock = 0;
    world.stopping = 0;
    world.pending = 0;
    forget_holder(world);
}

#[inline(always)]
fn forget_holder(world: &mut World) {
    world.holder = 0;
    world.first_look = 0;
    world.stop.looks = 0;
    let holder: &mut Holder = &mut world.stop.holder;
    holder.goid = 0;
    holder.looks = 0;
    holder.running = 0;
    holder.depth = 0;
}

/// Who allocates was made to mark first. Runs on the scheduler's stack, from which the frame pointers lead back to the
/// goroutine's (runtime/asm_amd64.s, `systemstack`).
#[inline(always)]
fn assist(ctx: &ProbeContext, cookie: Cookie) {
    emit::count(Probe::GcAssist as u32);
    // `p.gcAssistTime`, which the runtime adds to its sum next, or leaves for the P's next assist.
    let time = registers::by_number(ctx.regs, cookie.register);
    let added = if time > ASSIST_SLACK { time } else { 0 };
    let g = running(registers::by_number(ctx.regs, R14));
    let key = AssistKey { stack: stack::taken(ctx), gopc: if g == 0 { 0 } else { goroutine::made_by(g) } };
    let mut found = ASSISTS.get_ptr_mut(key);
    if found.is_none() {
        // Another processor may be faster; then there is one already.
        let _ = ASSISTS.insert(key, AssistStats::default(), 1);
        found = ASSISTS.get_ptr_mut(key);
    }
    match found {
        // SAFETY: the map's value lives as long as the program.
        Some(stats) => unsafe {
            emit::add(&raw mut (*stats).count, 1);
            emit::add(&raw mut (*stats).time, added);
        },
        None => emit::count_dropped(Probe::GcAssist as u32),
    }
}
