//! The page of a start.

use gotrace::export::Told;
use serde_json::json;

use super::page::Page;
use super::reports::{HOSTILE, file, start};

const BOX: &str = "document.querySelector('#timeline-chart .current')";

fn open() -> (tempfile::TempDir, Page) {
    let folder = tempfile::tempdir().unwrap();
    let path = file(Told::Start(&start(12)), folder.path(), "start.html");
    let mut page = Page::of_file(&path);
    page.wait_until("'ready' in document.documentElement.dataset");
    (folder, page)
}

#[test]
#[ignore = "needs Chromium"]
fn it_tells_how_the_program_started() {
    let (_folder, mut page) = open();
    let result = page.text("document.querySelector('.result').textContent");
    assert!(
        result.starts_with("main.main after 215.00 ms, ready after 218.00 ms; still running"),
        "{result}"
    );
    let finding = page.text("document.querySelector('[data-finding] p').textContent");
    assert!(finding.starts_with("init of example.com/app/part11 sleeps for 100.00 ms"), "{finding}");
    assert_eq!(page.eval("document.querySelectorAll('#inits tbody tr').length"), 12);
    // 11 inits of 1 ms and 0 to 10 ns more, and the slowest.
    assert!(
        page.text("document.querySelector('#inits p').textContent").contains("12 inits, 211.00 ms in all")
    );
    let labels = page
        .text("[...document.querySelectorAll('#timeline-chart .lane')].map(one => one.textContent).join()");
    assert_eq!(labels, "phases,inits,functions,waits,GC cycles");
    let boxes = "document.querySelectorAll('#timeline-chart [role=option]').length";
    assert!(page.eval(boxes).as_u64().unwrap() > 10);
    let lacks = page.text("document.getElementById('lacks').textContent");
    assert!(lacks.contains("schedinit_done"));
    page.assert_quiet();
}

#[test]
#[ignore = "needs Chromium"]
fn names_from_outside_do_nothing() {
    let (_folder, mut page) = open();
    assert_eq!(page.text("document.title"), "app · gotrace");
    assert_eq!(page.eval("document.querySelectorAll('img').length"), 0);
    assert_eq!(page.eval("document.scripts.length"), 2);
    let names = page.text("document.querySelector('#inits tbody').textContent");
    assert!(
        names.contains(HOSTILE[0]) && names.contains(HOSTILE[1]) && names.contains("__proto__"),
        "{names}"
    );
    // Chosen in the chart it is said, as text.
    page.press(&["/"]);
    for key in ["i", "m", "g"] {
        page.press(&[key]);
    }
    page.wait_until(
        "document.querySelector('#timeline-chart .box.found')?.getAttribute('aria-label').includes('<img') === true",
    );
    page.eval("document.querySelector('#timeline-chart .box.found').dispatchEvent(new MouseEvent('mouseover', {bubbles: true}))");
    assert!(page.text("document.querySelector('#timeline-chart .about').textContent").contains("<img src=x"));
    // What a page could be made to do: the policy lets no other script run, and nothing be loaded.
    let added = "(() => { const script = document.createElement('script'); script.textContent = 'document.title = 1'; \
                 document.body.append(script); return document.title; })()";
    assert_eq!(page.text(added), "app · gotrace");
}

#[test]
#[ignore = "needs Chromium"]
fn it_is_whole_without_its_script() {
    let (_folder, mut page) = open();
    page.reload_without_script();
    let shown = page.text("document.body.innerText");
    for part in
        ["main.main after 215.00 ms", "sleeps for 100.00 ms", "part11", "INCOMPLETE", "need JavaScript"]
    {
        assert!(shown.contains(part), "{part} is not in {shown}");
    }
    assert_eq!(
        page.eval(
            "document.querySelectorAll('thead button, .chart:not([hidden]), #search:not([hidden])').length"
        ),
        0
    );
    page.screenshot("start-without-script.png");
}

#[test]
#[ignore = "needs Chromium"]
fn the_timeline_is_used_by_keyboard() {
    let (_folder, mut page) = open();
    page.eval("document.querySelector('#timeline-chart .plot').focus()");
    assert_eq!(page.text(&format!("{BOX}.getAttribute('aria-label').split(',')[0]")), "exec");
    page.press(&["ArrowRight", "ArrowRight", "ArrowRight"]);
    assert_eq!(page.text(&format!("{BOX}.textContent")), "package init");
    // Down to the init that takes most of it, to its function and to what that waited for.
    let below = |page: &mut Page| {
        page.press(&["ArrowDown"]);
        page.text("document.querySelector('#timeline-chart .about b').textContent")
    };
    assert_eq!(below(&mut page), "example.com/app/part11");
    assert_eq!(below(&mut page), "example.com/app/part11.init.0");
    assert!(below(&mut page).starts_with("sleep, sleep, <img"));
    let width = format!("{BOX}.querySelector('rect').getBBox().width");
    let before = page.eval(&width).as_f64().unwrap();
    page.press(&["Enter"]);
    let zoomed = page.eval(&width).as_f64().unwrap();
    assert!(zoomed > 1.9 * before, "{before} to {zoomed}");
    page.press(&["Escape"]);
    assert_eq!(page.eval(&width), json!(before));
    page.press(&["+"]);
    assert!(page.eval(&width).as_f64().unwrap() > before);
    page.assert_quiet();
}

#[test]
#[ignore = "needs Chromium"]
fn tables_are_sorted_and_searched_by_keyboard() {
    let (_folder, mut page) = open();
    let first = "document.querySelector('#inits tbody tr:not([hidden]) th').childNodes[0].textContent";
    assert!(page.text(first).contains("part11"));
    page.eval("document.querySelector('#inits thead th button').focus()");
    page.press(&["Enter"]);
    assert!(page.text(first).contains("part11"), "by number, the last first");
    page.press(&["Enter"]);
    assert!(page.text(first).contains("<img"), "by number, the first first");
    assert_eq!(page.text("document.querySelector('#inits thead th').getAttribute('aria-sort')"), "ascending");
    page.eval("document.querySelector('#inits tbody tr').focus()");
    page.press(&["ArrowDown", "ArrowDown", "Enter"]);
    assert_eq!(page.eval("document.activeElement.rowIndex"), 3);
    assert_eq!(page.eval("document.activeElement.querySelector('details').open"), true);
    page.press(&["/"]);
    assert_eq!(page.text("document.activeElement.id"), "find");
    page.press(&["t", "1", "1"]);
    page.wait_until("document.getElementById('found').textContent.startsWith('1 row') || document.querySelectorAll('#inits tbody tr:not([hidden])').length === 1");
    page.press(&["Escape"]);
    page.wait_until("document.querySelectorAll('#inits tbody tr:not([hidden])').length === 12");
    page.assert_quiet();
}

#[test]
#[ignore = "needs Chromium"]
fn it_looks_well_in_the_dark_and_in_the_light() {
    let (_folder, mut page) = open();
    for scheme in ["light", "dark"] {
        page.scheme(scheme);
        for width in [1280, 800] {
            page.size(width, 900);
            page.screenshot(&format!("start-{scheme}-{width}.png"));
            let wide = page.eval("document.documentElement.scrollWidth");
            assert!(wide.as_u64().unwrap() <= u64::from(width), "{wide} at {width}");
        }
    }
    let dark = page.text("getComputedStyle(document.body).backgroundColor");
    page.scheme("light");
    assert_ne!(page.text("getComputedStyle(document.body).backgroundColor"), dark);
}
