//! Real programs, damaged by chance.

use std::time::Duration;

use crate::effort::Effort;
use crate::support::{Fixture, fixtures};
use crate::{memory, walk};

/// A generator that gives the same numbers on every machine.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, end: usize) -> usize {
        // xorshift64*
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let number = self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 16;
        usize::try_from(number).expect("a number") % end
    }
}

#[test]
#[ignore = "needs fixtures: cargo xtask test"]
fn damage_to_real_programs_does_no_harm() {
    let mut numbers = Numbers(0x9e37_79b9_7f4a_7c15);
    let programs = fixtures();
    let is_chosen = |fixture: &&Fixture| {
        fixture.name == "esbuild"
            || (fixture.program == "nethttp"
                && fixture.build == "pie"
                && fixture.go.as_deref() > Some("1.25"))
    };
    for fixture in programs.iter().filter(is_chosen) {
        let whole = std::fs::read(&fixture.path).expect("a program");
        let tables = tables(&whole);
        for round in 0..300 {
            let mut bytes = whole.clone();
            for _ in 0..=numbers.below(64) {
                // Three times of four in the headers or in a table.
                let at = match numbers.below(4) {
                    0 => numbers.below(bytes.len()),
                    1 => numbers.below(1024),
                    _ => {
                        let (from, len) = tables[numbers.below(tables.len())];
                        from + numbers.below(len)
                    }
                };
                let extremes = [0, 0xff, 0x7f, 0x80, 1];
                bytes[at] = match numbers.below(3) {
                    0 => extremes[numbers.below(extremes.len())],
                    1 => bytes[at] ^ (1 << numbers.below(8)),
                    _ => u8::try_from(numbers.below(256)).expect("a byte"),
                };
            }
            survives(&fixture.name, &bytes, round);
        }
        for round in 0..100 {
            let len = numbers.below(whole.len());
            survives(&fixture.name, &whole[..len], round);
        }
    }
}

fn survives(name: &str, bytes: &[u8], round: usize) {
    let began = Effort::begin();
    let (_, peak) = memory::peak_of(|| walk::walk_bytes(bytes));
    assert!(began.spent() <= Duration::from_secs(2), "{name} {round}: {:?}", began.spent());
    assert!(peak <= 4 * bytes.len() + (32 << 20), "{name} {round}: {peak} bytes");
}

/// The places worth damaging: where the function table's header, its parts' begins and the module data are.
fn tables(bytes: &[u8]) -> Vec<(usize, usize)> {
    let magic = [0xf1, 0xff, 0xff, 0xff, 0, 0, 1, 8];
    let header = bytes.windows(8).position(|window| window == magic).expect("a function table");
    let word = |at: usize| {
        let bytes: [u8; 8] = bytes[at..at + 8].try_into().expect("eight bytes");
        usize::try_from(u64::from_le_bytes(bytes)).expect("an offset")
    };
    let mut tables = vec![(header, 72)];
    for index in 3..8 {
        tables.push((header + word(header + 8 + 8 * index), 4096));
    }
    let table = header + word(header + 64);
    // Every record of the first functions, and the data behind: module data and the inits.
    tables.push((table, 1 << 16));
    let data = bytes.windows(16).position(|window| window.starts_with(b"\xff Go buildinf:"));
    tables.extend(data.map(|data| (data, 4096)));
    tables
}
