//! One status by hand, and the text and NDJSON that it must give, to the letter.

use super::super::Format;
use super::super::golden_tests::{of_this_version, subject};
use crate::model::{AtLeast, Evidence, MainView, Stack, Stage, StartupStatus, StatusReport, Usage};
use crate::target::gobin::Frame;
use crate::target::goroutine::{Goroutine, GoroutineError, GoroutineStatus};
use crate::target::snapshot::MainState;
use crate::target::syscall::CallObject;
use crate::target::thread::{SystemCall, ThreadState};
use crate::units::Nanos;

fn frame(function: &str, file: &str, line: u32) -> Frame {
    Frame {
        function: function.into(),
        file: Some(file.into()),
        line,
        inlined: false,
        begins: 0,
        address: None,
    }
}

fn main_view() -> MainView {
    MainView {
        state: MainState {
            goroutine: Goroutine {
                status: GoroutineStatus::Syscall,
                wait_reason: 0,
                wait_since: None,
                procid: Some(42),
                stack: None,
                polled_fd: None,
            },
            wait_reason: None,
            waits_since: None,
            thread: Some(ThreadState {
                tid: 42,
                state: 'S',
                syscall: Some(SystemCall {
                    number: libc::SYS_connect.cast_unsigned(),
                    arguments: [3, 4096, 16, 0, 0, 0],
                }),
                wchan: Some("inet_wait_for_connect".to_owned()),
                off_cpu_since: None,
            }),
            object: Some(CallObject {
                fd: Some(3),
                object: Some("tcp 10.0.0.1:4242->10.0.0.7:443 (connecting)".to_owned()),
            }),
        },
        stack: Stack {
            frames: vec![
                frame("syscall.connect", "syscall/zsyscall_linux_amd64.go", 118),
                frame("evil\u{1b}[2J.init.0", "/src/evil/init.go", 7),
                frame("runtime.main", "runtime/proc.go", 258),
            ],
            whole: true,
        },
        stays: Some(AtLeast { duration: Nanos(12_340_000_000), evidence: Evidence::ThreadAsleep }),
    }
}

fn report(stage: Stage, main: Result<Option<MainView>, GoroutineError>) -> StatusReport {
    let begun = matches!(stage, Stage::InInit { begun: true, .. });
    StatusReport {
        subject: subject(),
        began: Nanos(1_000_000_000),
        at: Nanos(13_400_000_000),
        usage: Usage {
            cpu: Some(Nanos(12_345_678)),
            user: Nanos(10_000_000),
            system: Nanos(0),
            minor_faults: 1234,
            major_faults: 5,
        },
        status: StartupStatus {
            done: if stage == Stage::InitOver { 78 } else { 52 },
            in_main: main.is_ok().then_some(stage == Stage::InitOver),
            init_function: begun.then(|| frame("evil\u{1b}[2J.init.0", "/src/evil/init.go", 7)),
            stage,
            stopped: false,
            inits: 78,
            main,
        },
    }
}

fn written(report: &StatusReport, format: Format) -> String {
    let mut out = Vec::new();
    report.write(format, false, &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

fn stuck() -> StatusReport {
    let stage = Stage::InInit { seq: 52, package: "evil\u{1b}[2J".to_owned(), begun: true };
    report(stage, Ok(Some(main_view())))
}

#[test]
fn text() {
    assert_eq!(written(&stuck(), Format::Text), include_str!("golden/status.txt"));
}

#[test]
fn ndjson() {
    let written = written(&stuck(), Format::Ndjson);
    assert_eq!(written, of_this_version(include_str!("golden/status.ndjson")));
    for line in written.lines() {
        serde_json::from_str::<serde_json::Value>(line).unwrap();
    }
}

#[test]
fn what_is_not_known_is_said_to_be_unknown() {
    let unread = report(Stage::InitOver, Err(GoroutineError::NoList));
    let text = written(&unread, Format::Text);
    assert!(text.contains("init is over: all 78 inits are done; whether main.main was called"), "{text}");
    assert!(
        text.contains("goroutine 1 is not shown: the runtime's list of goroutines was not found"),
        "{text}"
    );
    let lines = written(&unread, Format::Ndjson);
    assert!(lines.contains(r#""probe":"goroutine_1""#) && lines.contains(r#""complete":false"#), "{lines}");

    let mut stopped = stuck();
    stopped.status.stopped = true;
    assert!(written(&stopped, Format::Text).contains("the process is stopped"));

    let early = written(&report(Stage::BeforeInit, Ok(None)), Format::Text);
    assert!(early.contains("before init"), "{early}");
}

/// The process's age is in steps of 10 ms, and no part of it is longer.
#[test]
fn nothing_lasts_longer_than_the_process() {
    let mut report = stuck();
    report.at = Nanos(2_000_000_000);
    assert_eq!(report.stays_for(), Some(Nanos(1_000_000_000)));
}
