//! What gotrace writes for a browser, opened in one: headless Chromium, driven by its own protocol.
//!
//! `cargo xtask test` finds Chromium, the pages of speedscope and the engine of Chrome's DevTools, and says where they
//! are (`GOTRACE_CHROMIUM`, `GOTRACE_SPEEDSCOPE`, `GOTRACE_TRACE_ENGINE`). By hand:
//! `GOTRACE_CHROMIUM=/usr/bin/chromium cargo test -p tracer --test browser -- --include-ignored`.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod chromium;
mod flame_svg;
mod many;
mod page;
mod reports;
mod running_page;
mod server;
mod speedscope;
mod start_page;
mod trace_engine;

#[path = "../support/trace_event.rs"]
mod trace_event;

use std::path::PathBuf;

/// Where screenshots are kept: a folder of the build's.
fn artifacts() -> PathBuf {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("browser");
    std::fs::create_dir_all(&folder).expect("a folder for screenshots");
    folder
}
