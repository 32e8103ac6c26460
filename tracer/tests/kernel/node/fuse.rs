//! Executables of a file system that a program makes, and that does not answer.

use std::ffi::OsStr;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, UNIX_EPOCH};

use fuser::{
    Config, Errno, FileAttr, FileHandle, FileType, Filesystem, Generation, INodeNo, LockOwner, MountOption,
    OpenFlags, ReplyAttr, ReplyData, ReplyEntry, Request,
};

use super::{Agent, run};
use crate::support::nethttp;

const NAME: &str = "node-test-fuse";
const FILE: INodeNo = INodeNo(2);

/// One executable, of which nobody but a process gets anything once that is known.
struct Silent {
    content: Vec<u8>,
    known: Arc<OnceLock<u32>>,
    /// Whoever waits, until this is dropped.
    waiting: Mutex<Vec<ReplyData>>,
}

impl Silent {
    fn attributes(&self, file: INodeNo) -> FileAttr {
        let (kind, size) = match file {
            FILE => (FileType::RegularFile, self.content.len() as u64),
            _ => (FileType::Directory, 0),
        };
        FileAttr {
            ino: file,
            size,
            blocks: size.div_ceil(512),
            atime: UNIX_EPOCH,
            mtime: UNIX_EPOCH,
            ctime: UNIX_EPOCH,
            crtime: UNIX_EPOCH,
            kind,
            perm: 0o755,
            nlink: 1,
            uid: 0,
            gid: 0,
            rdev: 0,
            flags: 0,
            blksize: 4096,
        }
    }
}

impl Filesystem for Silent {
    fn lookup(&self, _: &Request, _: INodeNo, name: &OsStr, reply: ReplyEntry) {
        if name == NAME {
            reply.entry(&Duration::from_secs(60), &self.attributes(FILE), Generation(0));
        } else {
            reply.error(Errno::ENOENT);
        }
    }

    fn getattr(&self, _: &Request, file: INodeNo, _: Option<FileHandle>, reply: ReplyAttr) {
        reply.attr(&Duration::from_secs(60), &self.attributes(file));
    }

    fn read(
        &self,
        request: &Request,
        _: INodeNo,
        _: FileHandle,
        offset: u64,
        size: u32,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyData,
    ) {
        let is_of = |pid: &u32| Path::new(&format!("/proc/{pid}/task/{}", request.pid())).exists();
        if !self.known.get().is_none_or(is_of) {
            return self.waiting.lock().expect("nobody panics with it").push(reply);
        }
        let from = usize::try_from(offset).expect("64 bits").min(self.content.len());
        let to = (from + size as usize).min(self.content.len());
        reply.data(&self.content[from..to]);
    }
}

#[test]
#[ignore = "needs root, BPF and fixtures: cargo xtask test"]
fn an_executable_that_does_not_answer_keeps_nobody_else_waiting() {
    let folder = tempfile::tempdir().unwrap();
    let mount = folder.path().join("mount");
    std::fs::create_dir(&mount).unwrap();
    let known = Arc::new(OnceLock::new());
    let content = std::fs::read(nethttp().path).unwrap();
    let silent = Silent { content, known: Arc::clone(&known), waiting: Mutex::default() };
    let mut options = Config::default();
    options.mount_options = vec![MountOption::RO, MountOption::Exec, MountOption::FSName(NAME.to_owned())];
    let mounted = fuser::spawn_mount(silent, &mount, &options).expect("it is mounted");
    let mut program =
        Command::new(mount.join(NAME)).args(["-sleep", "60s"]).stdout(Stdio::null()).spawn().unwrap();
    known.set(program.id()).unwrap();

    let agent = Agent::of(&["--select".to_owned(), "module=example.com/nethttp".to_owned()]);
    agent.wait_for("that it gives up", |agent| agent.sum("gotrace_looks_unanswered_total") >= 1.0);
    assert!(agent.get("/healthz").starts_with("HTTP/1.1 200 "));
    let other = folder.path().join("node-test-other");
    std::fs::copy(nethttp().path, &other).unwrap();
    let mut first = Command::new(&other).args(["-sleep", "60s"]).stdout(Stdio::null()).spawn().unwrap();
    agent.wait_for("the other's binary", |agent| agent.sum("gotrace_binaries") == 1.0);
    run(&other);
    agent.wait_for("its start", |agent| agent.sum("gotrace_starts_total") >= 1.0);
    // One of its threads is stuck still.
    agent.end();
    for child in [&mut first, &mut program] {
        child.kill().unwrap();
        child.wait().unwrap();
    }
    mounted.umount_and_join().expect("nobody has it any more");
}
