//! Any bytes, read as a capture and told: as they are, and as what is in a block, which no checksum lets pass otherwise.

#![no_main]

use gotrace::capture::record::Verb;
use gotrace::capture::{CaptureError, Replay, VERSION};
use gotrace::export::{Format, Told, View};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let _ = tell(bytes);
    let mut compressor = zstd::bulk::Compressor::new(1).expect("a compressor");
    compressor.include_checksum(true).expect("an option");
    let frame = compressor.compress(bytes).expect("room");
    let length = u32::try_from(frame.len()).expect("small").to_le_bytes();
    let _ = tell(&[&b"\x89gotrace"[..], &VERSION.to_le_bytes(), &length, &frame].concat());
});

fn tell(bytes: &[u8]) -> Result<(), CaptureError> {
    let mut replay = Replay::new(bytes)?;
    if replay.begin.verb == Verb::Attach {
        let mut replayed = replay.follow();
        while let Some(reported) = replayed.next_report()? {
            let told = [Some(&reported.report), reported.whole.as_ref()];
            told.into_iter().flatten().for_each(|report| write(Told::Running(report)));
        }
        return Ok(());
    }
    while let Some(report) = replay.next_start()? {
        write(Told::Start(&report));
    }
    Ok(())
}

fn write(told: Told<'_>) {
    for format in Format::ALL {
        let _ = format.write(told, &View::default(), false, &mut std::io::sink());
    }
}
