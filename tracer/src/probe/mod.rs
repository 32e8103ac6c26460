//! WHERE: facts about a binary -> sites to probe; then the programs into the kernel, onto the sites, and off.
//!
//! [`plan`] is pure. [`load`] and [`attach`] talk to the kernel; dropping what they return removes it all.

mod armed;
pub mod attach;
mod attach_error;
mod blocking;
mod btf;
mod collector;
mod costs;
mod gc;
mod heap;
mod held;
pub mod load;
pub mod maps;
mod object;
mod parking;
pub mod plan;
pub mod repair;
mod starts;
mod trap;
mod undisturbed;
mod uprobe_multi;
pub mod warmth;
pub mod watching;

pub use blocking::{Blocking, blocking_config, file_config};
pub use btf::offset_of as kernel_offset_of;
pub use collector::{Gc, gc_config, holder_config};
pub use costs::Costs;
pub use gc::{GcPlan, gc};
pub use heap::heap_config;
pub use object::embedded as embedded_object;
pub use parking::{Parking, ParkingPlan, parking};
pub use starts::{Starts, watch_config};
pub use tracer_ebpf::wire::Probe;
pub use trap::{own_site, pass as pass_own_site};
