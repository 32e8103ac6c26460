//! What is noise between two spans of a running program, and what is not.

use proptest::prelude::*;

use super::super::super::Recording;
use super::*;

const MS: u64 = 1_000_000;

/// A report: a span in seconds, and of each place the function, line, cause, count, and how long each took in ms.
fn report(span: u64, places: &[(&str, u32, &str, u64, u64)]) -> String {
    let mut text = "{\"type\":\"header\",\"schema\":1}\n".to_owned();
    for (function, line, cause, count, each) in places {
        let (total, longest) = (count * each * MS, each * MS);
        text += &format!(
            "{{\"type\":\"blocking\",\"class\":\"suffered\",\"cause\":\"{cause}\",\"count\":{count},\
             \"total_ns\":{total},\"max_ns\":{longest},\
             \"site\":{{\"function\":\"{function}\",\"file\":\"/a/b.go\",\"line\":{line}}}}}\n"
        );
    }
    text + &format!("{{\"type\":\"summary\",\"span_ns\":{},\"suffered_ns\":1}}\n", span * 1000 * MS)
}

fn spans(text: &str) -> Spans {
    Recording::read(text.as_bytes()).unwrap().spans
}

fn compared(a: &str, b: &str) -> RunningComparison {
    RunningComparison::of(&spans(a), &spans(b))
}

fn site<'a>(comparison: &'a RunningComparison, function: &str) -> &'a BlockedChange {
    let is_it =
        |change: &&BlockedChange| matches!(&change.what, Blocked::Site(at) if at.function == function);
    comparison.blocked.iter().find(is_it).unwrap()
}

#[test]
fn what_became_longer_is_told_and_the_rest_is_noise() {
    let a = report(10, &[("main.f", 3, "file", 100, 5), ("main.g", 7, "network", 200, 10)]);
    let b = report(20, &[("main.f", 3, "file", 210, 25), ("main.g", 7, "network", 410, 10)]);
    let comparison = compared(&a, &b);
    let slower = site(&comparison, "main.f");
    assert!((slower.time.a, slower.time.b) == (50e6, 262.5e6), "{slower:?}");
    assert!(slower.time.is_beyond_noise() && slower.time.difference() > 0.0, "{slower:?}");
    assert!(!slower.count.is_beyond_noise() && slower.each.unwrap().is_beyond_noise(), "{slower:?}");
    let same = site(&comparison, "main.g");
    assert!(!same.time.is_beyond_noise() && !same.each.unwrap().is_beyond_noise(), "{same:?}");
    let names: Vec<&Blocked> = comparison.blocked.iter().map(|change| &change.what).collect();
    assert_eq!(names[0], &Blocked::All, "the largest change first: {names:?}");
    assert!(names.contains(&&Blocked::Cause("network".to_owned())));
}

#[test]
fn twice_the_load_is_more_calls_and_each_as_long() {
    let a = report(10, &[("main.f", 3, "file", 400, 5)]);
    let b = report(10, &[("main.f", 3, "file", 800, 5)]);
    let comparison = compared(&a, &b);
    let change = site(&comparison, "main.f");
    assert!(change.time.is_beyond_noise() && change.count.is_beyond_noise());
    assert!(!change.each.unwrap().is_beyond_noise());
}

#[test]
fn few_calls_prove_nothing_however_long() {
    let a = report(10, &[("main.f", 3, "file", 1, 300)]);
    let b = report(10, &[("main.f", 3, "file", 9, 300)]);
    let comparison = compared(&a, &b);
    let change = site(&comparison, "main.f");
    assert!(!change.time.is_beyond_noise() && change.each.is_none(), "{change:?}");
    let b = report(10, &[("main.f", 3, "file", 40, 300)]);
    assert!(site(&compared(&a, &b), "main.f").time.is_beyond_noise());
}

#[test]
fn a_place_that_one_side_does_not_have_is_compared_with_nothing() {
    let comparison = compared(&report(10, &[]), &report(10, &[("main.f", 3, "file", 100, 5)]));
    let change = site(&comparison, "main.f");
    assert!((change.a.count, change.b.count) == (0, 100) && change.time.is_beyond_noise());
    assert!(compared(&report(10, &[]), &report(10, &[])).blocked.len() == 1, "all of it is always there");
}

#[test]
fn lines_are_compared_until_they_move() {
    let lines = |line| report(10, &[("main.f", line, "file", 50, 5), ("main.f", line + 9, "file", 50, 5)]);
    let places = |comparison: &RunningComparison| {
        let sites = comparison.blocked.iter().filter_map(|change| match &change.what {
            Blocked::Site(place) => Some((place.line, change.a.count, change.b.count)),
            _ => None,
        });
        sites.collect::<Vec<_>>()
    };
    assert_eq!(places(&compared(&lines(3), &lines(3))), [(3, 50, 50), (12, 50, 50)]);
    assert_eq!(places(&compared(&lines(3), &lines(4))), [(0, 100, 100)]);
}

#[test]
fn what_is_idle_or_not_known_is_not_compared() {
    let text = report(10, &[("main.f", 3, "file", 100, 5)]);
    for other in [
        "\"class\":\"idle\"",
        "\"class\":\"suffered\",\"kind\":\"wait\"",
        "\"class\":\"suffered\",\"retried\":false",
    ] {
        assert!(spans(&text.replace("\"class\":\"suffered\"", other)).blocked().is_empty(), "{other}");
    }
}

#[test]
fn reports_one_behind_another_add_up_and_starts_are_not_mixed_in() {
    let one = report(10, &[("main.f", 3, "file", 100, 5)]);
    let both = spans(&one.repeat(2));
    assert_eq!((both.reports, both.time), (2, Nanos(20_000 * MS)));
    assert_eq!(both.blocked().values().next().unwrap().count, 200);
    let start = "{\"type\":\"header\",\"schema\":1}\n{\"type\":\"summary\",\"to_main_ns\":5}\n";
    let error = Recording::read(format!("{one}{start}").as_bytes()).unwrap_err().to_string();
    assert!(error.contains("cannot be added up"), "{error}");
}

/// Cycles of the collector: how long each pause was in µs, two of each cycle, and the assists in µs.
fn collections(cycles: impl Iterator<Item = (u64, u64)>, untold: u64) -> String {
    let (mut text, mut count) = ("{\"type\":\"header\",\"schema\":1}\n".to_owned(), 0);
    for (pause, assist) in cycles {
        let (pause, assist) = (pause * 1000, assist * 1000);
        text += &format!(
            "{{\"type\":\"gc\",\"stw_sweep_term_ns\":{pause},\"stw_mark_term_ns\":{pause},\"assist_ns\":{assist}}}\n"
        );
        count += 1;
    }
    text + &format!(
        "{{\"type\":\"gc_summary\",\"refused\":null,\"cycles\":{},\"cycles_untold\":{untold},\"span_ns\":10000000000}}\n\
         {{\"type\":\"summary\",\"span_ns\":10000000000,\"suffered_ns\":1}}\n",
        count + untold
    )
}

#[test]
fn the_collectors_pauses_are_compared_by_their_order() {
    let a = collections((0..100).map(|cycle| (100 + cycle % 20, 10)), 0);
    let b = collections((0..100).map(|cycle| (400 + cycle % 20, 900)), 0);
    let beyond = |comparison: &RunningComparison| {
        let beyond = comparison.gc.iter().filter(|change| change.compared.is_beyond_noise());
        beyond.map(|change| change.figure.name()).collect::<Vec<_>>()
    };
    let comparison = compared(&a, &b);
    // A ninety-ninth percentile of 200 has no upper bound.
    let names: Vec<String> = comparison.gc.iter().map(|change| change.figure.name()).collect();
    assert_eq!(names, ["cycles", "pause", "assist", "pause_p50", "pause_p90"]);
    assert_eq!(beyond(&comparison), ["pause", "assist", "pause_p50", "pause_p90"]);
    assert_eq!(beyond(&compared(&a, &a)), [""; 0]);
    let more = collections((0..300).map(|cycle| (100 + cycle % 20, 10)), 0);
    assert_eq!(beyond(&compared(&a, &more)), ["cycles", "pause"]);
}

#[test]
fn cycles_in_the_sums_alone_have_no_pauses() {
    let told = collections((0..100).map(|_| (100, 10)), 0);
    let untold = collections((0..100).map(|_| (100, 10)), 50);
    let names: Vec<String> = compared(&told, &untold).gc.iter().map(|change| change.figure.name()).collect();
    assert_eq!(names, ["cycles", "pause_p50", "pause_p90"]);
    assert!(compared(&told, &report(10, &[])).gc.is_empty(), "one side went without");
}

/// The same each time (xorshift64, Marsaglia 2003).
struct Chance(u64);

impl Chance {
    fn uniform(&mut self) -> f64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        as_f64(self.0 >> 11) / as_f64(1 << 53)
    }

    fn exponential(&mut self, mean: f64) -> f64 {
        -mean * (1.0 - self.uniform()).ln()
    }

    /// So many a second for ten seconds, each of a length that is drawn.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "milliseconds")]
    fn calls(&mut self, rate: f64, mut length: impl FnMut(&mut Self) -> f64) -> (Sample, Vec<Nanos>) {
        let (mut at, mut sample, mut all) = (0.0, Sample::default(), Vec::new());
        loop {
            at += self.exponential(1.0 / rate);
            if at > 10.0 {
                // As a report tells it: without the single lengths.
                return (Sample::of(sample.count, sample.total, sample.longest), all);
            }
            let duration = Nanos(length(self) as u64);
            sample.add(&Sample::one(duration));
            all.push(duration);
        }
    }
}

#[test]
fn of_pairs_that_do_not_differ_hardly_any_pass_for_different() {
    let mut chance = Chance(7);
    let lengths: [fn(&mut Chance) -> f64; 4] = [
        |_| 5e6,
        |chance| chance.exponential(5e6),
        |chance| if chance.uniform() < 0.02 { 2e8 } else { 1e6 },
        |chance| (14.0 + chance.exponential(1.0)).exp().min(1e9),
    ];
    let span = [Nanos(10_000 * MS); 2];
    let (mut pairs, mut wrong) = (0_u32, [0_u32; 4]);
    for rate in [1.0, 5.0, 50.0] {
        for length in lengths {
            for _ in 0..200 {
                let ((a, mut on_a), (b, mut on_b)) = (chance.calls(rate, length), chance.calls(rate, length));
                on_a.sort_unstable();
                on_b.sort_unstable();
                let is_wrong =
                    |compared: Option<Compared>| u32::from(compared.is_some_and(|it| it.is_beyond_noise()));
                pairs += 1;
                wrong[0] += is_wrong(Some(time(&a, &b, span)));
                wrong[1] += is_wrong(Some(count(&a, &b, span)));
                wrong[2] += is_wrong(each(&a, &b));
                wrong[3] += is_wrong(quantiles(&on_a, &on_b, 500));
            }
        }
    }
    assert!(wrong.iter().all(|wrong| *wrong * 1000 <= pairs), "{wrong:?} of {pairs}");
}

#[test]
fn a_place_that_takes_half_as_long_again_is_found() {
    let mut chance = Chance(7);
    let span = [Nanos(10_000 * MS); 2];
    let mut found = 0;
    for _ in 0..100 {
        let (a, _) = chance.calls(200.0, |chance| 4e6 + chance.exponential(1e6));
        let (b, _) = chance.calls(200.0, |chance| 6e6 + chance.exponential(1.5e6));
        found += u32::from(time(&a, &b, span).is_beyond_noise() && each(&a, &b).unwrap().is_beyond_noise());
    }
    assert!(found >= 95, "{found}");
}

proptest! {
    #[test]
    fn whatever_the_numbers_they_are_compared(
        a in any::<[u64; 4]>(),
        b in any::<[u64; 4]>(),
        pauses in prop::collection::vec(any::<u64>(), 0..40),
    ) {
        let line = |[span, count, total, longest]: [u64; 4]| format!(
            "{{\"type\":\"header\",\"schema\":1}}\n{{\"type\":\"blocking\",\"class\":\"suffered\",\"count\":{count},\
             \"total_ns\":{total},\"max_ns\":{longest}}}\n{}{{\"type\":\"gc_summary\",\"cycles\":{count},\
             \"cycles_missed\":{longest},\"cycles_untold\":{total},\"span_ns\":{span}}}\n\
             {{\"type\":\"summary\",\"span_ns\":{span},\"suffered_ns\":{total}}}\n",
            pauses.iter().map(|pause| format!(
                "{{\"type\":\"gc\",\"stw_sweep_term_ns\":{pause},\"stw_mark_term_ns\":{pause},\"assist_ns\":{pause}}}\n"
            )).collect::<String>()
        );
        let comparison = compared(&line(a).repeat(2), &line(b));
        for change in &comparison.blocked {
            prop_assert!(change.time.noise.is_finite() && change.count.noise.is_finite(), "{change:?}");
        }
        for change in &comparison.gc {
            prop_assert!(change.compared.noise.is_finite() && change.compared.difference().is_finite(), "{change:?}");
        }
    }
}
