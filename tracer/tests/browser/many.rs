//! Pages of very large reports.

use std::time::{Duration, Instant};

use gotrace::export::Told;

use super::page::Page;
use super::reports::{file, running, start};

/// What opening takes here is about a second; a busy machine gets more.
const SOON: Duration = Duration::from_secs(6);

fn opened(path: &std::path::Path) -> Page {
    let begun = Instant::now();
    let mut page = Page::of_file(path);
    page.wait_until("'ready' in document.documentElement.dataset");
    let took = begun.elapsed();
    let of_page = page.eval("performance.now()");
    println!(
        "{}: {} bytes, {took:?} with the browser's start, {of_page} ms in the page",
        path.display(),
        path.metadata().unwrap().len()
    );
    assert!(took < SOON, "{took:?}");
    page
}

#[test]
#[ignore = "needs Chromium"]
fn ten_thousand_inits_open_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let path = file(Told::Start(&start(10_000)), folder.path(), "many.html");
    let mut page = opened(&path);
    assert!(page.text("document.getElementById('inits').textContent").contains("8000 more are left out"));
    assert!(
        page.text("document.querySelector('#timeline-chart > .cut').textContent")
            .contains("left out of the drawing")
    );
    page.screenshot("many-inits.png");
    page.assert_quiet();
}

#[test]
#[ignore = "needs Chromium"]
fn fifty_thousand_stacks_open_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let path = file(Told::Running(&running(50_000)), folder.path(), "many.html");
    let mut page = opened(&path);
    let all = page.text("document.querySelector('#flame-chart [role=treeitem]').getAttribute('aria-label')");
    // 50 000 times 2 ms, and 0 to 49 999 ns.
    assert!(all.starts_with("all, 101.250 s, 100.0% of all"), "{all}");
    page.screenshot("many-stacks.png");
    page.assert_quiet();
}
