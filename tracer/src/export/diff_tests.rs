//! Two recordings by hand, and the text and NDJSON that their comparison must give, to the letter.

use super::super::DiffNdjson;
use super::super::golden_tests::of_this_version;
use super::*;

/// One run: the package, its wall time in microseconds, and how much of it page faults took.
fn run(to_main: u64, inits: &[(&str, u64, u64)]) -> String {
    let exe = "\"exe\":\"/srv/app\",\"go_version\":\"go1.26.6\",\"module\":\"example.com/app\"";
    let mut text = format!("{{\"type\":\"header\",\"schema\":1,{exe}}}\n");
    text += &format!(
        "{{\"type\":\"phase\",\"name\":\"package_init\",\"duration_ns\":{}}}\n",
        (to_main - 1_000) * 1_000
    );
    for (package, wall, faults) in inits {
        let (wall, faults) = (wall * 1_000, faults * 1_000);
        text += &format!(
            "{{\"type\":\"init\",\"package\":\"{package}\",\"wall_ns\":{wall},\"on_cpu_ns\":{},\
             \"blocked\":{{\"page_fault_ns\":{faults}}}}}\n",
            wall - faults
        );
    }
    text + &format!("{{\"type\":\"summary\",\"to_main_ns\":{}}}\n", to_main * 1_000)
}

fn before() -> String {
    let inits = |jitter: u64| {
        run(
            20_000 + jitter,
            &[
                ("errors", 10, 0),
                ("net", 12_000 + jitter, 1_000),
                ("evil\\u001b[2J", 5_000, 0),
                ("old", 700, 0),
                ("tiny/old", 3, 0),
            ],
        )
    };
    [0, 20, 40, 60, 80].map(inits).concat()
}

fn after() -> String {
    let inits = |jitter: u64| {
        run(
            95_000 + jitter,
            &[
                ("net", 89_000 + jitter, 71_000),
                ("errors", 12, 0),
                ("new", 2_000, 0),
                ("evil\\u001b[2J", 1_000, 0),
            ],
        )
    };
    [0, 20, 40, 60, 80].map(inits).concat()
}

fn read(text: &str) -> Recording {
    Recording::read(text.as_bytes()).unwrap()
}

fn compared(a: &str, b: &str, write: impl Fn([Side<'_>; 2], &Comparison, &mut Vec<u8>)) -> String {
    let (a, b) = (read(a), read(b));
    let comparison = Comparison::of(&a.series, &b.series);
    let sides = [Side { file: "before.ndjson", recording: &a }, Side { file: "after.ndjson", recording: &b }];
    let mut out = Vec::new();
    write(sides, &comparison, &mut out);
    String::from_utf8(out).unwrap()
}

fn text(a: &str, b: &str, all: bool, color: bool) -> String {
    compared(a, b, |sides, comparison, out| DiffText { all, color }.write(sides, comparison, out).unwrap())
}

#[test]
fn text_is_as_it_was() {
    assert_eq!(text(&before(), &after(), false, false), include_str!("golden/diff.txt"));
}

#[test]
fn ndjson_is_as_it_was() {
    let written = compared(&before(), &after(), |sides, comparison, out| {
        DiffNdjson.write(sides, comparison, out).unwrap();
    });
    assert_eq!(written, of_this_version(include_str!("golden/diff.ndjson")));
}

#[test]
fn the_same_twice_has_nothing_beyond_the_noise() {
    let text = text(&before(), &before(), false, false);
    assert!(text.contains("\nnothing beyond the noise: 6 phases and inits compared\n"), "{text}");
    assert!(!text.contains("only in") && !text.contains("order"), "{text}");
}

#[test]
fn single_runs_are_marked_as_a_guess() {
    let one = run(20_000, &[("net", 12_000, 0)]);
    let text = text(&one, &run(95_000, &[("net", 89_000, 0)]), false, false);
    assert!(text.contains("too few runs to know the noise, so this is a guess"), "{text}");
    assert!(text.contains("init:net"), "{text}");
}

#[test]
fn what_the_data_lacks_is_said() {
    let lacking = "{\"type\":\"header\",\"schema\":1,\"exe\":\"/srv/other\"}\n\
                   {\"type\":\"init\",\"package\":\"?0x1\",\"wall_ns\":1,\"resolved\":false}\n\
                   {\"type\":\"init\",\"package\":\"net\",\"wall_ns\":1,\"done\":false}\n\
                   {\"type\":\"summary\",\"to_main_ns\":null,\"complete\":false}\n\
                   {\"type\":\"header\",\"schema\":1,\"exe\":\"/srv/other\"}\n";
    let text = text(&before(), lacking, false, false);
    for part in [
        "B  after.ndjson: 1 run of other",
        "main.main was reached, or seen, in 0 of 1 run only",
        "something was lost, left out or unknown in 1 of 1 run",
        "1 init of unknown packages cannot be compared",
        "1 run without an end left out",
        "init:net: in 0 runs of A, in 1 run of B",
    ] {
        assert!(text.contains(part), "{part} is not in:\n{text}");
    }
}

#[test]
fn all_shows_everything_and_colours_are_only_added() {
    let plain = text(&before(), &after(), true, false);
    assert!(plain.contains("tiny/old") && plain.contains("init:errors"), "{plain}");
    assert!(!plain.contains('\u{1b}'));
    let coloured = text(&before(), &after(), true, true);
    assert_ne!(plain, coloured);
    assert_eq!(anstream::adapter::strip_str(&coloured).to_string(), plain);
}
