//! The object that gotrace loads into the kernel.
#![cfg_attr(target_arch = "bpf", no_std, no_main, feature(asm_experimental_arch))]

#[cfg(target_arch = "bpf")]
mod probes;

#[cfg(target_arch = "bpf")]
#[panic_handler]
fn panic(_info: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}

/// Most tracing helpers are for GPL-compatible programs only (kernel/bpf/helpers.c, `gpl_only`).
#[cfg(target_arch = "bpf")]
#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";

/// On the host there is nothing to run; the contract in `lib.rs` is what it builds and tests.
#[cfg(not(target_arch = "bpf"))]
fn main() {}
