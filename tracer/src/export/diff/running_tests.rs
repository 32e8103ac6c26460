//! Two reports on a running program by hand, and the text and NDJSON that their comparison must give, to the letter.

use super::super::RunningDiffNdjson;
use super::*;
use crate::export::golden_tests::of_this_version;
use crate::model::Recording;

/// Places: function, line, cause, how many, and how long each took in µs; and the collector's cycles with their pauses in µs.
fn report(seconds: u64, places: &[(&str, u32, &str, u64, u64)], gc: Option<(u64, u64)>) -> String {
    let exe = "\"exe\":\"/srv/app\",\"go_version\":\"go1.26.6\",\"module\":\"example.com/app\"";
    let mut text = format!("{{\"type\":\"header\",\"schema\":1,{exe}}}\n");
    for (function, line, cause, count, each) in places {
        text += &format!(
            "{{\"type\":\"blocking\",\"class\":\"suffered\",\"cause\":\"{cause}\",\"count\":{count},\"total_ns\":{},\
             \"max_ns\":{},\"site\":{{\"function\":\"{function}\",\"file\":\"/src/app.go\",\"line\":{line}}}}}\n",
            count * each * 1000,
            each * 1000
        );
    }
    let span = seconds * 1_000_000_000;
    if let Some((cycles, pause)) = gc {
        let pause = pause * 1000;
        text += &format!(
            "{{\"type\":\"gc\",\"stw_sweep_term_ns\":{pause},\"stw_mark_term_ns\":{pause},\"assist_ns\":1000}}\n"
        )
        .repeat(usize::try_from(cycles).unwrap());
        text += &format!("{{\"type\":\"gc_summary\",\"cycles\":{cycles},\"span_ns\":{span}}}\n");
    }
    text + &format!("{{\"type\":\"summary\",\"span_ns\":{span},\"suffered_ns\":1,\"complete\":true}}\n")
}

fn before() -> String {
    let places = [
        ("main.ask", 12, "network", 400, 5_000),
        ("main.save", 30, "file", 300, 2_000),
        ("main.evil\\u001b[2J", 7, "lock", 200, 4_000),
        ("main.moved", 50, "file", 40, 1_000),
    ];
    report(10, &places, Some((60, 100)))
}

fn after() -> String {
    let places = [
        ("main.ask", 12, "network", 820, 5_100),
        ("main.save", 30, "file", 610, 9_000),
        ("main.moved", 51, "file", 85, 1_000),
        ("main.moved", 59, "file", 1, 1_000),
    ];
    report(20, &places, Some((240, 700)))
}

fn compared(a: &str, b: &str, write: impl Fn([Side<'_>; 2], &RunningComparison, &mut Vec<u8>)) -> String {
    let [a, b] = [a, b].map(|text| Recording::read(text.as_bytes()).unwrap());
    let comparison = RunningComparison::of(&a.spans, &b.spans);
    let sides = [Side { file: "before.ndjson", recording: &a }, Side { file: "after.ndjson", recording: &b }];
    let mut out = Vec::new();
    write(sides, &comparison, &mut out);
    String::from_utf8(out).unwrap()
}

fn text(a: &str, b: &str, all: bool, color: bool) -> String {
    compared(a, b, |sides, comparison, out| {
        RunningDiffText { all, color }.write(sides, comparison, out).unwrap();
    })
}

#[test]
fn text_is_as_it_was() {
    assert_eq!(text(&before(), &after(), false, false), include_str!("../golden/diff_running.txt"));
}

#[test]
fn ndjson_is_as_it_was() {
    let written = compared(&before(), &after(), |sides, comparison, out| {
        RunningDiffNdjson.write(sides, comparison, out).unwrap();
    });
    assert_eq!(written, of_this_version(include_str!("../golden/diff_running.ndjson")));
}

#[test]
fn the_same_twice_has_nothing_beyond_the_noise() {
    let text = text(&before(), &before(), false, false);
    assert!(text.contains("\nnothing beyond the noise: 4 places compared\n"), "{text}");
}

#[test]
fn all_shows_everything_and_colours_are_only_added() {
    let plain = text(&before(), &after(), true, false);
    assert!(plain.contains("file at main.moved ") && !plain.contains('\u{1b}'), "{plain}");
    let coloured = text(&before(), &after(), true, true);
    assert_ne!(plain, coloured);
    assert_eq!(anstream::adapter::strip_str(&coloured).to_string(), plain);
}

#[test]
fn what_the_data_lacks_is_said() {
    let without = report(10, &[], None).replace("\"complete\":true", "\"complete\":false");
    let cut = format!("{without}{{\"type\":\"header\",\"schema\":1,\"exe\":\"/srv/other\"}}\n");
    let text = text(&before(), &cut, false, false);
    for part in [
        "something was lost or not seen in 1 of 1 span",
        "and of another program: other",
        "1 report without an end left out",
        "the garbage collector is not compared: B tells nothing of it",
    ] {
        assert!(text.contains(part), "{part} is not in:\n{text}");
    }
}
