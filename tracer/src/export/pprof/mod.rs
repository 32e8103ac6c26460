//! Profiles that `go tool pprof` and its kin read: profile.proto, compressed.

mod builder;
mod proto;
mod running;
mod start;
#[cfg(test)]
mod tests;

use std::io::{self, Write};

use super::{Export, FlameOf};
use crate::model::Report;
use crate::model::blocking::BlockingReport;

/// The format. A profile has all of its history: pprof itself focuses, and labels tell what else a flame graph can have
/// at its bottom.
pub(super) struct Pprof {
    /// Of what, of a running program.
    pub(super) of: FlameOf,
}

impl Export for Pprof {
    fn start(&self, report: &Report, out: &mut dyn Write) -> io::Result<()> {
        start::profile(report).write(out)
    }

    fn running(&self, report: &BlockingReport, out: &mut dyn Write) -> io::Result<()> {
        running::profile(report, self.of).write(out)
    }
}
