//! Any bytes, read as each of the texts in which the kernel tells of a process: what it says of a hostile one is in part
//! that one's own words (names, paths, variables, control groups).

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let _ = gotrace::target::told::understood(bytes);
});
