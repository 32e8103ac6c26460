//! Programs that run as their file's owner, whoever starts them: gotrace gives nobody more rights than there are without it.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, Output};

use super::{Beside, Server};
use crate::support::{children, gotrace, nethttp};

/// Somebody who is not root.
const NOBODY: u32 = 65_534;

fn let_all_run_as_owner(program: &Path) {
    fs::set_permissions(program, fs::Permissions::from_mode(0o4755)).expect("it is ours");
}

/// The real, effective, saved and file system's user of a process.
fn users(pid: u32) -> String {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("it runs");
    let line = status.lines().find_map(|line| line.strip_prefix("Uid:")).expect("it is somebody's");
    line.split_ascii_whitespace().collect::<Vec<_>>().join(" ")
}

/// gotrace by that user, who may not come by where it was built.
fn by_nobody(folder: &Path, arguments: &[&str]) -> Output {
    let program = folder.join("gotrace");
    fs::copy(gotrace().get_program(), &program).expect("a copy");
    fs::set_permissions(folder, fs::Permissions::from_mode(0o755)).expect("it is ours");
    let mut command = Command::new(program);
    command.args(arguments).current_dir(folder).uid(NOBODY).gid(NOBODY).output().expect("gotrace runs")
}

#[test]
#[ignore = "needs root, BPF and fixtures: cargo xtask test"]
fn who_may_not_look_into_a_setuid_program_does_not_by_gotrace() {
    let mut server = Server::start_as(|command| {
        let_all_run_as_owner(Path::new(command.get_program()));
        command.uid(NOBODY).gid(NOBODY);
    });
    // Where the folder of temporary files is mounted so that there are no such programs, there is nothing to try.
    if users(server.pid()) != format!("{NOBODY} 0 0 0") {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let pid = server.pid().to_string();
    let path = server.fixture.path.to_str().expect("UTF-8").to_owned();
    for arguments in [
        &["attach", "--duration", "1s", &pid][..],
        &["attach", "--now", &pid],
        &["run", "--", &path, "-sleep", "1ms"],
        &["watch", "--count", "1", &path],
    ] {
        let output = by_nobody(folder.path(), arguments);
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(3), "{arguments:?}: {said}");
        assert!(said.contains("CAP_") && said.contains("sudo gotrace"), "{arguments:?}: {said}");
        assert!(output.stdout.is_empty(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stdout));
    }
    server.assert_untouched("at the end");
    server.assert_serves();
}

#[test]
#[ignore = "needs root, BPF and fixtures: cargo xtask test"]
fn a_setuid_program_that_is_run_has_the_users_that_it_has_alone() {
    let folder = tempfile::tempdir().expect("a folder");
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).expect("it is ours");
    let program = folder.path().join("nethttp");
    fs::copy(nethttp().path, &program).expect("a copy");
    let_all_run_as_owner(&program);
    let mut alone = Command::new(&program);
    alone.args(["-serve", "1h"]).uid(NOBODY).gid(NOBODY);
    let mut alone = Beside::start(alone);
    alone.until(|alone| alone.said("stdout").contains("listening on"));
    let expected = users(alone.child.id());

    let mut command = gotrace();
    command.args(["run", "--until", "exit", "--"]).arg(&program).args(["-serve", "1h"]);
    for (name, value) in [("SUDO_UID", "65534"), ("SUDO_GID", "65534"), ("SUDO_USER", "nobody")] {
        command.env(name, value);
    }
    let mut traced = Beside::start(command);
    traced.until(|traced| traced.said("stdout").contains("listening on"));
    let children = children(traced.child.id());
    assert_eq!(children.len(), 1, "{children:?}");
    assert_eq!(users(children[0]), expected);
    // What is passed on ends the program, and its report comes as ever.
    traced.signal(libc::SIGTERM);
    traced.until(|_| false);
    assert!(traced.said("stdout").contains("main.main"), "{}", traced.said("stderr"));
}
