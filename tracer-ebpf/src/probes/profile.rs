//! Samples of the target on a CPU, from a timer of the kernel's on each.

use aya_ebpf::{
    bindings::BPF_F_USER_STACK,
    macros::perf_event,
    programs::{PerfEventContext, tracing::StackIdContext as _},
};
use tracer_ebpf::wire::{
    Probe,
    blocking::Caller,
    profile::{IN_USER_CODE, Sample},
};

use super::{
    caller::{self, thread},
    emit,
    maps::{SAMPLES, STACKS},
    registers, target,
};

/// Runs on every tick of a CPU's timer, whoever runs there.
#[perf_event]
fn on_cpu(ctx: PerfEventContext) -> u32 {
    if !target::is_current() {
        return 0;
    }
    let Some(thread) = thread() else { return 0 };
    let saved = registers::of_current();
    let caller = caller::caller(thread, saved.g);
    let sample = Sample {
        stack: match ctx.get_stackid(&STACKS, u64::from(BPF_F_USER_STACK)) {
            Ok(number) => number,
            Err(error) => i64::from(error),
        },
        gopc: if caller as u32 == Caller::Goroutine as u32 { thread.gopc } else { 0 },
        caller: caller as u32,
        syscall: if thread.entered == 0 { IN_USER_CODE } else { thread.syscall as u32 },
    };
    if let Some(count) = SAMPLES.get_ptr_mut(sample) {
        emit::add(count, 1);
    } else if SAMPLES.insert(sample, 1, 1).is_err() {
        // Another processor may have been faster.
        match SAMPLES.get_ptr_mut(sample) {
            Some(count) => emit::add(count, 1),
            None => emit::lose(Probe::OnCpu as u32),
        }
    }
    0
}
