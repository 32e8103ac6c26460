//! What is seen of a running program -> the records of a capture.

use std::collections::{BTreeMap, HashSet};
use std::io::Write;

use super::record::{Answers, KeptStack, Looked, Why};
use super::redact::redact;
use super::{CaptureError, Record, RecordedSymbols, Writer};
use crate::model::Look;
use crate::stream::{RawRecord, Tables};
use crate::units::RuntimeAddr;

/// So many stacks, or blocked goroutines, are in one record.
const IN_ONE: usize = 512;

/// What a capture of a running program has so far, so that it is told only once.
pub struct Recording {
    redact: bool,
    symbols: HashSet<RuntimeAddr>,
    stacks: HashSet<u32>,
}

impl Recording {
    /// Nothing yet. `redact` leaves addresses and paths out.
    #[must_use]
    pub fn new(redact: bool) -> Self {
        Self { redact, symbols: HashSet::new(), stacks: HashSet::new() }
    }

    /// Writes records of the kernel side that came together, behind what they made one ask.
    ///
    /// # Errors
    /// Those of the writer.
    pub fn took<W: Write>(
        &self,
        writer: &mut Writer<W>,
        records: &[RawRecord],
        answers: Answers,
    ) -> Result<(), CaptureError> {
        if !answers.is_empty() {
            writer.record(&Record::Answers(answers))?;
        }
        let mut redacted = Vec::new();
        for RawRecord(bytes) in records {
            if self.redact {
                redacted.clear();
                redacted.extend_from_slice(bytes);
                redact(&mut redacted);
                writer.ring(&redacted)?;
            } else {
                writer.ring(bytes)?;
            }
        }
        Ok(())
    }

    /// Writes a look, behind what its report asked for.
    ///
    /// # Errors
    /// Those of the writer.
    pub fn look<W: Write>(
        &mut self,
        writer: &mut Writer<W>,
        why: Why,
        look: &Look,
        symbols: RecordedSymbols<'_>,
    ) -> Result<(), CaptureError> {
        for record in symbols.records() {
            if let Record::Symbols(mut symbols) = record {
                symbols.retain(|symbol| self.symbols.insert(symbol.address));
                if !symbols.is_empty() {
                    writer.record(&Record::Symbols(symbols))?;
                }
            }
        }
        let stacks = look.tables.stacks.iter().filter(|(number, _)| self.stacks.insert(**number));
        let stacks: Vec<KeptStack> = stacks
            .map(|(number, addresses)| KeptStack { number: *number, addresses: addresses.clone() })
            .collect();
        for stacks in stacks.chunks(IN_ONE) {
            writer.record(&Record::Stacks(stacks.to_vec()))?;
        }
        for blocked in look.blocked_now.chunks(IN_ONE) {
            writer.record(&Record::Blocked(blocked.to_vec()))?;
        }
        let tables = Tables { stacks: BTreeMap::new(), ..look.tables.clone() };
        let look = Look { tables, blocked_now: Vec::new(), ..look.clone() };
        writer.record(&Record::Look(Box::new(Looked { why, look })))
    }
}
