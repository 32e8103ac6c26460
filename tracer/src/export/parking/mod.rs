//! Why goroutines did not run: the part of a report that `--waits` adds, in each format.

mod ndjson;
mod text;

use std::io::{self, Write};

use super::Format;
use crate::model::parking::ParkingReport;

impl ParkingReport {
    /// Writes it.
    ///
    /// # Errors
    /// Only those of the writer.
    pub fn write(&self, format: Format, color: bool, out: &mut dyn Write) -> io::Result<()> {
        match format {
            Format::Text => self.write_text(color, out),
            Format::Ndjson => self.write_ndjson(out),
        }
    }
}

#[cfg(test)]
mod tests;
