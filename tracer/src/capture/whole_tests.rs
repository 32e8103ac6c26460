//! Reports in between and the one on all of the time: what the former tell is in all what the latter tells.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::following_tests::{Session, acts, ensure_same, formats, replay};
use crate::model::blocking::BlockingReport;

/// What of a report can be added up, by what it is of.
fn sums(report: &BlockingReport) -> BTreeMap<String, [u64; 3]> {
    let calls = report.entries.iter().map(|entry| {
        let sums = &entry.sums;
        (format!("{:?}", entry.key), [sums.count, sums.total.0, sums.errors])
    });
    let on_cpu = report.on_cpu.iter().map(|one| (format!("{:?}", one.stack), [one.count, 0, 0]));
    let parking = report.parking.as_ref().expect("a part about waits");
    let parkings = parking
        .parkings
        .iter()
        .map(|one| (format!("parked {:?}", one.stack), [one.sums.count, one.sums.total.0, one.runnable.0]));
    let gc = report.gc.as_ref().expect("a part about the collector");
    let assists = gc.assists.iter().map(|one| (format!("assist {:?}", one.stack), [one.count, one.cpu.0, 0]));
    let single = [("slow", report.slow_count), ("woken", parking.wakeup_count), ("cycles", gc.totals.cycles)];
    let single = single.map(|(name, count)| (name.to_owned(), [count, 0, 0]));
    calls.chain(on_cpu).chain(parkings).chain(assists).chain(single).collect()
}

proptest! {
    #[test]
    fn intervals_add_up_to_the_whole(acts in acts()) {
        let mut session = Session::of(&acts, false);
        let told = session.whole.take();
        let (reports, whole) = replay(&session.capture());
        let Some(whole) = whole else {
            prop_assert_eq!(reports.len(), 1, "several reports, and none on all of the time");
            return Ok(());
        };
        ensure_same(&[formats(&whole)], told.as_slice())?;
        let mut added: BTreeMap<String, [u64; 3]> = BTreeMap::new();
        for (name, more) in reports.iter().flat_map(sums) {
            let sum = added.entry(name).or_default();
            sum.iter_mut().zip(more).for_each(|(sum, more)| *sum += more);
        }
        prop_assert_eq!(added, sums(&whole));
        let (first, last) = (&reports[0], &reports[reports.len() - 1]);
        prop_assert_eq!((whole.began, whole.ended), (first.began, last.ended));
        prop_assert_eq!(whole.subject.wall_clock_unix_ns, first.subject.wall_clock_unix_ns);
    }
}
