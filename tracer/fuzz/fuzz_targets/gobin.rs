//! Any bytes, read as a Go binary and asked for everything.

#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../../tests/support/walk.rs"]
mod walk;

fuzz_target!(|bytes: &[u8]| {
    let _ = walk::walk_bytes(bytes);
});
