//! What happened to goroutines, each on its own track.

use std::collections::BTreeMap;
use std::io;

use serde_json::Value;

use super::collector::Held;
use super::event::{Reach, Writer};
use super::track::{Owner, Slice, Tracks};
use crate::target::gobin::Frame;
use crate::units::Nanos;

/// The tracks so far, in the order of the goroutines' numbers; threads come behind them, and last who only idled.
#[derive(Default)]
pub(super) struct Goroutines<'a>(BTreeMap<Owner, Track<'a>>);

#[derive(Default)]
struct Track<'a> {
    /// Whether there is more to tell than that it had nothing to do.
    is_busy: bool,
    origin: Option<&'a Frame>,
    slices: Vec<Slice<'a>>,
    instants: Vec<(Nanos, String, Value)>,
}

impl<'a> Goroutines<'a> {
    /// Adds a stretch of time of the goroutine that `origin` made.
    pub(super) fn add(&mut self, owner: Owner, origin: Option<&'a Frame>, slice: Slice<'a>, is_idle: bool) {
        let track = self.track(owner, origin);
        track.is_busy |= !is_idle;
        track.slices.push(slice);
    }

    /// Adds a moment.
    pub(super) fn add_instant(
        &mut self,
        owner: Owner,
        origin: Option<&'a Frame>,
        at: Nanos,
        name: String,
        args: Value,
        is_idle: bool,
    ) {
        let track = self.track(owner, origin);
        track.is_busy |= !is_idle;
        track.instants.push((at, name, args));
    }

    /// Writes all of them, those that held the world up too, with an arrow to where it had stopped.
    pub(super) fn write(
        mut self,
        held: Vec<Held<'a>>,
        tracks: &mut Tracks,
        writer: &mut Writer<'_>,
    ) -> io::Result<()> {
        let mut arrows: BTreeMap<Owner, Vec<_>> = BTreeMap::new();
        for held in held {
            let owner = Owner::Goroutine(held.goid);
            let start = held.slice.start;
            let track = self.track(owner, held.origin);
            if let Some(stopped) = held.stopped {
                arrows.entry(owner).or_default().push((track.slices.len(), start, stopped));
            }
            track.is_busy = true;
            track.slices.push(held.slice);
        }
        let (busy, idle): (Vec<_>, Vec<_>) = self.0.into_iter().partition(|(_, track)| track.is_busy);
        for (owner, track) in busy.into_iter().chain(idle) {
            let name = name(owner, track.origin);
            let tid = tracks.open(owner, &name, writer)?;
            let on = tracks.write(tid, &name, &track.slices, writer)?;
            for (at, name, args) in track.instants {
                writer.instant(tid, at, &name, Reach::Track, Some(args))?;
            }
            for (index, start, stopped) in arrows.remove(&owner).unwrap_or_default() {
                writer.flow("has stopped", (on[index], start), (stopped.tid, stopped.at))?;
            }
        }
        Ok(())
    }

    fn track(&mut self, owner: Owner, origin: Option<&'a Frame>) -> &mut Track<'a> {
        let track = self.0.entry(owner).or_default();
        track.origin = track.origin.or(origin);
        track
    }
}

fn name(owner: Owner, origin: Option<&Frame>) -> String {
    let made = origin.map_or(String::new(), |origin| format!(", made at {origin}"));
    match owner {
        Owner::Goroutine(1) => "goroutine 1, main".to_owned(),
        Owner::Goroutine(goid) => format!("goroutine {goid}{made}"),
        Owner::Thread(tid) => format!("thread {tid}"),
    }
}
