//! Who keeps the world from stopping. No probe of its own: who stops the world sleeps 100 µs at a time on
//! `sched.stopnote` and looks again (runtime/proc.go, `stopTheWorldWithSema`), and so does this.

use aya_ebpf::helpers::generated::bpf_get_current_task;
use tracer_ebpf::wire::gc::HOLDER;

use super::{
    gc::{World, known, left, runtime_clock},
    goroutine,
    maps::WORLD,
    memory::{read, read_kernel},
};

/// `_Prunning` (runtime/runtime2.go)
const RUNNING: u32 = 1;
/// `_Gsyscall`
const IN_SYSCALL: u32 = 3;
/// `_Gscan`, which the collector adds while it scans the stack.
const SCAN: u32 = 0x1000;

/// So many Ps are looked at, and so many threads.
const MOST_PS: u64 = 64;
const MOST_THREADS: u32 = 256;

/// `TASK_UNINTERRUPTIBLE` (include/linux/sched.h).
const UNINTERRUPTIBLE: u32 = 2;

/// Who stops the world has slept, and it has not stopped. A global function in the verifier's sense, which looks at it
/// once; so it has to return a number, which says nothing.
#[unsafe(no_mangle)]
#[inline(never)]
pub(super) extern "C" fn look_for_holder() -> u64 {
    if let Some(world) = world() {
        if world.first_look == 0 {
            world.first_look = runtime_clock();
        }
        world.stop.looks += 1;
        world.found_m = 0;
        world.stop.holder.running = 0;
    }
    let [all, count] = read::<[u64; 2]>(known!(allp) + known!(bias)).unwrap_or([0; 2]);
    for index in 0..MOST_PS {
        if index >= count {
            break;
        }
        look_at(all + 8 * index);
    }
    if let Some(world) = world()
        && world.found_m != 0
    {
        name(world, goroutine_of(world.found_m));
        world.stop.holder.looks += 1;
        thread_state(world);
    }
    0
}

/// What is known of the stop. Each function that is verified by itself asks for it, and keeps it no longer than until it
/// calls another that does.
#[inline(always)]
fn world() -> Option<&'static mut World> {
    // SAFETY: the map's value lives as long as the program, and only who stops the world gets here.
    WORLD.get_ptr_mut(0).map(|world| unsafe { &mut *world })
}

/// Looks at the P whose address is there, and notes it when it runs: the holder's of the last look before others. Does
/// nothing to one that runs no goroutine: the scheduler looks for itself whether it is to stop. A global function in the
/// verifier's sense, which looks at it once and not for each P; what is returned says nothing.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn look_at(place: u64) -> u64 {
    let p = read::<u64>(place).unwrap_or(0);
    if read::<u32>(p + u64::from(known!(p_status))) != Some(RUNNING) {
        return 0;
    }
    let m = read::<u64>(p + u64::from(known!(p_m))).unwrap_or(0);
    let g = goroutine_of(m);
    if let Some(world) = world()
        && g != 0
    {
        world.stop.holder.running += 1;
        if world.found_m == 0 || g == world.holder {
            world.found_m = m;
        }
    }
    0
}

/// The goroutine that runs on the thread of an `m`; 0 when none does.
#[inline(always)]
fn goroutine_of(m: u64) -> u64 {
    read::<u64>(m + u64::from(known!(m_curg))).unwrap_or(0)
}

/// Notes who it is, unless it is who it was.
#[inline(always)]
fn name(world: &mut World, g: u64) {
    let goid = goroutine::goid(g);
    let holder = &mut world.stop.holder;
    if world.holder == g && holder.goid == goid {
        return;
    }
    world.holder = g;
    world.looked = 0;
    holder.goid = goid;
    holder.gopc = goroutine::made_by(g);
    holder.tid = read::<u64>(world.found_m + u64::from(known!(m_procid))).unwrap_or(0) as u32;
    holder.looks = 0;
    holder.on_cpu = 0;
    holder.runnable = 0;
    holder.disk = 0;
    holder.sleeping = 0;
    holder.depth = 0;
}

/// Counts what the kernel says of the holder's thread. That it is off the CPU at this moment says little: who looks has
/// just been woken, and may have taken its CPU. So one that could run counts as what it mostly was since the last look,
/// and at the first look as neither.
#[inline(always)]
fn thread_state(world: &mut World) {
    if known!(task_on_cpu) == 0 {
        return;
    }
    let Some(task) = thread(world.stop.holder.tid) else { return };
    let on_cpu = read_kernel::<u32>(task + u64::from(known!(task_on_cpu)));
    let state = read_kernel::<u32>(task + u64::from(known!(task_state)));
    let runtime = read_kernel::<u64>(task + u64::from(known!(task_runtime)));
    let (Some(on_cpu), Some(state), Some(runtime)) = (on_cpu, state, runtime) else { return };
    let time = runtime_clock();
    let (ran, passed) = (runtime - world.runtime, time - world.looked);
    let is_first = world.looked == 0;
    world.runtime = runtime;
    world.looked = time;
    let holder = &mut world.stop.holder;
    if on_cpu != 0 {
        holder.on_cpu += 1;
    } else if state & UNINTERRUPTIBLE != 0 {
        holder.disk += 1;
    } else if state != 0 {
        holder.sleeping += 1;
    } else if !is_first {
        if 2 * ran >= passed {
            holder.on_cpu += 1;
        } else {
            holder.runnable += 1;
        }
    }
}

/// The task of the thread of the current process that has this id, as the process's own PID namespace counts. The
/// list stays readable while it is walked: a task is freed after all programs that may see it (RCU).
#[inline(always)]
fn thread(tid: u32) -> Option<u64> {
    // SAFETY: the helper has no preconditions.
    let current = unsafe { bpf_get_current_task() };
    let signal = read_kernel::<u64>(current + u64::from(known!(task_signal)))?;
    let head = signal + u64::from(known!(signal_thread_head));
    let mut node = read_kernel::<u64>(head)?;
    for _ in 0..MOST_THREADS {
        if node == head {
            break;
        }
        let task = node - u64::from(known!(task_thread_node));
        if tid != 0 && tid_of(task) == u64::from(tid) {
            return Some(task);
        }
        node = read_kernel(node)?;
    }
    None
}

/// A task's id as its own PID namespace counts; 0 when it cannot be read. Global as [`look_at`] is.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn tid_of(task: u64) -> u64 {
    let pid = read_kernel::<u64>(task + u64::from(known!(task_thread_pid))).unwrap_or(0);
    let level = read_kernel::<u32>(pid + u64::from(known!(pid_level))).unwrap_or(0);
    let number = pid + u64::from(known!(pid_numbers)) + 16 * u64::from(level);
    read_kernel::<u32>(number).map_or(0, u64::from)
}

/// The world has stopped: notes where the holder is, unless that is known.
#[inline(never)]
pub(super) fn leave(world: &mut World) {
    let g = world.holder;
    if g == 0 || world.stop.holder.depth != 0 || goroutine::goid(g) != world.stop.holder.goid {
        return;
    }
    let sp = read::<u64>(g + u64::from(known!(g_sched_sp))).unwrap_or(0);
    world.stop.holder.top = read(sp).unwrap_or(0);
    let depth = left(g, &mut world.stop.stacks[HOLDER]);
    world.stop.holder.depth = if keeps_frame_pointer(g) || depth == 0 { depth } else { 1 };
}

/// Whether the frame pointer that a goroutine has left is where it left.
#[inline(always)]
fn keeps_frame_pointer(g: u64) -> bool {
    let status = known!(g_atomicstatus);
    status == 0 || read::<u32>(g + u64::from(status)).is_some_and(|status| status & !SCAN != IN_SYSCALL)
}
