//! The programs, one hook family a file, named as in `wire/`.

mod blocking;
mod caller;
mod class;
mod emit;
mod gc;
mod goroutine;
mod heap;
mod holder;
mod main_thread;
mod maps;
mod memory;
mod network;
mod object;
mod opaque;
mod parking;
mod process;
mod profile;
mod registers;
mod sched;
mod stack;
mod startup;
mod sums;
mod syscall;
mod target;
mod wait;
mod watch;
