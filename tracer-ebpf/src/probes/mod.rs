//! The programs, one hook family a file, named as in `wire/`.

mod emit;
mod goroutine;
mod main_thread;
mod maps;
mod process;
mod registers;
mod sched;
mod startup;
mod syscall;
mod target;
mod wait;
mod watch;
