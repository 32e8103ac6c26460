//! The kernel side's records, made small: each as the difference to the last one of its probe.

use std::mem::{offset_of, size_of};

use tracer_ebpf::wire::startup::Hit;

use super::MOST_RECORD;

/// As many probes as there may ever be; a record of any other number has no record before it.
const PROBES: usize = 64;

/// Where the word is in a [`Hit`] that says how long the main thread was on a CPU: that goes on as time does.
const ON_CPU: usize = offset_of!(Hit, account) / 8;

/// The last record of each probe. Whoever writes and whoever reads keep the same.
pub(super) struct Deltas {
    last: Vec<Last>,
    time: u64,
    /// Room for the next record's words.
    spare: Vec<u64>,
}

#[derive(Default)]
struct Last {
    length: usize,
    words: Vec<u64>,
}

impl Default for Deltas {
    fn default() -> Self {
        Self { last: (0..=PROBES).map(|_| Last::default()).collect(), time: 0, spare: Vec::new() }
    }
}

impl Deltas {
    /// Adds the record, encoded, to `out`.
    pub(super) fn encode(&mut self, record: &[u8], out: &mut Vec<u8>) {
        let (chunks, rest) = record.as_chunks::<8>();
        let mut words = std::mem::take(&mut self.spare);
        words.clear();
        words.extend(chunks.iter().map(|word| u64::from_le_bytes(*word)));
        let probe = probe(&words);
        let is_as_long = self.last[probe].length == record.len();
        put(out, (probe as u64) << 1 | u64::from(is_as_long));
        if !is_as_long {
            put(out, record.len() as u64);
        }
        let expected = self.expected(probe, record.len());
        for (index, word) in words.iter().enumerate() {
            let difference = word.wrapping_sub(expected.of(index, words[0]));
            // Small ones first, whichever their sign.
            put(out, (difference << 1) ^ (difference >> 63).wrapping_neg());
        }
        out.extend_from_slice(rest);
        self.note(probe, record.len(), words);
    }

    /// The record that these bytes, all of them, are encoded; into `record`. None when it is none.
    pub(super) fn decode(&mut self, mut bytes: &[u8], record: &mut Vec<u8>) -> Option<()> {
        record.clear();
        let head = take(&mut bytes)?;
        let probe = usize::try_from(head >> 1).ok().filter(|probe| *probe <= PROBES)?;
        let length = match head & 1 {
            1 => self.last[probe].length,
            _ => usize::try_from(take(&mut bytes)?).ok()?,
        };
        // Each word takes a byte at least: what is there bounds what is made room for.
        if length > MOST_RECORD || length / 8 > bytes.len() {
            return None;
        }
        // The last record's words are read while these are written.
        let mut words = std::mem::take(&mut self.spare);
        words.clear();
        let expected = self.expected(probe, length);
        for index in 0..length / 8 {
            let folded = take(&mut bytes)?;
            let difference = (folded >> 1) ^ (folded & 1).wrapping_neg();
            let time = words.first().copied().unwrap_or_default();
            words.push(difference.wrapping_add(expected.of(index, time)));
        }
        if bytes.len() != length % 8 {
            return None;
        }
        words.iter().for_each(|word| record.extend_from_slice(&word.to_le_bytes()));
        record.extend_from_slice(bytes);
        self.note(probe, length, words);
        Some(())
    }

    /// What the words of a record of that probe are told as the differences to.
    fn expected(&self, probe: usize, length: usize) -> Expected<'_> {
        let last = self.last[probe].words.as_slice();
        Expected { time: self.time, last, on_cpu: (length == size_of::<Hit>()).then_some(ON_CPU) }
    }

    fn note(&mut self, probe: usize, length: usize, words: Vec<u64>) {
        self.time = words.first().copied().unwrap_or(self.time);
        let before = std::mem::replace(&mut self.last[probe], Last { length, words });
        self.spare = before.words;
    }
}

struct Expected<'a> {
    time: u64,
    last: &'a [u64],
    on_cpu: Option<usize>,
}

impl Expected<'_> {
    /// The word at `index` of a record whose first is `time`.
    fn of(&self, index: usize, time: u64) -> u64 {
        if index == 0 {
            // Time goes on from any probe's record to any other's.
            return self.time;
        }
        match self.last.get(index) {
            None => 0,
            Some(word) if self.on_cpu == Some(index) => word.wrapping_add(time.wrapping_sub(self.last[0])),
            Some(word) => *word,
        }
    }
}

/// The number in the record's header (`tracer_ebpf::wire::Header`).
fn probe(words: &[u64]) -> usize {
    let number = words.get(1).and_then(|word| usize::try_from(word & 0xffff_ffff).ok());
    number.filter(|number| *number < PROBES).unwrap_or(PROBES)
}

/// Writes a number in as many groups of seven bits as it needs (LEB128).
pub(super) fn put(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push(number.to_le_bytes()[0] | 0x80);
        number >>= 7;
    }
    out.push(number.to_le_bytes()[0]);
}

/// Reads it again.
pub(super) fn take(bytes: &mut &[u8]) -> Option<u64> {
    let mut number = 0;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        number |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}
