//! The lines that the reader gives to addresses, against Go's own addr2line.

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::fixtures::open;
use crate::support::fixtures_of;

#[test]
#[ignore = "needs fixtures: cargo xtask test"]
fn lines_are_those_of_addr2line() {
    let mut compared = 0;
    for fixture in fixtures_of("nethttp").into_iter().filter(|fixture| fixture.build == "default") {
        let version = fixture.go.clone().unwrap_or_default();
        // The toolchains that built the fixtures lie beside them.
        let cache = fixture.path.ancestors().nth(3).expect("the fixtures' folder");
        let root = cache.join("go").join(&version).join("go");
        if !root.join("bin/go").exists() {
            continue;
        }
        let binary = open(&fixture);
        let mut places = Vec::new();
        for name in
            ["main.main", "runtime.main", "runtime.schedinit", "net/http.(*Server).Serve", "fmt.Fprintf"]
        {
            let Some(function) = binary.functions().named(name) else { continue };
            let len = function.end.0 - function.entry.0;
            places.extend((0..len).step_by(11).map(|into| function.entry.0 + into));
        }
        assert!(places.len() > 100, "{}", fixture.name);
        let answers = addr2line(&root, cache, &fixture.path, &places);
        assert_eq!(answers.len(), places.len(), "{}", fixture.name);
        for (at, (function, position)) in places.into_iter().zip(answers) {
            let frames = binary.frames(gotrace::units::VirtAddr(at));
            let (inner, outer) = (frames.first().expect("a frame"), frames.last().expect("a frame"));
            assert_eq!(*outer.function, *function, "{} {at:#x}", fixture.name);
            assert!(!outer.inlined, "{} {at:#x} {frames:?}", fixture.name);
            // Between functions there is padding, of no line.
            let ours = match &inner.file {
                Some(file) => format!("{file}:{}", inner.line),
                None => ":-1".to_owned(),
            };
            assert_eq!(ours, position.replace("?:0", ":-1"), "{} {at:#x} {frames:?}", fixture.name);
        }
        compared += 1;
    }
    if compared == 0 {
        eprintln!("not compared: no Go toolchain lies beside the fixtures");
    }
}

/// Function and `file:line` for each address.
fn addr2line(root: &Path, cache: &Path, program: &Path, places: &[u64]) -> Vec<(String, String)> {
    let mut command = Command::new(root.join("bin/go"));
    command
        .args(["tool", "addr2line"])
        .arg(program)
        .env("GOROOT", root)
        .env("GOCACHE", cache.join("go-build"));
    command.env("GOTOOLCHAIN", "local").env("GOPROXY", "off").env("GOFLAGS", "-mod=mod");
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("the Go toolchain runs");
    let mut input = child.stdin.take().expect("its input");
    let asked: String = places.iter().map(|at| format!("{at:#x}\n")).collect();
    let writer = std::thread::spawn(move || input.write_all(asked.as_bytes()));
    let output = child.wait_with_output().expect("addr2line ends");
    writer.join().expect("a writer").expect("addr2line reads what it is asked");
    let text = String::from_utf8(output.stdout).expect("text");
    let lines: Vec<&str> = text.lines().collect();
    lines.chunks_exact(2).map(|pair| (pair[0].to_owned(), pair[1].to_owned())).collect()
}
