//! The steps of the Go runtime on the way to `main.main`.

use aya_ebpf::{
    EbpfContext as _,
    helpers::{bpf_get_current_pid_tgid, generated::bpf_get_attach_cookie},
    macros::uprobe,
    programs::ProbeContext,
};
use aya_log_ebpf::debug;
use tracer_ebpf::{
    main_thread::MAIN_BEGAN,
    wire::{
        Probe,
        startup::{Cookie, Hit},
    },
};

use super::{emit, goroutine, heap, main_thread, registers};

/// One program for every site; the site's cookie says which probe it is and where its argument is. It reads
/// of the target's memory only what the target has just used, or what it counts: another page might not be
/// there yet.
#[uprobe]
fn startup(ctx: ProbeContext) -> u32 {
    let Some(main) = main_thread::get() else { return 0 };
    let ids = bpf_get_current_pid_tgid();
    if !main_thread::is_process(main, ids) || main.over != 0 {
        return 0;
    }
    // SAFETY: `ctx` is the context that the kernel gave this program.
    let cookie = Cookie::from_bits(unsafe { bpf_get_attach_cookie(ctx.as_ptr()) });
    // SAFETY: `regs` is the context, valid for the program's run.
    let ip = unsafe { (*ctx.regs).rip };
    // Before the time is taken, as the end of what it tells of; and first of all, as the verifier follows its
    // loops once for every way that leads there.
    let heap = heap::at(main, ids, cookie, ip);
    let mut argument = registers::by_number(ctx.regs, cookie.register);
    if cookie.probe == Probe::GoExit as u32 {
        // The register holds g.
        argument = goroutine::made_by(argument);
    }
    if let Some((header, mut record)) = emit::reserve::<Hit>(cookie.probe, ids as u32) {
        let hit = record.as_mut_ptr();
        // SAFETY: room for one, all of which is written.
        unsafe {
            (&raw mut (*hit).header).write(header);
            (&raw mut (*hit).ip).write(ip);
            (&raw mut (*hit).argument).write(argument);
            (&raw mut (*hit).heap).write(heap);
            main_thread::account(main, header.time, &raw mut (*hit).account);
        }
        emit::submit(record);
    }
    if cookie.probe == Probe::RuntimeMain as u32 {
        // Go keeps g there (cmd/compile/abi-internal.md).
        main.g = registers::by_number(ctx.regs, 14);
    } else if cookie.probe == Probe::MainMain as u32 {
        main.over = MAIN_BEGAN;
    }
    debug!(&ctx, "probe {} at {:x}, argument {:x}", cookie.probe, ip, argument);
    0
}
