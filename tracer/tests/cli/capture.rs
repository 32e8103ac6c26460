//! Captures that are none, and names of outputs that cannot be. Needs neither root nor BPF.

use std::path::Path;
use std::process::{Command, Stdio};

use super::{gotrace, said};

fn captures() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/captures")
}

/// Of each version of the format a capture is kept, with the text that it has been told as.
#[test]
fn captures_of_every_version_are_read() {
    let folder = captures();
    let mut versions = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "gotrace") {
            let output = gotrace(&["report", "--top", "0", path.to_str().unwrap()]);
            assert_eq!(output.status.code(), Some(0), "{}", said(&output));
            let golden = std::fs::read_to_string(path.with_extension("txt")).unwrap();
            assert_eq!(String::from_utf8_lossy(&output.stdout), golden, "{}", path.display());
            versions += 1;
        }
    }
    assert_eq!(versions, gotrace::capture::VERSION);
}

#[test]
fn what_is_no_capture_is_refused_with_what_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let kept = std::fs::read(captures().join("v1.gotrace")).unwrap();
    let changed = |at: usize, byte: u8| {
        let mut bytes = kept.clone();
        bytes[at] = byte;
        bytes
    };
    let cases: [(&str, Vec<u8>, i32, &str); 6] = [
        ("empty", Vec::new(), 1, "is no capture of gotrace"),
        ("text", b"{\"type\":\"header\"}\n".repeat(9), 1, "is no capture of gotrace"),
        ("newer", changed(8, 77), 1, "is a capture of format 77; this gotrace reads formats up to 2"),
        ("header-only", kept[..12].to_vec(), 1, "nothing is"),
        ("damaged", changed(60, kept[60] ^ 0x55), 1, "is damaged at byte 12"),
        ("cut", kept[..kept.len() - 1].to_vec(), 1, "nothing is"),
    ];
    for (name, bytes, code, says) in cases {
        let path = folder.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        let output = gotrace(&["report", path.to_str().unwrap()]);
        assert_eq!(output.status.code(), Some(code), "{name}: {}", said(&output));
        assert!(said(&output).contains(says), "{name}: {}", said(&output));
        assert!(said(&output).contains(path.to_str().unwrap()), "{name}: {}", said(&output));
    }
    let output = gotrace(&["report", folder.path().to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(1));
    assert!(said(&output).contains("directory"), "{}", said(&output));
}

#[test]
fn a_capture_can_be_cut_anywhere_and_is_never_taken_for_whole() {
    let folder = tempfile::tempdir().unwrap();
    let kept = std::fs::read(captures().join("v1.gotrace")).unwrap();
    let path = folder.path().join("cut.gotrace");
    for length in (0..kept.len()).step_by(97) {
        std::fs::write(&path, &kept[..length]).unwrap();
        let output = gotrace(&["report", "--json", path.to_str().unwrap()]);
        let code = output.status.code();
        assert!(code == Some(1) || code == Some(5), "{length}: {code:?} {}", said(&output));
    }
}

#[test]
fn names_of_outputs_that_cannot_be_are_refused_before_anything_is_begun() {
    let folder = tempfile::tempdir().unwrap();
    let inside = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    std::fs::create_dir(inside("folder.gotrace")).unwrap();
    let (text, capture, other) = (inside("a.txt"), inside("a.gotrace"), inside("b.gotrace"));
    std::os::unix::fs::symlink(folder.path(), inside("link")).unwrap();
    let cases: [(&[&str], &str); 13] = [
        (&["--max-size", "1M", "-o", &text], "there is none"),
        (&["-o", &text, "-o", &text], "is given twice"),
        (&["-o", &capture, "-o", &format!("{}/./a.gotrace", folder.path().display())], "is given twice"),
        (&["-o", &text, "-o", &inside("folder.gotrace/../a.txt")], "is given twice"),
        (&["-o", &text, "-o", &inside("link/a.txt")], "is given twice"),
        (&["-o", &capture, "-o", &other], "one capture is enough"),
        (&["-f", "svg", "-o", &text], "is to be svg, and its name says text"),
        (&["-f", "text", "-o", &capture], "is to be text, and its name says a capture"),
        (&["-o", &inside("folder.gotrace")], "directory"),
        (&["-o", &inside("missing/a.gotrace")], "No such file"),
        (&["-f", "text", "-o", "/dev/full"], "no regular file"),
        // Where nobody may write, not even root.
        (&["-o", "/proc/a.txt"], "cannot write /proc/a.txt"),
        (&["-o", "/proc/a.gotrace"], "cannot write /proc/a.gotrace"),
    ];
    for (options, says) in cases {
        let began = inside("began");
        let output = gotrace(&[&["run"], options, &["--", "touch", &began]].concat());
        assert_eq!(output.status.code(), Some(1), "{options:?}: {}", said(&output));
        assert!(said(&output).contains(says), "{options:?}: {}", said(&output));
        assert!(!Path::new(&began).exists(), "{options:?}");
    }
    // Nothing is left of the outputs that could have been written.
    let mut left: Vec<_> =
        std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    left.sort();
    assert_eq!(left, ["folder.gotrace", "link"]);
}

#[test]
fn a_capture_is_not_made_from_a_capture_and_a_closed_pipe_is_no_failure() {
    let folder = tempfile::tempdir().unwrap();
    let kept = captures().join("v1.gotrace");
    let copy = folder.path().join("copy.gotrace");
    let output = gotrace(&["report", "-o", copy.to_str().unwrap(), kept.to_str().unwrap()]);
    assert!(said(&output).contains("copy"), "{}", said(&output));
    assert!(!copy.exists());
    let mut child = Command::new(env!("CARGO_BIN_EXE_gotrace"));
    let mut child = child.arg("report").arg(&kept).stdout(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    assert!(child.wait().unwrap().success());
}

#[test]
fn what_is_no_text_comes_out_of_standard_output_as_it_goes_into_a_file() {
    let capture = captures().join("v2.gotrace");
    let folder = tempfile::tempdir().unwrap();
    for format in ["pprof", "svg", "html"] {
        let file = folder.path().join(format!("report.{}", if format == "pprof" { "pb.gz" } else { format }));
        let report = |args: &[&str]| {
            let output = gotrace(&[&["report", capture.to_str().unwrap()], args].concat());
            assert!(output.status.success(), "{}", said(&output));
            output.stdout
        };
        report(&["-o", file.to_str().unwrap()]);
        assert_eq!(report(&["-f", format]), std::fs::read(&file).unwrap(), "{format}");
    }
}

#[test]
fn captures_are_compared_with_each_other() {
    let kept = captures().join("v1.gotrace");
    let output = gotrace(&["diff", kept.to_str().unwrap(), kept.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    assert!(String::from_utf8_lossy(&output.stdout).contains("to_main   within the noise"), "{output:?}");
    assert_eq!(said(&output), "");
    // One that ends early is told by name.
    let folder = tempfile::tempdir().unwrap();
    let cut = folder.path().join("cut.gotrace");
    // Within the length of another block.
    std::fs::write(&cut, [&std::fs::read(&kept).unwrap()[..], &[7, 0]].concat()).unwrap();
    let output = gotrace(&["diff", kept.to_str().unwrap(), cut.to_str().unwrap()]);
    assert!(said(&output).contains("cut.gotrace ends early"), "{}", said(&output));
    assert!(!said(&output).contains("v1.gotrace"), "{}", said(&output));
}

/// Ten gigabytes of nothing behind a header, and behind a whole block: told at once, and in little memory.
#[test]
fn a_capture_of_ten_gigabytes_without_content_is_refused_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let kept = std::fs::read(captures().join("v1.gotrace")).unwrap();
    for (name, length) in [("header", 12), ("blocks", kept.len())] {
        let path = folder.path().join(name);
        std::fs::write(&path, &kept[..length]).unwrap();
        std::fs::File::options().write(true).open(&path).unwrap().set_len(10 << 30).unwrap();
        let began = std::time::Instant::now();
        let mut limited = Command::new("sh");
        limited.args(["-c", "ulimit -v 1000000; exec \"$0\" report \"$1\"", env!("CARGO_BIN_EXE_gotrace")]);
        let output = limited.arg(&path).output().unwrap();
        assert!(matches!(output.status.code(), Some(1 | 5)), "{name}: {output:?}");
        assert!(!said(&output).is_empty(), "{name}: {output:?}");
        assert!(began.elapsed() < std::time::Duration::from_secs(30), "{name}");
    }
}

#[test]
fn an_output_that_is_a_link_takes_the_links_place_and_not_the_files() {
    let folder = tempfile::tempdir().unwrap();
    let (victim, link) = (folder.path().join("victim"), folder.path().join("a.txt"));
    std::fs::write(&victim, "precious").unwrap();
    std::os::unix::fs::symlink(&victim, &link).unwrap();
    let kept = captures().join("v1.gotrace");
    let output = gotrace(&["report", "-o", link.to_str().unwrap(), kept.to_str().unwrap()]);
    assert_eq!(std::fs::read(&victim).unwrap(), b"precious", "{}", said(&output));
}

#[test]
fn a_full_disk_is_a_failure() {
    let kept = captures().join("v1.gotrace");
    for arguments in [vec!["report"], vec!["diff", kept.to_str().unwrap()]] {
        let full = std::fs::File::options().write(true).open("/dev/full").unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_gotrace"));
        let output = command.args(&arguments).arg(&kept).stdout(full).output().unwrap();
        assert_eq!(output.status.code(), Some(1), "{arguments:?}");
        assert!(said(&output).contains("No space left"), "{arguments:?}: {}", said(&output));
    }
}

#[test]
fn a_comparison_is_text_lines_or_a_picture() {
    let folder = tempfile::tempdir().unwrap();
    let kept = captures().join("v1.gotrace");
    let kept = kept.to_str().unwrap();
    let file = |name: &str| folder.path().join(name);
    for (name, says) in [("a.html", "is text, ndjson or svg"), ("a.gotrace", "is no capture")] {
        let output = gotrace(&["diff", "-o", file(name).to_str().unwrap(), kept, kept]);
        assert_eq!(output.status.code(), Some(1));
        assert!(said(&output).contains(says), "{}", said(&output));
        assert!(!file(name).exists());
    }
    let picture = file("a.svg");
    let output = gotrace(&["diff", "-o", picture.to_str().unwrap(), kept, kept]);
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    let drawn = std::fs::read_to_string(&picture).unwrap();
    assert!(drawn.contains("<title>package_init (") && drawn.contains("; 0.00%)"), "{drawn}");
}
