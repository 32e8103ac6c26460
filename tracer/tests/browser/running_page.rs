//! The page of a running program.

use gotrace::export::Told;

use super::page::Page;
use super::reports::{file, running};

fn open() -> (tempfile::TempDir, Page) {
    let folder = tempfile::tempdir().unwrap();
    let path = file(Told::Running(&running(40)), folder.path(), "running.html");
    let mut page = Page::of_file(&path);
    page.wait_until("'ready' in document.documentElement.dataset");
    (folder, page)
}

#[test]
#[ignore = "needs Chromium"]
fn it_tells_what_the_program_was_blocked_on() {
    let (_folder, mut page) = open();
    // 40 times 2 ms, and 0 to 39 ns.
    let result = page.text("document.querySelector('.result').textContent");
    assert!(result.starts_with("in 10.000 s its goroutines were blocked for 80.00 ms in all"), "{result}");
    let all = page.text("document.querySelector('#flame-chart [role=treeitem]').getAttribute('aria-label')");
    assert_eq!(all, "all, 80.00 ms, 100.0% of all, 0 ns of it here");
    assert!(page.text("document.getElementById('now').textContent").contains("≥ 9.000 s"));
    assert!(page.text("document.getElementById('gc').textContent").contains("2 cycles"));
    assert_eq!(page.eval("document.querySelectorAll('#gc-chart .gc').length"), 2);
    assert_eq!(page.eval("document.querySelectorAll('#heap-chart path.curve.heap').length"), 2);
    assert!(page.text("document.getElementById('lacks').textContent").contains("INCOMPLETE"));
    assert!(page.eval("document.querySelectorAll('#slow-chart .lane').length").as_u64().unwrap() > 20);
    page.assert_quiet();
}

#[test]
#[ignore = "needs Chromium"]
fn the_flame_graph_is_used_by_keyboard() {
    let (_folder, mut page) = open();
    page.eval("document.querySelector('#flame-chart .plot').focus()");
    let name = "document.querySelector('#flame-chart .about b').textContent";
    let width = "document.querySelector('#flame-chart .current rect').getBBox().width";
    let whole = page.eval(width).as_f64().unwrap();
    page.press(&["ArrowDown", "ArrowRight"]);
    let chosen = page.text(name);
    assert!(chosen.starts_with("main."), "{chosen}");
    assert!(page.eval(width).as_f64().unwrap() < whole / 2.0);
    page.press(&["Enter"]);
    assert!((page.eval(width).as_f64().unwrap() - whole).abs() < 2.0, "it does not fill the chart");
    page.press(&["Escape", "ArrowUp"]);
    assert_eq!(page.text(name), "all");
    // The other graph: where it was on a CPU.
    page.eval("[...document.querySelectorAll('#flame-chart .tools button')].find(one => one.textContent === 'On a CPU').click()");
    let all = page.text("document.querySelector('#flame-chart [role=treeitem]').getAttribute('aria-label')");
    assert_eq!(all, "all, 17 samples, 100.0% of all, 0 samples of it here");
    page.assert_quiet();
}

#[test]
#[ignore = "needs Chromium"]
fn it_looks_well_in_the_dark_and_in_the_light() {
    let (_folder, mut page) = open();
    for scheme in ["light", "dark"] {
        page.scheme(scheme);
        for width in [1280, 800] {
            page.size(width, 1200);
            page.screenshot(&format!("running-{scheme}-{width}.png"));
            let wide = page.eval("document.documentElement.scrollWidth");
            assert!(wide.as_u64().unwrap() <= u64::from(width), "{wide} at {width}");
        }
    }
}
