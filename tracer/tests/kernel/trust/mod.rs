//! gotrace does its target no harm, whatever becomes of gotrace: it is killed, the kernel refuses it something, the
//! target goes away.

mod beside;
mod doctor;
mod faults;
mod harm;
mod ready;
mod setuid;
mod verified;

use std::fs;
use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::os::unix::fs::{FileExt as _, PermissionsExt as _};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::support::{Fixture, gotrace, nethttp};

/// No step of these takes this long by itself.
const PATIENCE: Duration = Duration::from_secs(60);

/// Where a process's code differs from its executable.
pub(crate) fn changed(pid: u32) -> Vec<u64> {
    let folder = format!("/proc/{pid}");
    let open = |name: &str| fs::File::open(format!("{folder}/{name}")).expect("it may be looked into");
    let (memory, file) = (open("mem"), open("exe"));
    let name = fs::read_link(format!("{folder}/exe")).expect("its executable");
    let maps = fs::read_to_string(format!("{folder}/maps")).expect("it has maps");
    let is_code = |line: &&str| line.contains(" r-xp ") && line.ends_with(name.to_str().expect("UTF-8"));
    let mut changed = Vec::new();
    for line in maps.lines().filter(is_code) {
        let fields: Vec<&str> = line.split_ascii_whitespace().collect();
        let number = |text| u64::from_str_radix(text, 16).expect("a number");
        let (begin, end) = fields[0].split_once('-').expect("a range");
        let (begin, end, offset) = (number(begin), number(end), number(fields[2]));
        let length = usize::try_from(end - begin).expect("a length");
        let (mut there, mut here) = (vec![0; length], vec![0; length]);
        memory.read_exact_at(&mut there, begin).expect("its code is there");
        // The last page may reach beyond the file's end.
        let kept = file.read_at(&mut here, offset).expect("its file is there");
        let bytes = (begin..).zip(there.iter().zip(&here[..kept]));
        changed.extend(bytes.filter(|(_, (there, here))| there != here).map(|(at, _)| at));
    }
    changed
}

/// Some number below that; another one each time.
fn below(most: u64) -> u64 {
    RandomState::new().build_hasher().finish() % most
}

/// A server that runs until the test is over. It is a file of its own, which nobody else probes.
struct Server {
    child: Child,
    address: String,
    fixture: Fixture,
    _folder: tempfile::TempDir,
}

impl Server {
    fn start() -> Self {
        Self::start_as(|_| {})
    }

    /// Started in that way.
    fn start_as(way: impl FnOnce(&mut Command)) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("nethttp");
        fs::copy(nethttp().path, &path).expect("a copy");
        for open in [folder.path(), &path] {
            fs::set_permissions(open, fs::Permissions::from_mode(0o755)).expect("it is ours");
        }
        let fixture = Fixture { path, ..nethttp() };
        let mut command = Command::new(&fixture.path);
        way(&mut command);
        let mut child = command.args(["-serve", "3h"]).stdout(Stdio::piped()).spawn().expect("it starts");
        let mut lines = BufReader::new(child.stdout.take().expect("a pipe")).lines();
        let address = loop {
            let line = lines.next().expect("it says where it listens").expect("a line");
            if let Some(address) = line.strip_prefix("listening on http://") {
                break address.to_owned();
            }
        };
        Self { child, address, fixture, _folder: folder }
    }

    fn pid(&self) -> u32 {
        self.child.id()
    }

    /// It lives, and does its work.
    fn assert_serves(&mut self) {
        let ended = self.child.try_wait().expect("it can be asked");
        assert!(ended.is_none(), "the target has ended: {ended:?}");
        let mut stream = TcpStream::connect(&self.address).expect("it listens");
        stream.write_all(b"GET / HTTP/1.0\r\n\r\n").expect("it reads");
        let mut said = String::new();
        stream.read_to_string(&mut said).expect("it answers");
        assert!(said.starts_with("HTTP/1.0 200 OK") && said.ends_with("hello\n"), "{said}");
    }

    /// Its code is as in its file.
    fn assert_untouched(&self, when: &str) {
        let changed = changed(self.pid());
        assert!(changed.is_empty(), "{when}: changed at {changed:x?}");
    }

    /// What `gotrace repair` says of it.
    fn repair(&self) -> Output {
        gotrace().args(["repair", &self.pid().to_string()]).output().expect("gotrace runs")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.child.kill().expect("it can be killed");
        self.child.wait().expect("it has ended");
    }
}

/// Another program beside the test, into files; it does not outlive the test.
struct Beside {
    child: Child,
    folder: tempfile::TempDir,
}

impl Beside {
    fn start(mut command: Command) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let file = |name: &str| fs::File::create(folder.path().join(name)).expect("a file");
        command.stdin(Stdio::null()).stdout(file("stdout")).stderr(file("stderr"));
        let child = command.spawn().expect("it starts");
        Self { child, folder }
    }

    fn said(&self, stream: &str) -> String {
        fs::read_to_string(self.folder.path().join(stream)).expect("what it said")
    }

    /// How it ended; none when it has not.
    fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("it can be asked")
    }

    /// Until that holds, or it has ended.
    fn until(&mut self, holds: impl Fn(&Self) -> bool) {
        let begin = Instant::now();
        while !holds(self) && self.ended().is_none() {
            assert!(begin.elapsed() < PATIENCE, "it does not get ready: {}", self.said("stderr"));
            // Who looks all the time keeps others from it.
            thread::sleep(Duration::from_micros(200));
        }
    }

    fn signal(&self, signal: i32) {
        // SAFETY: the child is ours and not waited for, so the number is still its.
        unsafe { libc::kill(self.child.id().cast_signed(), signal) };
    }

    /// Kills it.
    fn end(&mut self) {
        self.child.kill().expect("it can be killed");
        self.child.wait().expect("it has ended");
    }
}

impl Drop for Beside {
    fn drop(&mut self) {
        // A test that has failed already is not to be ended by this.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
