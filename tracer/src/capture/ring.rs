//! The kernel side's records, made small: each as the difference to the last one of its probe.

use super::MOST_RECORD;

/// As many probes as there may ever be; records of others are written whole.
const PROBES: usize = 64;

/// The words of the last records, by probe. Both sides keep the same, and forget it together.
#[derive(Default)]
pub(super) struct Deltas {
    last: Vec<Vec<u64>>,
    time: u64,
}

/// The probe's number is the upper word's lower half (`tracer_ebpf::wire::Header`).
fn probe(words: &[u64]) -> Option<usize> {
    let number = usize::try_from(words.get(1)? & 0xffff_ffff).ok()?;
    (number < PROBES).then_some(number)
}

impl Deltas {
    /// Adds the record, encoded, to `out`.
    pub(super) fn encode(&mut self, record: &[u8], out: &mut Vec<u8>) {
        let (chunks, rest) = record.as_chunks::<8>();
        let words: Vec<u64> = chunks.iter().map(|word| u64::from_le_bytes(*word)).collect();
        put(out, record.len() as u64);
        put(out, words.get(1).copied().unwrap_or(0));
        for (index, word) in words.iter().enumerate().filter(|(index, _)| *index != 1) {
            let before = self.before(&words, index);
            #[expect(clippy::cast_possible_wrap, reason = "a difference in two's complement")]
            let difference = word.wrapping_sub(before) as i64;
            put(out, ((difference << 1) ^ (difference >> 63)).cast_unsigned());
        }
        out.extend_from_slice(rest);
        self.note(words);
    }

    /// The record that these bytes, all of them, are encoded; into `record`. None when it is none.
    pub(super) fn decode(&mut self, mut bytes: &[u8], record: &mut Vec<u8>) -> Option<()> {
        record.clear();
        let length = usize::try_from(take(&mut bytes)?).ok().filter(|length| *length <= MOST_RECORD)?;
        // Each word takes a byte at least: what follows bounds what is made room for.
        let count = (length / 8).min(bytes.len() + 1);
        let second = take(&mut bytes)?;
        let mut words = Vec::with_capacity(count);
        for index in 0..length / 8 {
            if index == 1 {
                words.push(second);
                continue;
            }
            let folded = take(&mut bytes)?;
            let difference = (folded >> 1) ^ (folded & 1).wrapping_neg();
            words.push(difference.wrapping_add(match index {
                0 => self.time,
                _ => self.before(&words, index),
            }));
        }
        if bytes.len() != length % 8 {
            return None;
        }
        words.iter().for_each(|word| record.extend_from_slice(&word.to_le_bytes()));
        record.extend_from_slice(bytes);
        self.note(words);
        Some(())
    }

    /// What the word is told as the difference to. Times go on from any probe's to any other's.
    fn before(&self, words: &[u64], index: usize) -> u64 {
        if index == 0 {
            return self.time;
        }
        let last = probe(words).and_then(|probe| self.last.get(probe));
        last.and_then(|last| last.get(index)).copied().unwrap_or(0)
    }

    fn note(&mut self, words: Vec<u64>) {
        self.time = words.first().copied().unwrap_or(self.time);
        if let Some(probe) = probe(&words) {
            self.last.resize_with(PROBES, Vec::new);
            self.last[probe] = words;
        }
    }
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
