//! The container: what is written is read again, and what is no capture is told by what is wrong with it.

use std::io;

use proptest::prelude::*;

use super::record::{End, Symbol};
use super::*;
use crate::model::gc::Surroundings;
use crate::target::gobin::Frame;
use crate::units::{Nanos, RuntimeAddr};

/// What a capture holds, to compare.
fn read(bytes: &[u8]) -> Result<(Vec<String>, bool), CaptureError> {
    let mut reader = Reader::new(bytes)?;
    let mut records = Vec::new();
    while let Some(record) = reader.next_record()? {
        records.push(format!("{record:?}"));
    }
    Ok((records, reader.is_cut()))
}

fn symbol(number: u64) -> Symbol {
    let frame = Frame {
        function: format!("main.f{number}").into(),
        file: None,
        line: 7,
        inlined: false,
        begins: 0,
        address: None,
    };
    Symbol { address: RuntimeAddr(number), frames: vec![frame] }
}

/// A small capture of two blocks.
fn small() -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut writer = Writer::new(&mut bytes).unwrap();
    for record in [&[1; 40][..], &[2; 43], b"", &[3; 9]] {
        writer.ring(record).unwrap();
    }
    writer.flush().unwrap();
    let around = Surroundings { rss: Some(4096), throttled: Some(Nanos(3)) };
    writer.record(&Record::Surroundings(around)).unwrap();
    writer.record(&Record::Symbols(vec![symbol(1), symbol(2)])).unwrap();
    writer.record(&Record::End(End::default())).unwrap();
    writer.flush().unwrap();
    drop(writer);
    bytes
}

#[test]
fn what_is_written_is_read_again() {
    let (records, cut) = read(&small()).unwrap();
    assert!(!cut);
    assert_eq!(records.len(), 7, "{records:?}");
    assert_eq!(records[1], format!("{:?}", Record::Ring(&[2; 43])));
    assert!(records[4].contains("rss: Some(4096)"), "{records:?}");
    assert!(records[5].contains("main.f2"), "{records:?}");
}

#[test]
fn what_is_cut_short_is_read_up_to_its_last_whole_block() {
    let (whole, _) = read(&small()).unwrap();
    let mut held = Vec::new();
    for length in 0..small().len() {
        match read(&small()[..length]) {
            Ok((records, cut)) => {
                assert!(whole.starts_with(&records), "{length} bytes: {records:?}");
                // Only a file that ends between two blocks looks as if it were whole: but it has no End.
                assert!(cut || !records.last().is_some_and(|last| last.starts_with("End")), "{length}");
                held.push(records.len());
            }
            Err(error) => assert!(length < 12, "{length} bytes: {error}"),
        }
    }
    held.dedup();
    assert_eq!(held, [0, 4]);
}

#[test]
fn no_byte_can_be_another_unseen() {
    let (whole, _) = read(&small()).unwrap();
    for at in 0..small().len() {
        for bit in 0..8 {
            let mut bytes = small();
            bytes[at] ^= 1 << bit;
            match read(&bytes) {
                Ok((records, cut)) => assert!(cut || records == whole, "byte {at}, bit {bit}: {records:?}"),
                Err(CaptureError::Io(error)) => panic!("{error}"),
                Err(_) => {}
            }
        }
    }
}

#[test]
fn what_is_no_capture_is_refused_and_what_is_newer_by_its_version() {
    for other in [&b""[..], b"hello, world, this is text\n", &[0; 100], b"\x89gotrace\0\0\0\0"] {
        assert!(matches!(read(other), Err(CaptureError::NotACapture)), "{other:?}");
    }
    let mut newer = small();
    newer[8] = 99;
    let error = read(&newer).unwrap_err().to_string();
    assert!(error.contains("format 99") && error.contains("use a newer one"), "{error}");
}

fn with_block(frame: &[u8]) -> Vec<u8> {
    let length = u32::try_from(frame.len()).unwrap();
    [&small()[..12], &length.to_le_bytes(), frame].concat()
}

#[test]
fn a_block_that_grows_without_bound_is_not_decompressed() {
    let bomb = zstd::bulk::compress(&vec![0; MOST_PLAIN + 1], 19).unwrap();
    assert!(bomb.len() < 4096);
    let error = read(&with_block(&bomb)).unwrap_err().to_string();
    assert!(error.contains("byte 12") && error.contains("larger than blocks are"), "{error}");
    let claims = [&small()[..12], &u32::MAX.to_le_bytes()].concat();
    assert!(read(&claims).unwrap_err().to_string().contains("too long"));
    // It says nothing of how large it is: not what gotrace writes.
    let unsized_frame = zstd::stream::encode_all(&[0_u8; 100][..], 1).unwrap();
    assert!(matches!(read(&with_block(&unsized_frame)), Err(CaptureError::Damaged { at: 12, .. })));
}

#[test]
fn a_record_may_not_claim_more_than_records_have() {
    let block = |plain: &[u8]| {
        let mut compressor = zstd::bulk::Compressor::new(1).unwrap();
        compressor.include_checksum(true).unwrap();
        with_block(&compressor.compress(plain).unwrap())
    };
    let claim = [&[1][..], &[0xff; 9], &[1]].concat();
    assert!(read(&block(&claim)).unwrap_err().to_string().contains("too long"));
    assert!(read(&block(&[[1].as_slice(), &[0xff; 20]].concat())).unwrap_err().to_string().contains("none"));
    assert!(read(&block(&[200, 0])).unwrap_err().to_string().contains("no known kind"));
    // A record of the kernel side that is to have words without end, and has none.
    assert!(read(&block(&[1, 3, 0, 0xff, 0x7f])).unwrap_err().to_string().contains("that is none"));
}

#[test]
fn a_record_may_be_larger_than_a_block_and_not_larger_than_can_be_read() {
    let mut bytes = Vec::new();
    let mut writer = Writer::new(&mut bytes).unwrap();
    let symbols: Vec<Symbol> = (0..60_000).map(symbol).collect();
    writer.record(&Record::Symbols(symbols.clone())).unwrap();
    writer.flush().unwrap();
    assert!(matches!(writer.ring(&vec![0; MOST_RECORD + 1]), Err(CaptureError::TooLarge { .. })));
    drop(writer);
    let mut reader = Reader::new(&bytes[..]).unwrap();
    assert!(matches!(reader.next_record().unwrap(), Some(Record::Symbols(read)) if read == symbols));
    assert!(reader.next_record().unwrap().is_none() && !reader.is_cut());
    // Cut between its blocks it is not half read.
    let mut reader = Reader::new(&bytes[..bytes.len() - 1]).unwrap();
    assert!(reader.next_record().unwrap().is_none() && reader.is_cut());
}

#[test]
fn a_writer_that_is_full_says_so() {
    let mut room = [0; 14];
    let mut writer = Writer::new(io::Cursor::new(&mut room[..])).unwrap();
    writer.ring(&[1; 40]).unwrap();
    assert!(matches!(writer.flush(), Err(CaptureError::Io(_))));
}

proptest! {
    #[test]
    fn records_of_the_kernel_side_come_back_as_they_were(
        records in prop::collection::vec(prop::collection::vec(prop_oneof![Just(0), any::<u8>()], 0..200), 0..40),
        flush in any::<u8>(),
    ) {
        let mut bytes = Vec::new();
        let mut writer = Writer::new(&mut bytes).unwrap();
        for (index, record) in records.iter().enumerate() {
            writer.ring(record).unwrap();
            if index == usize::from(flush) {
                writer.flush().unwrap();
            }
        }
        writer.flush().unwrap();
        drop(writer);
        let mut reader = Reader::new(&bytes[..]).unwrap();
        for record in &records {
            match reader.next_record().unwrap() {
                Some(Record::Ring(read)) => prop_assert_eq!(read, &record[..]),
                other => prop_assert!(false, "{:?}", other),
            }
        }
        prop_assert!(reader.next_record().unwrap().is_none() && !reader.is_cut());
    }

    #[test]
    fn any_bytes_behind_a_header_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let _ = read(&[&small()[..12], &bytes].concat());
        let _ = read(&with_block(&zstd::bulk::compress(&bytes, 1).unwrap()));
    }
}
