//! Whatever numbers a capture holds, what it tells comes to an end without a panic: sums end at the largest there is.

use proptest::prelude::*;
use serde_json::Value;

use super::record::Verb;
use super::{CaptureError, Reader, Record, Replay, Writer, following_tests};
use crate::export::{Format, Told, View};

/// What sums, differences and shares go wrong with.
const EXTREMES: [u64; 8] = [
    0,
    1,
    u32::MAX as u64,
    u32::MAX as u64 + 1,
    i64::MAX as u64,
    i64::MAX as u64 + 1,
    u64::MAX - 1,
    u64::MAX,
];

/// The same each time (xorshift64, Marsaglia 2003).
struct Chance(u64);

impl Chance {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit
    }

    fn extreme(&mut self) -> u64 {
        EXTREMES[usize::try_from(self.below(EXTREMES.len() as u64)).unwrap()]
    }
}

/// The places of all numbers.
fn numbers(value: &Value, path: &str, found: &mut Vec<String>) {
    match value {
        Value::Number(_) => found.push(path.to_owned()),
        Value::Array(values) => values
            .iter()
            .enumerate()
            .for_each(|(index, value)| numbers(value, &format!("{path}/{index}"), found)),
        Value::Object(fields) => {
            fields.iter().for_each(|(name, value)| numbers(value, &format!("{path}/{name}"), found));
        }
        Value::Null | Value::Bool(_) | Value::String(_) => {}
    }
}

/// The capture with one number in so many another one, as far as its records are still what they are.
fn changed(capture: &[u8], one_in: u64, chance: &mut Chance) -> Vec<u8> {
    let mut reader = Reader::new(capture).unwrap();
    let mut writer = Writer::new(Vec::new()).unwrap();
    while let Some(record) = reader.next_record().unwrap() {
        if let Record::Ring(bytes) = record {
            let mut bytes = bytes.to_vec();
            // Behind the time, and the probe's number.
            for word in bytes.chunks_exact_mut(8).skip(2) {
                if chance.below(one_in) == 0 {
                    word.copy_from_slice(&chance.extreme().to_ne_bytes());
                }
            }
            writer.ring(&bytes).unwrap();
            continue;
        }
        let mut value: Value = serde_json::from_slice(&record.to_json().unwrap()).unwrap();
        let mut places = Vec::new();
        numbers(&value, "", &mut places);
        for place in places {
            if chance.below(one_in) == 0 {
                let number = value.pointer_mut(&place).unwrap();
                let kept = std::mem::replace(number, chance.extreme().into());
                let bytes = serde_json::to_vec(&value).unwrap();
                if Record::from_json(record.kind(), &bytes).is_err() {
                    *value.pointer_mut(&place).unwrap() = kept;
                }
            }
        }
        let bytes = serde_json::to_vec(&value).unwrap();
        writer.record(&Record::from_json(record.kind(), &bytes).unwrap()).unwrap();
    }
    writer.flush().unwrap();
    std::mem::take(writer.out())
}

/// How many reports it tells.
fn told(capture: &[u8]) -> Result<usize, CaptureError> {
    let write = |told: Told<'_>| {
        for format in Format::ALL {
            let _ = format.write(told, &View::default(), true, &mut std::io::sink());
        }
    };
    let mut replay = Replay::new(capture)?;
    let mut count = 0;
    if replay.begin.verb == Verb::Attach {
        let mut replayed = replay.follow();
        while let Some(reported) = replayed.next_report()? {
            [Some(&reported.report), reported.whole.as_ref()]
                .into_iter()
                .flatten()
                .for_each(|report| write(Told::Running(report)));
            count += 1;
        }
    } else {
        while let Some(report) = replay.next_start()? {
            write(Told::Start(&report));
            count += 1;
        }
    }
    Ok(count)
}

#[test]
fn what_is_not_changed_is_told() {
    let session = following_tests::some_session();
    assert_eq!(told(&changed(&session, u64::MAX, &mut Chance(1))).unwrap(), 2);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn extreme_numbers_of_a_running_program_end_in_reports_or_an_error(
        seed in 1_u64..,
        one_in in prop::sample::select(vec![1_u64, 2, 8, 40]),
    ) {
        let _ = told(&changed(&following_tests::some_session(), one_in, &mut Chance(seed)));
    }

    #[test]
    fn extreme_numbers_of_a_start_end_in_reports_or_an_error(
        seed in 1_u64..,
        one_in in prop::sample::select(vec![1_u64, 2, 8, 40]),
    ) {
        let kept = include_bytes!("../../tests/captures/v1.gotrace");
        let _ = told(&changed(kept, one_in, &mut Chance(seed)));
    }
}
