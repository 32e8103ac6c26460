//! Pages of very large reports.

use gotrace::export::Told;

use super::page::Page;
use super::reports::{file, running, start};

/// Opening costs about a second of CPU time here; other machines get more.
const SOON: f64 = 4.0;

fn opened(path: &std::path::Path) -> Page {
    let mut page = Page::of_file(path);
    page.wait_until("'ready' in document.documentElement.dataset");
    let (cost, size) = (page.cost(), path.metadata().unwrap().len());
    eprintln!("{size} bytes cost {cost:.2} s");
    assert!(cost < SOON, "{cost} s");
    page
}

#[test]
#[ignore = "needs Chromium"]
fn ten_thousand_inits_open_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let path = file(Told::Start(&start(10_000)), folder.path(), "many.html");
    let mut page = opened(&path);
    assert!(page.text("document.getElementById('inits').textContent").contains("9000 more are left out"));
    assert!(
        page.text("document.querySelector('#timeline-chart .cut').textContent").contains("too narrow here")
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
