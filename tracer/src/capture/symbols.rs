//! What addresses mean: recorded as it is asked for, and told again.

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};

use super::CaptureError;
use super::record::{Record, Symbol};
use crate::model::Symbols;
use crate::target::gobin::{Frame, GoVersion, VersionSource, wait_reason};
use crate::units::RuntimeAddr;

/// So many are in one record.
const IN_ONE: usize = 1024;

/// The most that a report asks for, in bytes: more than there are in all stacks that the kernel side keeps.
const MOST: usize = 64 << 20;

/// Symbols, and every address that was asked for.
pub struct RecordedSymbols<'a> {
    symbols: &'a dyn Symbols,
    asked: RefCell<BTreeMap<RuntimeAddr, Vec<Frame>>>,
}

impl<'a> RecordedSymbols<'a> {
    /// Nothing was asked for yet.
    #[must_use]
    pub fn new(symbols: &'a dyn Symbols) -> Self {
        Self { symbols, asked: RefCell::default() }
    }

    /// What was asked for, as records.
    pub fn records(self) -> impl Iterator<Item = Record<'static>> {
        let asked = self.asked.into_inner().into_iter();
        let mut symbols = asked.map(|(address, frames)| Symbol { address, frames }).peekable();
        std::iter::from_fn(move || {
            symbols.peek()?;
            Some(Record::Symbols(symbols.by_ref().take(IN_ONE).collect()))
        })
    }
}

impl Symbols for RecordedSymbols<'_> {
    fn frames(&self, address: RuntimeAddr) -> Vec<Frame> {
        let frames = || self.symbols.frames(address);
        self.asked.borrow_mut().entry(address).or_insert_with(frames).clone()
    }

    fn wait_reason(&self, number: u8) -> Option<&'static str> {
        self.symbols.wait_reason(number)
    }
}

/// What a capture says of addresses.
#[derive(Clone, Debug, Default)]
pub struct KeptSymbols {
    frames: HashMap<RuntimeAddr, Vec<Frame>>,
    /// How much they take, about.
    bytes: usize,
    version: Option<GoVersion>,
}

impl KeptSymbols {
    /// None yet, of a program that this Go version built.
    #[must_use]
    pub fn new(go_version: &str) -> Self {
        Self { version: GoVersion::parse(go_version, VersionSource::BuildInfo), ..Self::default() }
    }

    /// Adds more.
    ///
    /// # Errors
    /// When there are too many.
    pub fn add(&mut self, symbols: Vec<Symbol>) -> Result<(), CaptureError> {
        for Symbol { address, frames } in symbols {
            let text = |frame: &Frame| frame.function.len() + frame.file.as_deref().map_or(0, str::len);
            self.bytes += frames.iter().map(|frame| size_of::<Frame>() + text(frame)).sum::<usize>() + 64;
            if self.bytes > MOST {
                return Err(CaptureError::TooMuch { what: "symbols" });
            }
            self.frames.insert(address, frames);
        }
        Ok(())
    }

    /// The version that built the program.
    #[must_use]
    pub fn version(&self) -> Option<&GoVersion> {
        self.version.as_ref()
    }
}

impl Symbols for KeptSymbols {
    fn frames(&self, address: RuntimeAddr) -> Vec<Frame> {
        self.frames.get(&address).cloned().unwrap_or_default()
    }

    fn wait_reason(&self, number: u8) -> Option<&'static str> {
        wait_reason(self.version.as_ref()?, number)
    }
}
