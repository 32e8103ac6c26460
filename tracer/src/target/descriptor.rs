//! What the file descriptors of another process stand for.
//!
//! A look at one descriptor reads tables that are as long as the node has sockets; [`Process::descriptors`] reads
//! each of them once for all.

pub mod redact;
pub(super) mod socket;
pub(super) mod unix;

use std::collections::{BTreeMap, HashSet};
use std::ffi::CString;
use std::fmt;
use std::fs::{self, File};
use std::io::Read;
use std::os::fd::AsRawFd as _;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use super::process::Process;
use super::rows::Rows;
pub use socket::Socket;

/// As many descriptors as are looked at: what the kernel lets a process have open unless root says more
/// (`fs.nr_open`).
const MOST: usize = 1 << 20;

/// As much of an epoll descriptor's list as is read: tens of thousands of entries.
const MOST_WATCHED: u64 = 4 << 20;

/// What a descriptor stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Object {
    /// A file, by its path in the process's own mount namespace; that may be deleted.
    File(String),
    /// A directory, likewise.
    Directory(String),
    /// A device, likewise.
    Device(String),
    /// A pipe with a path.
    Fifo(String),
    /// A pipe without.
    Pipe,
    /// A socket.
    Socket(Socket),
    /// An epoll descriptor; [`Process::watched`] tells what it watches.
    Epoll,
    /// Anything else of the kernel's, in its own word: `eventfd`, `timerfd`, `inotify`, `signalfd`, `pidfd`, ….
    Kernel(String),
}

/// Which object a descriptor stands for: while it is the same, the descriptor was not reused. Pipes and sockets have
/// numbers of their own, files the numbers of their file systems; what [`Object::Epoll`] and [`Object::Kernel`] are
/// share one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Identity {
    /// The device, major and minor.
    pub device: (u32, u32),
    /// The inode on it.
    pub inode: u64,
}

/// An open descriptor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Descriptor {
    /// What it stands for.
    pub object: Object,
    /// Which one; none when the kernel did not say.
    pub identity: Option<Identity>,
}

/// In words: `tcp 10.0.0.1:4242->10.0.0.7:443`, `file /etc/hosts`, `fifo /run/f`, `pipe`.
impl fmt::Display for Object {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.path() {
            Some(path) => write!(f, "{} {path}", self.kind()),
            None => match self {
                Self::Socket(socket) => socket.fmt(f),
                _ => f.write_str(self.kind()),
            },
        }
    }
}

impl Object {
    /// Without what `--redact` hides: no path, and of an address only what [`redact::address`] leaves.
    #[must_use]
    pub fn redacted(&self) -> String {
        match self {
            Self::Socket(socket) => {
                let mut text = String::new();
                // Writing to a string cannot fail.
                let _ = socket.write_redacted(&mut text);
                text
            }
            _ => self.kind().to_owned(),
        }
    }

    /// What it is, in one word.
    #[must_use]
    pub fn kind(&self) -> &str {
        match self {
            Self::File(_) => "file",
            Self::Directory(_) => "directory",
            Self::Device(_) => "device",
            Self::Fifo(_) => "fifo",
            Self::Pipe => "pipe",
            Self::Socket(Socket::Internet { protocol, .. }) => protocol,
            Self::Socket(Socket::Unix { .. }) => "unix",
            Self::Socket(Socket::Other) => "socket",
            Self::Epoll => "epoll",
            Self::Kernel(kind) => kind,
        }
    }

    fn with_path(path: String, mode: Option<u16>) -> Self {
        match mode.map(|mode| u32::from(mode) & libc::S_IFMT) {
            Some(libc::S_IFIFO) => Self::Fifo(path),
            Some(libc::S_IFDIR) => Self::Directory(path),
            Some(libc::S_IFCHR | libc::S_IFBLK) => Self::Device(path),
            _ => Self::File(path),
        }
    }

    fn path(&self) -> Option<&str> {
        match self {
            Self::File(path) | Self::Directory(path) | Self::Device(path) | Self::Fifo(path) => Some(path),
            _ => None,
        }
    }
}

impl Process {
    /// What that descriptor stands for, in words; none when it is not open.
    #[must_use]
    pub fn object(&self, fd: u64) -> Option<String> {
        self.descriptor(fd).map(|descriptor| descriptor.object.to_string())
    }

    /// What that descriptor stands for; none when it is not open.
    #[must_use]
    pub fn descriptor(&self, fd: u64) -> Option<Descriptor> {
        let (mut descriptor, inode) = self.without_sockets(fd)?;
        if let Some(inode) = inode
            && let Some(socket) = socket::find(self, |other| other == inode).remove(&inode)
        {
            descriptor.object = Object::Socket(socket);
        }
        Some(descriptor)
    }

    /// All open descriptors, each at one moment within the time that the reading takes.
    #[must_use]
    pub fn descriptors(&self) -> BTreeMap<u64, Descriptor> {
        let entries = fs::read_dir(self.path("fd")).into_iter().flatten().flatten();
        let numbers = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).take(MOST);
        let mut found = BTreeMap::new();
        let mut sockets = Vec::new();
        for fd in numbers {
            if let Some((descriptor, inode)) = self.without_sockets(fd) {
                sockets.extend(inode.map(|inode| (fd, inode)));
                found.insert(fd, descriptor);
            }
        }
        if sockets.is_empty() {
            return found;
        }
        let wanted: HashSet<u64> = sockets.iter().map(|(_, inode)| *inode).collect();
        let known = socket::find(self, |inode| wanted.contains(&inode));
        for (fd, inode) in sockets {
            if let (Some(descriptor), Some(socket)) = (found.get_mut(&fd), known.get(&inode)) {
                descriptor.object = Object::Socket(socket.clone());
            }
        }
        found
    }

    /// The descriptors that an epoll descriptor watches, by the numbers that they had when they were added; nothing
    /// when it is none.
    #[must_use]
    pub fn watched(&self, epoll: u64) -> Vec<u64> {
        let Ok(file) = File::open(self.path("fdinfo").join(epoll.to_string())) else { return Vec::new() };
        watched_in(file)
    }

    /// A descriptor, and its inode when it is a socket, which only tables tell more of.
    fn without_sockets(&self, fd: u64) -> Option<(Descriptor, Option<u64>)> {
        let link = self.path("fd").join(fd.to_string());
        let target = fs::read_link(&link).ok()?;
        let target = target.to_string_lossy();
        let (mode, identity) = look(&link).unzip();
        let (object, inode) = linked(&target, mode);
        Some((Descriptor { object, identity }, inode))
    }
}

/// What a descriptor's link in /proc says that it stands for, with the inode of a socket.
pub(super) fn linked(target: &str, mode: Option<u16>) -> (Object, Option<u64>) {
    match target.split_once(":[") {
        Some(("socket", number)) => {
            (Object::Socket(Socket::Other), number.trim_end_matches(']').parse().ok())
        }
        Some(("pipe", _)) => (Object::Pipe, None),
        _ => match target.strip_prefix("anon_inode:") {
            Some("[eventpoll]") => (Object::Epoll, None),
            Some(kind) => (Object::Kernel(kind.trim_matches(['[', ']']).to_owned()), None),
            None => (Object::with_path(target.to_owned(), mode), None),
        },
    }
}

/// The descriptors that an epoll descriptor's text in `fdinfo` names (fs/eventpoll.c, `ep_show_fdinfo`).
pub(super) fn watched_in(text: impl Read) -> Vec<u64> {
    let mut rows = Rows::new(text, MOST_WATCHED);
    let mut watched = Vec::new();
    while let Some(row) = rows.next_row() {
        let number =
            row.strip_prefix(b"tfd:").and_then(|row| str::from_utf8(row).ok()?.split_whitespace().next());
        watched.extend(number.and_then(|number| number.parse::<u64>().ok()));
    }
    watched
}

/// Which file is at that path, or behind that link of /proc; none when that cannot be told.
pub(super) fn identity(path: &Path) -> Option<Identity> {
    look(path).map(|(_, identity)| identity)
}

/// Which one an open file is; none when that cannot be told.
#[must_use]
pub fn identity_of(file: &File) -> Option<Identity> {
    identity(Path::new(&format!("/proc/self/fd/{}", file.as_raw_fd())))
}

/// The mode and the identity of an open file, asked through its link, so of the file itself. File systems of other
/// machines are not asked, which might never answer.
fn look(link: &Path) -> Option<(u16, Identity)> {
    let link = CString::new(link.as_os_str().as_bytes()).ok()?;
    // SAFETY: the structure is plain numbers, and zeroes are valid ones.
    let mut found: libc::statx = unsafe { std::mem::zeroed() };
    let (flags, mask) =
        (libc::AT_STATX_DONT_SYNC | libc::AT_NO_AUTOMOUNT, libc::STATX_TYPE | libc::STATX_INO);
    // SAFETY: the path ends with a zero, and `found` is writable.
    let failed = unsafe { libc::statx(libc::AT_FDCWD, link.as_ptr(), flags, mask, &raw mut found) } != 0;
    let identity = Identity { device: (found.stx_dev_major, found.stx_dev_minor), inode: found.stx_ino };
    (!failed).then_some((found.stx_mode, identity))
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead as _, BufReader};
    use std::os::fd::{AsFd, AsRawFd as _};

    use super::*;

    fn own() -> Process {
        Process::find(&std::process::id().to_string()).unwrap()
    }

    fn number(file: &dyn AsFd) -> u64 {
        u64::try_from(file.as_fd().as_raw_fd()).unwrap()
    }

    #[test]
    fn ones_own_descriptors_have_names() {
        let process = own();
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let at = listener.local_addr().unwrap();
        let connection = std::net::TcpStream::connect(at).unwrap();
        let udp = std::net::UdpSocket::bind("[::1]:0").unwrap();
        let folder = tempfile::tempdir().unwrap();
        let file = tempfile::NamedTempFile::new_in(&folder).unwrap();
        let directory = File::open(&folder).unwrap();
        let null = File::open("/dev/null").unwrap();
        let (pipe, _other) = std::io::pipe().unwrap();
        let path = folder.path().join("socket");
        let local = std::os::unix::net::UnixListener::bind(&path).unwrap();
        let client = std::os::unix::net::UnixStream::connect(&path).unwrap();
        // Until then the other side has no number.
        let accepted = local.accept().unwrap().0;
        let expected = [
            (number(&listener), format!("tcp {at} (listening)"), "tcp loopback:* (listening)"),
            (
                number(&connection),
                format!("tcp {}->{at}", connection.local_addr().unwrap()),
                "tcp loopback:*->loopback:*",
            ),
            (number(&udp), format!("udp {}", udp.local_addr().unwrap()), "udp loopback:*"),
            (number(file.as_file()), format!("file {}", file.path().display()), "file"),
            (number(&directory), format!("directory {}", folder.path().display()), "directory"),
            (number(&null), "device /dev/null".to_owned(), "device"),
            (number(&pipe), "pipe".to_owned(), "pipe"),
            (number(&local), format!("unix {}", path.display()), "unix"),
            (number(&accepted), format!("unix {}", path.display()), "unix"),
            (number(&client), format!("unix -> {}", path.display()), "unix"),
        ];
        let all = process.descriptors();
        for (fd, text, redacted) in expected {
            assert_eq!(process.object(fd).as_ref(), Some(&text));
            assert_eq!(
                (all[&fd].object.to_string(), all[&fd].object.redacted()),
                (text, redacted.to_owned())
            );
        }
        assert_eq!(process.object(1 << 40), None);
    }

    /// In a network namespace of its own nothing of ours is to be seen.
    #[test]
    fn sockets_are_looked_for_where_the_process_is() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("far");
        let script = "import socket, sys, time\n\
            s = socket.socket(socket.AF_UNIX); s.bind(sys.argv[1]); s.listen()\n\
            c = socket.socket(socket.AF_UNIX); c.connect(sys.argv[1]); a = s.accept()\n\
            t = socket.socket(); t.bind(('0.0.0.0', 4242)); t.listen(); print('there', flush=True); time.sleep(60)";
        let mut command = std::process::Command::new("unshare");
        command.args(["--net", "python3", "-c", script]).arg(&path).stdout(std::process::Stdio::piped());
        let Ok(mut child) = command.spawn() else { return };
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let seen = Process::of_pid(child.id()).map(|process| process.descriptors());
        child.kill().unwrap();
        child.wait().unwrap();
        // It takes root and Python.
        if line != "there\n" {
            return;
        }
        let texts: Vec<String> = seen.unwrap().values().map(|one| one.object.to_string()).collect();
        for text in [
            format!("unix {}", path.display()),
            format!("unix -> {}", path.display()),
            "tcp 0.0.0.0:4242 (listening)".to_owned(),
        ] {
            assert!(texts.contains(&text), "{text} is not in {texts:?}");
        }
    }

    #[test]
    fn a_reused_descriptor_is_another_object() {
        let (process, folder) = (own(), tempfile::tempdir().unwrap());
        let open = |name: &str| File::create(folder.path().join(name)).unwrap();
        let identity = |file: &File| process.descriptor(number(file)).unwrap().identity.unwrap();
        let (first, second) = (open("first"), open("second"));
        assert_eq!(identity(&first), identity(&first.try_clone().unwrap()));
        assert_ne!(identity(&first), identity(&second));
        let before = identity(&first);
        // SAFETY: both descriptors are open, and `first` stays open as another file.
        assert!(unsafe { libc::dup2(second.as_raw_fd(), first.as_raw_fd()) } >= 0);
        assert_eq!((identity(&first) == before, identity(&first)), (false, identity(&second)));
        let (one, other) = std::os::unix::net::UnixStream::pair().unwrap();
        let of = |socket: &dyn AsFd| process.descriptor(number(socket)).unwrap().identity;
        assert_ne!(of(&one), of(&other));
    }

    #[test]
    fn an_epoll_descriptor_tells_what_it_watches() {
        use std::os::fd::{FromRawFd as _, OwnedFd};
        // SAFETY: the call has no preconditions.
        let epoll = unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) };
        assert!(epoll >= 0);
        // SAFETY: the descriptor was made just now, and is nobody else's.
        let epoll = unsafe { OwnedFd::from_raw_fd(epoll) };
        let (pipe, _other) = std::io::pipe().unwrap();
        let mut event = libc::epoll_event { events: libc::EPOLLIN as u32, u64: 7 };
        // SAFETY: both descriptors are open, and the event is readable.
        let added = unsafe {
            libc::epoll_ctl(epoll.as_raw_fd(), libc::EPOLL_CTL_ADD, pipe.as_raw_fd(), &raw mut event)
        };
        assert_eq!(added, 0);
        let process = own();
        assert_eq!(process.descriptor(number(&epoll)).unwrap().object, Object::Epoll);
        assert_eq!(process.watched(number(&epoll)), [number(&pipe)]);
        assert_eq!(process.watched(number(&pipe)), Vec::<u64>::new());
    }
}
