//! The flame graph as a drawing.

use gotrace::export::Told;

use super::page::Page;
use super::reports::{file, running, start};

#[test]
#[ignore = "needs Chromium"]
fn drawings_open_without_a_complaint() {
    let folder = tempfile::tempdir().unwrap();
    let started = file(Told::Start(&start(12)), folder.path(), "start.svg");
    let running = file(Told::Running(&running(40)), folder.path(), "running.svg");
    for (path, name) in [(started, "start"), (running, "running")] {
        let mut page = Page::of_file(&path);
        let frames = page.eval("document.querySelectorAll('#frames > svg > g, #frames > g').length");
        assert!(frames.as_u64().unwrap() > 10, "{name}: {frames}");
        assert_eq!(page.eval("document.querySelectorAll('img').length"), 0);
        page.screenshot(&format!("{name}-svg.png"));
        page.assert_quiet();
    }
}
