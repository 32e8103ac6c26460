//! Hand-made series with the verdicts that they must give.

use proptest::prelude::*;

use super::super::parts::Cause;
use super::super::series::{ON_CPU, PartTimes, Start, Stretch, of_cause};
use super::*;

fn init(name: &str, wall: u64) -> Stretch {
    Stretch { name: name.to_owned(), wall: Nanos(wall), done: true, parts: PartTimes::default() }
}

/// One run for each slice of inits.
fn series(runs: &[Vec<Stretch>]) -> Series {
    let mut series = Series::default();
    for inits in runs {
        series.add(Start { inits: inits.clone(), complete: true, ..Start::default() }).unwrap();
    }
    series
}

/// Runs of one init, of these lengths in microseconds.
fn runs_of(name: &str, micros: &[u64]) -> Series {
    series(&micros.iter().map(|micros| vec![init(name, micros * 1_000)]).collect::<Vec<_>>())
}

fn judged(a: &[u64], b: &[u64]) -> (bool, i64, u64, Basis) {
    let comparison = Comparison::of(&runs_of("net", a), &runs_of("net", b));
    let [change] = comparison.changes.as_slice() else { panic!("{comparison:?}") };
    let Verdict::Both { difference, noise, basis } = change.verdict else { panic!("{change:?}") };
    (change.is_beyond_noise(), difference, noise.0, basis)
}

#[test]
fn a_few_runs_are_judged_by_their_range() {
    let quiet = [1000, 1010, 1020, 1030, 1040];
    assert_eq!(judged(&quiet, &[1200, 1210, 1220, 1230, 1240]), (true, 200_000, 50_000, Basis::Range));
    assert_eq!(judged(&quiet, &[900, 1210, 1220, 1230, 1240]), (false, 200_000, 340_000, Basis::Range));
    assert_eq!(judged(&quiet, &[1040, 1050, 1060, 1070, 1080]), (false, 40_000, 50_000, Basis::Range));
}

#[test]
fn many_runs_are_judged_by_their_quartiles_so_that_one_outlier_hides_nothing() {
    let quiet: Vec<u64> = (0..10).map(|run| 1000 + run).collect();
    let mut slower: Vec<u64> = (0..10).map(|run| 1200 + 10 * run).collect();
    slower[9] = 90_000;
    assert_eq!(judged(&quiet, &slower), (true, 240_500, 67_500, Basis::Quartiles));
    assert!(!judged(&quiet[..9], &slower).0);
}

#[test]
fn single_runs_are_judged_by_a_threshold() {
    assert_eq!(judged(&[1000], &[1900]), (false, 900_000, 1_000_000, Basis::Threshold));
    assert_eq!(judged(&[1000], &[2100]), (true, 1_100_000, 1_000_000, Basis::Threshold));
    assert_eq!(judged(&[100_000], &[130_000]), (false, 30_000_000, 32_500_000, Basis::Threshold));
    assert_eq!(judged(&[140_000], &[100_000]), (true, -40_000_000, 35_000_000, Basis::Threshold));
    // One run on one side leaves its spread unknown, however many the other has.
    assert_eq!(judged(&[1000], &[1900; 20]).3, Basis::Threshold);
    assert_eq!(
        judged(&[1000, 1500, 5000], &[5400, 5500, 5600]),
        (false, 4_000_000, 4_000_000, Basis::Threshold)
    );
}

#[test]
fn inits_that_came_and_went_are_told_apart_from_those_that_were_not_over() {
    let mut cut = init("stuck", 9);
    cut.done = false;
    let a = series(&[vec![init("old", 5), init("both", 5), init("stuck", 3)]]);
    let b = series(&[vec![init("both", 5), init("new", 7_000_000), cut]]);
    let comparison = Comparison::of(&a, &b);
    let verdict =
        |name: &str| comparison.changes.iter().find(|change| change.figure.name() == name).unwrap().verdict;
    assert_eq!(verdict("old"), Verdict::Removed);
    assert_eq!(verdict("new"), Verdict::Added);
    assert_eq!(verdict("stuck"), Verdict::Unfinished);
    assert_eq!(comparison.changes[0].figure.name(), "new", "the largest impact first");
    assert_eq!(comparison.beyond_noise().count(), 0);
}

#[test]
fn the_parts_that_both_have_explain_a_change() {
    let with_parts = |wall: u64, on_cpu: Option<u64>, page_fault: u64| {
        let mut init = init("net", wall);
        init.parts[ON_CPU] = on_cpu.map(Nanos);
        init.parts[of_cause(Cause::PageFault)] = Some(Nanos(page_fault));
        series(&[vec![init]])
    };
    let a = with_parts(12_000_000, Some(11_000_000), 1_000_000);
    let b = with_parts(89_000_000, Some(18_000_000), 71_000_000);
    let comparison = Comparison::of(&a, &b);
    let parts: Vec<_> =
        comparison.changes[0].parts.iter().map(|part| (part.name, part.difference())).collect();
    assert_eq!(parts, [("page_fault", 70_000_000), ("on_cpu", 7_000_000)]);
    let comparison = Comparison::of(&a, &with_parts(89_000_000, None, 71_000_000));
    assert_eq!(comparison.changes[0].parts.len(), 1);
}

#[test]
fn an_init_that_runs_elsewhere_is_the_only_one_that_moved() {
    let order = |names: &[&str]| series(&[names.iter().map(|name| init(name, 1)).collect()]);
    let a = order(&["a", "gone", "b", "c", "d"]);
    let b = order(&["d", "a", "b", "new", "c"]);
    let moved = Comparison::of(&a, &b).moved;
    assert_eq!(moved, [Moved { figure: Figure::init("d"), a: 4, b: 0 }]);
    assert!(Comparison::of(&a, &a).moved.is_empty());
}

proptest! {
    #[test]
    fn a_series_does_not_differ_from_itself(
        walls in prop::collection::vec(any::<u64>(), 1..15),
    ) {
        let runs: Vec<_> = walls.iter().map(|wall| vec![init("a", *wall)]).collect();
        let comparison = Comparison::of(&series(&runs), &series(&runs));
        prop_assert_eq!(comparison.beyond_noise().count(), 0);
        prop_assert_eq!(comparison.changes[0].difference(), Some(0));
    }

    #[test]
    fn the_other_way_round_everything_is_reversed(
        a in prop::collection::vec(any::<u64>(), 1..15),
        b in prop::collection::vec(any::<u64>(), 1..15),
    ) {
        let of = |walls: &[u64]| {
            series(&walls.iter().map(|wall| vec![init("a", *wall)]).collect::<Vec<_>>())
        };
        let forth = Comparison::of(&of(&a), &of(&b));
        let back = Comparison::of(&of(&b), &of(&a));
        prop_assert_eq!(forth.changes[0].is_beyond_noise(), back.changes[0].is_beyond_noise());
    }

    #[test]
    fn what_kept_its_order_is_increasing_and_nothing_longer_is(
        keys in Just((0..8_usize).collect::<Vec<_>>()).prop_shuffle(),
    ) {
        let kept = longest_increasing(&keys);
        let values: Vec<usize> = kept.iter().map(|index| keys[*index]).collect();
        prop_assert!(values.is_sorted() && kept.is_sorted());
        let best = (0_u32..1 << keys.len())
            .filter_map(|chosen| {
                let picked: Vec<usize> =
                    (0..keys.len()).filter(|index| chosen >> index & 1 == 1).map(|index| keys[index]).collect();
                picked.is_sorted().then_some(picked.len())
            })
            .max();
        prop_assert_eq!(Some(kept.len()), best);
    }
}
