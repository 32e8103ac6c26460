//! What gotrace writes, read by the programs that it is written for.

mod inittrace;
mod pprof;
