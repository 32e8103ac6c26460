//! Any bytes, as the kernel side hands them over: records of its ring buffer, and keys and values of its maps. And as an
//! earlier report's lines, which become events too.

#![no_main]

use gotrace::capture::{Reader, Record, Writer};
use gotrace::event::{blocking, decode, gc, parking, profile, recorded};
use libfuzzer_sys::fuzz_target;
use tracer_ebpf::wire;
use zerocopy::FromBytes;

fuzz_target!(|bytes: &[u8]| {
    let records = records(bytes);
    for record in &records {
        match decode(record) {
            Ok(event) => assert_eq!(event.probe() as u32, taken::<wire::Header>(record).expect("a header").0.probe),
            Err(error) => assert!(!error.to_string().is_empty()),
        }
    }
    keep(&records);
    sums(bytes);
    let mut lines = recorded::Lines::new(bytes);
    while let Ok(Some(_)) = lines.next_line() {}
});

/// The bytes cut into records: before each its length, in two bytes.
fn records(mut bytes: &[u8]) -> Vec<&[u8]> {
    let mut records = Vec::new();
    while let Some((length, rest)) = bytes.split_first_chunk() {
        let (record, rest) = rest.split_at(rest.len().min(u16::from_le_bytes(*length).into()));
        records.push(record);
        bytes = rest;
    }
    records
}

/// A capture gives back what it was given, whatever that is.
fn keep(records: &[&[u8]]) {
    let mut file = Vec::new();
    let mut writer = Writer::new(&mut file).expect("room");
    records.iter().for_each(|record| writer.ring(record).expect("room"));
    writer.flush().expect("room");
    drop(writer);
    let mut reader = Reader::new(&file[..]).expect("a capture");
    for record in records {
        let kept = reader.next_record().expect("what was written");
        assert!(matches!(kept, Some(Record::Ring(kept)) if kept == *record));
    }
    assert!(matches!(reader.next_record(), Ok(None)));
}

/// What the maps hold has no header: the map says what it is.
fn sums(bytes: &[u8]) {
    if let Some(((key, stats), _)) = both::<wire::blocking::Key, wire::blocking::Stats>(bytes) {
        let _ = blocking::CallTotal::new(&key, &stats);
    }
    if let Some(((key, stats), _)) = both::<wire::parking::Key, wire::parking::Stats>(bytes) {
        let _ = parking::ParkTotal::new(&key, &stats);
    }
    if let Some((parked, _)) = taken::<wire::parking::Parked>(bytes) {
        let _ = parking::ParkedNow::new(1, &parked);
    }
    if let Some(((sample, count), _)) = both::<wire::profile::Sample, u64>(bytes) {
        let _ = profile::Samples::new(&sample, count);
    }
    if let Some(((key, stats), _)) = both::<wire::gc::AssistKey, wire::gc::AssistStats>(bytes) {
        let _ = gc::Assist::new(&key, &stats);
    }
}

fn taken<T: FromBytes>(bytes: &[u8]) -> Option<(T, &[u8])> {
    T::read_from_prefix(bytes).ok()
}

fn both<K: FromBytes, V: FromBytes>(bytes: &[u8]) -> Option<((K, V), &[u8])> {
    let (key, rest) = taken(bytes)?;
    let (value, rest) = taken(rest)?;
    Some(((key, value), rest))
}
