//! What speedscope needs of a file, and that it shows what the other formats show.

use super::*;
use crate::export::{Format, Told, blocking_tests, golden_tests};

#[path = "../../tests/support/speedscope.rs"]
mod check;

fn written(format: Format, told: Told<'_>, view: &View) -> String {
    let mut out = Vec::new();
    format.write(told, view, false, &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

/// The same stacks, as lines, put together.
fn folded(told: Told<'_>, view: &View) -> std::collections::BTreeMap<String, u64> {
    let mut stacks = std::collections::BTreeMap::new();
    for line in written(Format::Folded, told, view).lines() {
        let (stack, weight) = line.rsplit_once(' ').unwrap();
        *stacks.entry(stack.replace("\\u{3b}", ";").replace("\\u{20}", " ")).or_default() +=
            weight.parse::<u64>().unwrap();
    }
    stacks
}

fn focus(regex: &str) -> View {
    View { focus: Some(Regex::new(regex).unwrap()), ..View::default() }
}

#[test]
fn a_start_is_what_its_flame_chart_is() {
    let report = golden_tests::report();
    for view in [View::default(), focus("^evil"), focus("no such frame")] {
        let told = Told::Start(&report);
        let text = written(Format::Speedscope, told, &view);
        let (profiles, active) = check::read(&text);
        let [profile] = &profiles[..] else { panic!("{profiles:?}") };
        assert_eq!((active, &*profile.name, &*profile.unit), (0, "the start of app", "nanoseconds"));
        let expected = folded(told, &view);
        assert_eq!(profile.total, expected.values().sum::<u64>());
        if view.focus.is_none() {
            assert_eq!(profile.span, report.timeline.to_main.unwrap().0);
            assert_eq!(profile.stacks, expected);
        }
        assert!(!text.contains('\u{1b}'));
    }
}

#[test]
fn a_running_program_has_its_blocked_time_and_its_samples() {
    let report = blocking_tests::whole();
    let told = Told::Running(&report);
    for of in [FlameOf::Blocked, FlameOf::OnCpu] {
        let view = View { of, ..View::default() };
        let text = written(Format::Speedscope, told, &view);
        let (profiles, active) = check::read(&text);
        let [blocked, on_cpu] = &profiles[..] else { panic!("{profiles:?}") };
        assert_eq!(active, usize::from(of == FlameOf::OnCpu));
        assert_eq!(blocked.name, "app (42), 10.000 s: where goroutines were blocked");
        assert_eq!((blocked.total, blocked.span), (report.suffered_total().0, report.suffered_total().0));
        assert_eq!((on_cpu.total, &*on_cpu.unit, &*blocked.unit), (45, "none", "nanoseconds"));
        assert_eq!(profiles[active].stacks, folded(told, &view));
        assert!(!text.contains('\u{1b}'));
    }
    let (profiles, _) = check::read(&written(Format::Speedscope, told, &focus("main.lock")));
    assert_eq!((profiles[0].stacks.len(), profiles[1].stacks.len()), (1, 0), "{profiles:?}");
}

#[test]
fn a_frame_has_its_line() {
    let report = blocking_tests::whole();
    let text = written(Format::Speedscope, Told::Running(&report), &View::default());
    assert!(text.contains(r#"{"name":"main.lock","file":"/src/app/main.go","line":44}"#), "{text}");
}
