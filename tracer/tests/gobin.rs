//! The reader of Go binaries: what it says of real ones, and that nothing made by hand or by chance can break it.

#[path = "gobin/addr2line.rs"]
mod addr2line;
#[path = "gobin/collector.rs"]
mod collector;
#[path = "gobin/crafted.rs"]
mod crafted;
#[path = "gobin/damage.rs"]
mod damage;
#[path = "gobin/dwarf.rs"]
mod dwarf;
#[path = "support/effort.rs"]
mod effort;
#[path = "gobin/fixtures.rs"]
mod fixtures;
#[path = "gobin/hostile.rs"]
mod hostile;
#[path = "support/image/mod.rs"]
mod image;
#[path = "gobin/importers.rs"]
mod importers;
#[path = "support/memory.rs"]
mod memory;
mod support;
#[path = "gobin/symbols.rs"]
mod symbols;
#[path = "gobin/tiny.rs"]
mod tiny;
#[path = "support/walk.rs"]
mod walk;
