//! Statuses from looks made by hand.

use super::*;
use crate::model::stack::tests::{Crafted, copy};
use crate::target::goroutine::Goroutine;
use crate::target::syscall::CallObject;
use crate::target::thread::ThreadState;
use crate::units::VirtAddr;

const CODE: Crafted = Crafted(&[
    "main.main",
    "runtime.main",
    "runtime.goexit",
    "runtime.doInit1",
    "net/http.init.0",
    "net.Dial",
    "runtime.gopark",
]);

/// Where each of these functions returns to.
const MAIN: u64 = 1050;
const RUNTIME_MAIN: u64 = 1150;
const GOEXIT: u64 = 1201;
const DO_INIT: u64 = 1350;
const HTTP_INIT: u64 = 1450;
const DIAL: u64 = 1550;
const PARK: u64 = 1650;

fn tasks() -> Vec<InitTask> {
    let task = |package: &str| InitTask {
        address: VirtAddr(0),
        package: package.to_owned(),
        functions: Vec::new(),
        dependencies: Vec::new(),
    };
    ["runtime", "net/http", "main"].map(task).into()
}

fn parked() -> MainState {
    MainState {
        goroutine: Goroutine {
            status: GoroutineStatus::Waiting,
            wait_reason: 2,
            wait_since: None,
            procid: Some(42),
            stack: Some(copy(PARK, &[DIAL, HTTP_INIT, DO_INIT, RUNTIME_MAIN, GOEXIT])),
            polled_fd: Some(3),
        },
        wait_reason: Some("IO wait"),
        waits_since: None,
        thread: Some(thread(98, None)),
        object: Some(CallObject { fd: Some(3), object: Some("tcp 10.0.0.1:1->10.0.0.7:443".to_owned()) }),
    }
}

fn thread(call: u64, off_cpu_since: Option<Nanos>) -> ThreadState {
    ThreadState {
        tid: 42,
        state: 'S',
        syscall: Some(SystemCall { number: call, arguments: [0; 6] }),
        wchan: None,
        off_cpu_since,
    }
}

fn look(at: u64, inits: [InitState; 3], main: Option<MainState>) -> Snapshot {
    Snapshot { at: Nanos(at), stopped: false, inits: inits.into(), main: Ok(main) }
}

use InitState::{Done, InProgress, NotStarted};

const IN_HTTP: [InitState; 3] = [Done, InProgress, NotStarted];

fn status(first: &Snapshot, second: &Snapshot) -> StartupStatus {
    StartupStatus::of(&tasks(), first, second, &CODE)
}

#[test]
fn two_looks_at_the_same_place_are_stuck() {
    let status = status(&look(1_000, IN_HTTP, Some(parked())), &look(21_000, IN_HTTP, Some(parked())));
    let in_http = Stage::InInit { seq: 1, package: "net/http".to_owned(), begun: true };
    assert_eq!((&status.stage, status.done, status.inits), (&in_http, 1, 3));
    assert!(status.is_stuck());
    assert_eq!(&*status.init_function.as_ref().unwrap().function, "net/http.init.0");
    assert_eq!(status.in_main, Some(false));
    let main = status.main_view().unwrap();
    assert_eq!(main.stays, Some(AtLeast { duration: Nanos(20_000), evidence: Evidence::TwoLooks }));
    assert_eq!((main.kind(), main.call()), (Some("network"), None));
}

#[test]
fn whatever_moves_between_two_looks_is_not_stuck() {
    let first = look(1_000, IN_HTTP, Some(parked()));
    let moved: [fn(&mut MainState); 4] = [
        |main| main.goroutine.wait_reason = 9,
        |main| main.goroutine.status = GoroutineStatus::Running,
        |main| main.goroutine.stack = Some(copy(PARK, &[DIAL + 1, HTTP_INIT, DO_INIT, RUNTIME_MAIN, GOEXIT])),
        |main| main.thread = Some(thread(99, None)),
    ];
    for change in moved {
        let mut main = parked();
        change(&mut main);
        assert!(!status(&first, &look(21_000, IN_HTTP, Some(main))).is_stuck());
    }
    let further = [Done, Done, InProgress];
    assert!(!status(&first, &look(21_000, further, Some(parked()))).is_stuck());
    let stopped = Snapshot { stopped: true, ..look(21_000, IN_HTTP, Some(parked())) };
    assert!(!status(&first, &stopped).is_stuck() && status(&first, &stopped).stopped);
    let mut in_c = parked();
    in_c.goroutine.status = GoroutineStatus::Syscall;
    in_c.thread = Some(ThreadState { syscall: None, ..thread(0, None) });
    let in_c = look(1_000, IN_HTTP, Some(in_c));
    assert!(!status(&in_c, &in_c).is_stuck());
    let unread = Snapshot { main: Err(GoroutineError::Moving), ..first.clone() };
    assert!(!status(&unread, &look(21_000, IN_HTTP, Some(parked()))).is_stuck());
    let unread_now = status(&first, &unread);
    assert!(unread_now.main.is_err() && matches!(unread_now.stage, Stage::InInit { .. }));
}

#[test]
fn the_longest_that_is_known_counts() {
    let first = look(1_000, IN_HTTP, Some(parked()));
    let stays = |asleep: u64, waits: Option<u64>| {
        let mut main = parked();
        main.thread = Some(thread(98, Some(Nanos(asleep))));
        main.waits_since = waits.map(Nanos);
        let status = status(&first, &look(21_000, IN_HTTP, Some(main)));
        let stays = status.main_view().unwrap().stays.unwrap();
        (stays.duration.0, stays.evidence)
    };
    assert_eq!(stays(500, None), (20_500, Evidence::ThreadAsleep));
    assert_eq!(stays(500, Some(100)), (20_900, Evidence::WaitSince));
    // It was woken in between and parked again in the same place: that says nothing of before.
    assert_eq!(stays(20_000, None), (20_000, Evidence::TwoLooks));
}

/// Up to Go 1.20 those that depend on the one that runs are in progress too.
#[test]
fn the_first_that_is_not_over_is_the_one() {
    let recursive = [Done, InProgress, InProgress];
    let status = status(&look(1, recursive, Some(parked())), &look(2, recursive, Some(parked())));
    assert!(matches!(status.stage, Stage::InInit { seq: 1, .. }));
}

#[test]
fn before_and_after_the_inits() {
    let none = look(1, [NotStarted; 3], None);
    assert_eq!(status(&none, &none).stage, Stage::BeforeInit);
    assert!(!status(&none, &none).is_stuck());
    let about_to = look(1, [NotStarted; 3], Some(parked()));
    let first = Stage::InInit { seq: 0, package: "runtime".to_owned(), begun: false };
    assert_eq!(status(&about_to, &about_to).stage, first);

    let mut main = parked();
    main.goroutine.stack = Some(copy(MAIN, &[RUNTIME_MAIN, GOEXIT]));
    let over = look(1, [Done; 3], Some(main.clone()));
    let told = status(&over, &over);
    assert_eq!(
        (told.stage.clone(), told.in_main, told.init_function.clone()),
        (Stage::InitOver, Some(true), None)
    );
    assert!(!told.is_stuck());

    main.goroutine.status = GoroutineStatus::Running;
    main.goroutine.stack = None;
    let running = look(1, [Done; 3], Some(main));
    assert_eq!(
        (status(&running, &running).stage, status(&running, &running).in_main),
        (Stage::InitOver, None)
    );
}

#[test]
fn a_system_call_is_of_the_kind_of_its_object() {
    let kind = |call: i64, object: Option<&str>| {
        let mut state = parked();
        state.goroutine.status = GoroutineStatus::Syscall;
        state.wait_reason = None;
        state.thread = Some(thread(call.cast_unsigned(), None));
        state.object = Some(CallObject { fd: None, object: object.map(str::to_owned) });
        MainView { state, stack: Stack::default(), stays: None }.kind()
    };
    assert_eq!(kind(libc::SYS_read, Some("fifo /run/f")), Some("file"));
    assert_eq!(kind(libc::SYS_read, Some("udp 10.0.0.1:5->10.0.0.2:53")), Some("dns"));
    assert_eq!(kind(libc::SYS_connect, Some("unix /run/s")), Some("network"));
    assert_eq!(kind(libc::SYS_futex, Some("the word at 0x10")), Some("futex"));
    assert_eq!(kind(libc::SYS_nanosleep, None), Some("sleep"));
    assert_eq!(kind(libc::SYS_wait4, None), Some("other"));
}
