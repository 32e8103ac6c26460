//! The programs, one hook family a file, named as in `wire/`.

mod emit;
mod maps;
mod process;
mod registers;
mod startup;
mod target;
