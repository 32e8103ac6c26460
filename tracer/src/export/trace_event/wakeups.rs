//! Who made whom ready: the long waits that another goroutine ended, each with an arrow from there.

use super::args::Args;
use super::goroutines::{Arrow, Goroutines};
use super::track::{Owner, Slice};
use crate::model::parking::{ParkingReport, Wakeup};
use crate::units::Nanos;

/// The goroutines that waited, and those that they waited for.
pub(super) fn goroutines(parking: &ParkingReport) -> impl Iterator<Item = u64> {
    parking.wakeups.iter().flat_map(|wakeup| [wakeup.goid, wakeup.waker_goid])
}

/// Adds what goroutines waited for, of a report that begins at `began`.
pub(super) fn add<'a>(parking: &'a ParkingReport, began: Nanos, goroutines: &mut Goroutines<'a>) {
    for wakeup in &parking.wakeups {
        let (owner, origin) = (Owner::Goroutine(wakeup.goid), wakeup.origin.as_ref());
        let is_idle = wakeup.idle.is_some();
        goroutines.add(owner, origin, slice(wakeup), is_idle);
        // What happened before the trace has no place on it, and what took no time none to point to.
        if wakeup.ready <= began || wakeup.ready >= wakeup.ran {
            continue;
        }
        let ready =
            Slice { start: wakeup.ready, name: "ready".to_owned(), category: "wake", ..slice(wakeup) };
        let to = goroutines.add(owner, origin, Slice { args: Args::None, ..ready }, is_idle);
        // An arrow begins at a slice, and that it was made ready has no length: it is given the shortest there is, before
        // that moment, for DevTools know no arrow between slices that begin at the same one.
        let began = Nanos(wakeup.ready.0.saturating_sub(1));
        let wakes = Slice {
            start: began,
            end: wakeup.ready,
            name: format!("makes goroutine {} ready", wakeup.goid),
            category: "wake",
            args: Args::Wakes(wakeup),
        };
        let waker = Owner::Goroutine(wakeup.waker_goid);
        let from = goroutines.add(waker, wakeup.waker_origin.as_ref(), wakes, is_idle);
        goroutines.point(Arrow { name: "wakes", category: "wake", at: [began, wakeup.ready], from, to });
    }
}

fn slice(wakeup: &Wakeup) -> Slice<'_> {
    Slice {
        start: wakeup.since,
        end: wakeup.ran,
        name: format!("parked: {}", wakeup.reason),
        category: "parked",
        args: Args::Parked(wakeup),
    }
}
