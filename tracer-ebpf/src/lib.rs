//! The contract between the kernel side and user space: what crosses the ring buffer, and what user space
//! sets before load. Compiled on both sides; it knows neither aya nor the standard library.
#![no_std]

pub mod config;
pub mod main_thread;
pub mod wire;
