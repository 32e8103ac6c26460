//! The life of the process, from the kernel's own tracepoints.

use aya_ebpf::{helpers::bpf_get_current_comm, macros::raw_tracepoint, programs::RawTracePointContext};
use aya_log_ebpf::debug;
use tracer_ebpf::wire::{
    Probe,
    process::{COMM_LEN, Exec, Exit},
};

use super::{emit::emit, main_thread, target};

/// Runs in the new program's context, before its first instruction (fs/exec.c, `exec_binprm`).
#[raw_tracepoint(tracepoint = "sched_process_exec")]
fn process_exec(ctx: RawTracePointContext) -> i32 {
    if target::is_current() {
        let Some(main) = main_thread::get() else { return 0 };
        if !main_thread::is_current(main) {
            // Another thread executed: it becomes the main thread (fs/exec.c, `de_thread`).
            main_thread::begin(main);
        }
        main.executed = 1;
        let comm = bpf_get_current_comm().unwrap_or([0; COMM_LEN]);
        emit(Probe::Exec as u32, |header| {
            let account = main_thread::account(main, header.time);
            Exec { header, comm, account }
        });
        debug!(&ctx, "exec");
    }
    0
}

/// Runs once for every thread of the process.
#[raw_tracepoint(tracepoint = "sched_process_exit")]
fn process_exit(ctx: RawTracePointContext) -> i32 {
    if target::is_current() {
        if let Some(main) = main_thread::get() {
            main_thread::end(main);
        }
        emit(Probe::Exit as u32, |header| Exit { header });
        debug!(&ctx, "exit of a thread");
    }
    0
}
