//! The life of the process, from the kernel's own tracepoints.

use aya_ebpf::{
    helpers::{bpf_get_current_comm, bpf_get_current_pid_tgid},
    macros::raw_tracepoint,
    programs::RawTracePointContext,
};
use aya_log_ebpf::debug;
use tracer_ebpf::wire::{
    Probe,
    account::Account,
    process::{COMM_LEN, Exec, Exit},
};

use super::{
    emit::{self, emit},
    main_thread, target,
};

/// Runs in the new program's context, before its first instruction (fs/exec.c, `exec_binprm`).
#[raw_tracepoint(tracepoint = "sched_process_exec")]
fn process_exec(ctx: RawTracePointContext) -> i32 {
    if target::is_current() {
        let Some(main) = main_thread::get() else { return 0 };
        let ids = bpf_get_current_pid_tgid();
        if main.pid_tgid != ids {
            // Another thread executed: it becomes the main thread (fs/exec.c, `de_thread`).
            main_thread::begin(main);
        }
        main.executed = 1;
        let comm = bpf_get_current_comm().unwrap_or([0; COMM_LEN]);
        if let Some((header, mut record)) = emit::reserve(Probe::Exec as u32, ids as u32) {
            let exec = record.write(Exec { header, comm, account: Account::default() });
            main_thread::account(main, header.time, &raw mut exec.account);
            emit::submit(record);
        }
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
        let tid = bpf_get_current_pid_tgid() as u32;
        emit(Probe::Exit as u32, tid, |header| Exit { header });
        debug!(&ctx, "exit of a thread");
    }
    0
}
