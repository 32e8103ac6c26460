//! `--open`: what is written is shown by the user who called sudo, in that user's session.

use std::os::unix::fs::{PermissionsExt as _, chown};
use std::process::Command;

use crate::support::{fixture, gotrace, is_emulated};

/// A user that is on every machine, and its group.
const NOBODY: u32 = 65534;

#[test]
#[ignore = "needs root, BPF and fixtures: cargo xtask test"]
fn a_page_is_shown_by_the_user_who_called_sudo() {
    // setpriv is not in there.
    if is_emulated() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    chown(folder.path(), Some(NOBODY), Some(NOBODY)).unwrap();
    let (page, said) = (folder.path().join("page.html"), folder.path().join("page.html.said"));
    let opener = folder.path().join("xdg-open");
    let script = "#!/bin/sh\n{ id -u; id -g; echo \"$DISPLAY $SESSION ${SUDO_USER-no}\"; head -c 15 \"$1\"; } > \"$1.part\"\n\
                  mv \"$1.part\" \"$1.said\"\n";
    std::fs::write(&opener, script).unwrap();
    std::fs::set_permissions(&opener, std::fs::Permissions::from_mode(0o755)).unwrap();

    let gotrace = gotrace();
    // What sudo makes of it: gotrace is root's, below a shell of the user's.
    let session = format!("DISPLAY=:7 SESSION=own PATH={}:/usr/bin:/bin", folder.path().display());
    let script = format!(
        "(sleep 0.5; SUDO_UID={NOBODY} SUDO_GID={NOBODY} SUDO_USER=nobody exec \"$@\" </dev/null >/dev/null) & \
         exec setpriv --reuid {NOBODY} --regid {NOBODY} --clear-groups env -i {session} sleep 20"
    );
    let mut shell = Command::new("/bin/sh");
    shell.args(["-c", &script, "sh"]).arg(gotrace.get_program());
    shell.args(["run", "--as-root", "--until", "main", "--open", "-o"]).arg(&page);
    let mut shell = shell.arg("--").arg(fixture("echo").path).spawn().unwrap();
    for _ in 0..150 {
        if said.exists() {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
    shell.kill().unwrap();
    shell.wait().unwrap();
    let said = std::fs::read_to_string(said).expect("it was shown");
    assert_eq!(said, format!("{NOBODY}\n{NOBODY}\n:7 own no\n<!doctype html>"));
    assert_eq!(page.metadata().unwrap().permissions().mode() & 0o777, 0o600);
}
