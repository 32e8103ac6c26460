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
pub(super) struct Goroutines<'a> {
    tracks: BTreeMap<Owner, Track<'a>>,
    arrows: Vec<Arrow>,
}

/// An arrow between two slices of its category.
pub(super) struct Arrow {
    pub(super) name: &'static str,
    pub(super) category: &'static str,
    /// When the slices begin.
    pub(super) at: [Nanos; 2],
    pub(super) from: Place,
    pub(super) to: Place,
}

/// A slice, by where it is to be found.
#[derive(Clone, Copy)]
pub(super) enum Place {
    /// On a track that is being collected: the slice of that index.
    Collected(Owner, usize),
    /// On a track that is written.
    Written(u64),
}

#[derive(Default)]
struct Track<'a> {
    /// Whether there is more to tell than that it had nothing to do.
    is_busy: bool,
    origin: Option<&'a Frame>,
    slices: Vec<Slice<'a>>,
    instants: Vec<(Nanos, String, Value)>,
}

impl<'a> Goroutines<'a> {
    /// Adds a stretch of time of the goroutine that `origin` made. Returns where it is.
    pub(super) fn add(
        &mut self,
        owner: Owner,
        origin: Option<&'a Frame>,
        slice: Slice<'a>,
        is_idle: bool,
    ) -> Place {
        let track = self.track(owner, origin);
        track.is_busy |= !is_idle;
        track.slices.push(slice);
        Place::Collected(owner, track.slices.len() - 1)
    }

    /// Adds an arrow.
    pub(super) fn point(&mut self, arrow: Arrow) {
        self.arrows.push(arrow);
    }

    /// Adds who held the world up, with an arrow to where it had stopped.
    pub(super) fn add_held(&mut self, held: Held<'a>) {
        let start = held.slice.start;
        let from = self.add(Owner::Goroutine(held.goid), held.origin, held.slice, false);
        if let Some(stopped) = held.stopped {
            let (at, to) = ([start, stopped.at], Place::Written(stopped.tid));
            self.point(Arrow { name: "has stopped", category: "stw", at, from, to });
        }
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

    /// Writes all of them.
    pub(super) fn write(self, tracks: &mut Tracks, writer: &mut Writer<'_>) -> io::Result<()> {
        let (busy, idle): (Vec<_>, Vec<_>) = self.tracks.into_iter().partition(|(_, track)| track.is_busy);
        let mut written = BTreeMap::new();
        for (owner, track) in busy.into_iter().chain(idle) {
            let name = name(owner, track.origin);
            let tid = tracks.open(owner, &name, writer)?;
            written.insert(owner, tracks.write(tid, &name, &track.slices, writer)?);
            for (at, name, args) in track.instants {
                writer.instant(tid, at, &name, Reach::Track, Some(args))?;
            }
        }
        let tid = |place| match place {
            Place::Collected(owner, index) => written[&owner][index],
            Place::Written(tid) => tid,
        };
        self.arrows.into_iter().try_for_each(|Arrow { name, category, at: [from_at, to_at], from, to }| {
            writer.flow(name, category, (tid(from), from_at), (tid(to), to_at))
        })
    }

    fn track(&mut self, owner: Owner, origin: Option<&'a Frame>) -> &mut Track<'a> {
        let track = self.tracks.entry(owner).or_default();
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
