//! `--open`: shows what was written, as the user who asked and with that user's own programs.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};

use super::Common;
use crate::target::user::{InvokingUser, become_user};

/// The desktop's own opener (freedesktop.org's xdg-utils).
const OPENER: &str = "xdg-open";

/// An opener that has nothing to say by then has done its work, or has become the browser.
const PATIENCE: Duration = Duration::from_secs(3);

/// Who says where a window can be shown; sudo keeps some of them.
const DISPLAYS: [&str; 2] = ["DISPLAY", "WAYLAND_DISPLAY"];
const KEPT: [&str; 3] = ["DISPLAY", "WAYLAND_DISPLAY", "XAUTHORITY"];

/// Shows files when they are written.
pub(super) struct Opener {
    /// Whom to become; none to stay who gotrace is, which is not root.
    user: Option<InvokingUser>,
    environment: Vec<(OsString, OsString)>,
    program: PathBuf,
    files: Vec<PathBuf>,
}

impl Opener {
    /// Refuses, before anything is measured, what could not be shown.
    pub(super) fn of(files: Vec<PathBuf>) -> anyhow::Result<Self> {
        if files.is_empty() {
            bail!("--open shows a page or a flame graph: add -o FILE.html or -o FILE.svg");
        }
        let user = InvokingUser::of_sudo();
        let environment = match &user {
            Some(user) => {
                let own = user.environment();
                let mut own = own.context("--open: no session of the user who called sudo was found")?;
                let missing = |name: &&str| !own.iter().any(|(own, _)| own == name);
                let kept: Vec<_> = KEPT.into_iter().filter(missing).collect();
                own.extend(kept.into_iter().filter_map(|name| Some((name.into(), std::env::var_os(name)?))));
                own
            }
            None => std::env::vars_os().collect(),
        };
        // SAFETY: the call has no preconditions and cannot fail.
        if user.is_none() && unsafe { libc::geteuid() } == 0 {
            bail!(
                "--open would start a browser as root, because gotrace was not called by sudo: open {} yourself",
                files[0].display()
            );
        }
        if !DISPLAYS.iter().any(|name| value(&environment, name).is_some_and(|value| !value.is_empty())) {
            bail!("--open: there is no display to show it on (neither DISPLAY nor WAYLAND_DISPLAY is set)");
        }
        let path = value(&environment, "PATH").unwrap_or(OsStr::new("/usr/local/bin:/usr/bin:/bin"));
        let program =
            std::env::split_paths(path).map(|folder| folder.join(OPENER)).find(|file| file.is_file());
        let program = program.with_context(|| format!("--open needs {OPENER} (package xdg-utils)"))?;
        Ok(Self { user, environment, program, files })
    }

    /// Shows them. What goes wrong is said; the report is written all the same.
    pub(super) fn show(&self, common: &Common) {
        for file in &self.files {
            if let Err(error) = self.open(file) {
                common.note(&format!("cannot show {}: {error:#}", file.display()));
            }
        }
    }

    fn open(&self, file: &Path) -> anyhow::Result<()> {
        let file = fs::canonicalize(file)?;
        let mut command = Command::new(&self.program);
        command.arg(file).env_clear().envs(self.environment.iter().cloned());
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let user = match &self.user {
            Some(user) => Some((user.uid, user.gid, user.groups()?)),
            None => None,
        };
        let before = move || {
            // A session of its own: neither gotrace's end nor its Ctrl-C is the browser's.
            // SAFETY: the call has no preconditions.
            unsafe { libc::setsid() };
            user.as_ref().map_or(Ok(()), |(uid, gid, groups)| become_user(*uid, *gid, groups))
        };
        // SAFETY: `before` makes system calls only, on memory that exists already.
        unsafe { command.pre_exec(before) };
        let mut opener = command.spawn().with_context(|| format!("starting {}", self.program.display()))?;
        let until = Instant::now() + PATIENCE;
        while Instant::now() < until {
            match opener.try_wait()? {
                Some(status) if status.success() => return Ok(()),
                Some(status) => bail!("{OPENER} failed: {status}"),
                None => thread::sleep(Duration::from_millis(20)),
            }
        }
        Ok(())
    }
}

fn value<'a>(environment: &'a [(OsString, OsString)], name: &str) -> Option<&'a OsStr> {
    environment.iter().find(|(own, _)| own == name).map(|(_, value)| value.as_os_str())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    /// An opener that writes down what it was told, and by whom.
    fn opener(folder: &Path, user: Option<InvokingUser>, script: &str) -> Opener {
        let program = folder.join(OPENER);
        fs::write(&program, format!("#!/bin/sh\n{script}\n")).unwrap();
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
        let environment = vec![("DISPLAY".into(), ":7".into()), ("PATH".into(), "/usr/bin:/bin".into())];
        Opener { user, environment, program, files: Vec::new() }
    }

    #[test]
    fn it_is_shown_by_the_users_own_program_with_the_users_variables() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("-page.html");
        fs::write(&file, "<p>").unwrap();
        let script = "echo \"$1 $DISPLAY $HOME$(cat \"$1\")\" > \"$1.said\"";
        opener(folder.path(), None, script).open(&file).unwrap();
        let said = fs::read_to_string(folder.path().join("-page.html.said")).unwrap();
        let file = fs::canonicalize(&file).unwrap();
        assert_eq!(said, format!("{} :7 <p>\n", file.display()));
    }

    #[test]
    fn what_fails_is_said() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("page.html");
        fs::write(&file, "").unwrap();
        let error = opener(folder.path(), None, "exit 3").open(&file).unwrap_err();
        assert!(error.to_string().contains("exit status: 3"), "{error}");
    }

    #[test]
    fn nothing_to_show_is_refused() {
        let error = Opener::of(Vec::new()).err().unwrap();
        assert!(error.to_string().contains("-o FILE.html"), "{error}");
    }
}
