//! Every reader of what /proc and the kernel tell of a process in words that are partly its own, given the same bytes:
//! what the fuzz target `proc` calls, and the test that proves its seeds.

use std::collections::{BTreeSet, HashMap};
use std::path::Path;

use super::capabilities::Rights;
use super::descriptor::{self, Object, redact, socket, unix};
use super::identity::{Identity, cgroup_ids, pods};
use super::maps::Mapping;
use super::rows::Rows;
use super::stat::{Stat, resident_pages};
use super::{cgroup, process, thread, user};

/// Where control groups are mounted, as far as these readers care.
const MOUNT: &str = "/sys/fs/cgroup";

/// The readers to which these bytes meant something, by what they read.
#[must_use]
pub fn understood(bytes: &[u8]) -> BTreeSet<&'static str> {
    let text = &*String::from_utf8_lossy(bytes);
    [of_process(bytes, text), of_groups(text), of_descriptors(bytes, text)].into_iter().flatten().collect()
}

fn of_process(bytes: &[u8], text: &str) -> Vec<&'static str> {
    let mut rows = Rows::new(bytes, u64::MAX);
    let mut mapped = 0;
    while let Some(row) = rows.next_row() {
        mapped += usize::from(Mapping::parse(row).is_some_and(|mapping| mapping.path.is_some()));
    }
    let is = [
        ("stat", Stat::parse(bytes).is_some()),
        ("stat's parent", user::parent_in(text).is_some()),
        ("statm", resident_pages(text).is_some()),
        ("status' tracer", process::number_after(text, "TracerPid:").is_some()),
        ("status' rights", Rights::of_status(text).is_some()),
        ("status' inner number", thread::innermost_number(text).is_some()),
        ("syscall", thread::system_call(text).is_some()),
        ("sched", thread::exec_start_in(text).is_some()),
        ("auxv", process::aux_value(bytes, libc::AT_ENTRY).is_some()),
        ("environ", !user::variables_in(bytes).is_empty()),
        ("maps", mapped > 0),
    ];
    those(is)
}

fn of_groups(text: &str) -> Vec<&'static str> {
    let identity = Identity::of_cgroups(text);
    // What is found in a path is found in it alone.
    if identity.container.is_some() {
        assert_eq!(Identity::of_cgroup(&identity.cgroup), identity);
    }
    let lines = || text.lines().take(64);
    let around = || lines().flat_map(|line| cgroup::in_hierarchy(Path::new(MOUNT), line));
    assert!(around().all(|group| group.starts_with(MOUNT)));
    let is = [
        ("cgroup", !identity.cgroup.is_empty()),
        ("cgroup's container", identity.container.is_some()),
        ("cgroup's pod", identity.pod_uid.is_some()),
        ("cgroup's ancestors", around().count() > 1),
        ("cpu.stat", cgroup::of_group(text).is_some()),
        ("mountinfo", lines().any(|line| cgroup_ids::mounted(line).is_some())),
        ("a group's link", cgroup_ids::within(Path::new(MOUNT), Path::new(text)).is_some()),
        ("a pod's folder", pods::parse(text).is_some()),
    ];
    those(is)
}

fn of_descriptors(bytes: &[u8], text: &str) -> Vec<&'static str> {
    let (object, inode) = descriptor::linked(text, Some(0o010_600));
    assert!(!object.redacted().contains('/') || matches!(object, Object::Kernel(_)));
    let mut sockets = HashMap::new();
    socket::in_internet(bytes, "tcp", |_| true, &mut sockets);
    let internet = sockets.len();
    for socket in sockets.values() {
        if let socket::Socket::Internet { local, .. } = socket {
            assert!(!redact::address(*local).contains(&local.ip().to_string()));
        }
        assert!(!Object::Socket(socket.clone()).to_string().is_empty());
    }
    let local = socket::in_unix(bytes, |_| true, &mut sockets);
    let mut sides = HashMap::new();
    unix::parse(bytes, &mut sides);
    let is = [
        ("an fd's link to a socket", inode.is_some()),
        ("an fd's link to the kernel's", matches!(object, Object::Kernel(_) | Object::Epoll | Object::Pipe)),
        ("fdinfo", !descriptor::watched_in(bytes).is_empty()),
        ("net/tcp", internet > 0),
        ("net/unix", !local.is_empty()),
        ("sock_diag", sides.values().any(unix::Side::is_known)),
    ];
    those(is)
}

fn those<const N: usize>(is: [(&'static str, bool); N]) -> Vec<&'static str> {
    is.into_iter().filter_map(|(what, is)| is.then_some(what)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every reader, with a text that it understands.
    const SEEDS: [(&str, &[&str], &[u8]); 17] = [
        (
            "stat",
            &["stat", "stat's parent"],
            b"7 (a) b) S 1 7 7 0 -1 4194304 11 0 2 0 3 4 0 0 20 0 5 0 600 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 1 0 0\n",
        ),
        ("statm", &["statm"], b"300 17 4 1 0 90 0\n"),
        (
            "status",
            &["status' tracer", "status' rights", "status' inner number"],
            b"Name:\tapp\nTgid:\t7\nTracerPid:\t9\nUid:\t1\t0\t1\t1\nNSpid:\t7\t1\nCapEff:\t000001ffffdfffff\n",
        ),
        ("syscall", &["syscall"], b"202 0x5c0 0x80 0x0 0x0 0x0 0x0 0x7ffc 0x46f3\n"),
        ("sched", &["sched"], b"app (7, #threads: 5)\nse.exec_start   :     123456.789012\n"),
        ("auxv", &["auxv"], b"\x09\0\0\0\0\0\0\0\x40\x12\x40\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0"),
        ("environ", &["environ"], b"HOME=/root\0=odd\0TERM=\0"),
        (
            "maps",
            &["maps"],
            b"7f00-7f40 r-xp 00002000 fe:00 99                     /srv/a b\xff.so (deleted)\n1-2 rw-p 0 00:00 0 [heap]\n",
        ),
        (
            "cgroup",
            &["cgroup", "cgroup's container", "cgroup's pod", "cgroup's ancestors"],
            b"3:cpu,cpuacct:/x\n0::/kubepods.slice/kubepods-pod21f5c3de_7b4c_4a8f_9d2e_0a1b2c3d4e5f.slice/cri-containerd-\
            00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff.scope\n",
        ),
        ("cpu.stat", &["cpu.stat"], b"usage_usec 5\nthrottled_usec 7\nthrottled_time 9\n"),
        ("mountinfo", &["mountinfo"], b"29 23 0:26 / /sys/fs/cgroup rw shared:9 - cgroup2 cgroup2 rw,nsdelegate\n"),
        ("group", &["a group's link"], b"/sys/fs/cgroup/a/b"),
        ("pod", &["a pod's folder"], b"shop_web-7d4b9c.v1_21f5c3de-7b4c-4a8f-9d2e-0a1b2c3d4e5f"),
        ("link", &["an fd's link to a socket"], b"socket:[12345]"),
        ("fdinfo", &["fdinfo"], b"pos:\t0\nflags:\t02\ntfd:        5 events:       19 data: 5 pos:0 ino:61 sdev:8\n"),
        (
            "net",
            &["net/tcp", "net/unix"],
            b"  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n   0: \
            0100007F:1F90 0700000A:01BB 0A 00000000:00000000 00:00000000 00000000     0        0 4242 1\n   1: \
            0000000000000000FFFF00000700000A:01BB 00000000000000000000000001000000:0050 01 0 0 0 0 0 4243 1\n\
            ffff8881: 00000002 00000000 00010000 0001 01 4244 /run/a b.sock\n",
        ),
        (
            "sock_diag",
            &["sock_diag"],
            b"\x30\0\0\0\x14\0\x02\0\0\0\0\0\0\0\0\0\x01\x01\x01\0\x07\0\0\0\0\0\0\0\0\0\0\0\x07\0\0\0\0ab\0\x08\0\x02\0\x09\0\0\0",
        ),
    ];

    /// What is told by one link alone needs no seed of its own.
    const OTHERS: [(&str, &[u8]); 3] = [
        ("an fd's link to the kernel's", b"anon_inode:[eventpoll]"),
        ("an fd's link to the kernel's", b"pipe:[7]"),
        ("an fd's link to the kernel's", b"anon_inode:inotify"),
    ];

    #[test]
    fn seeds_are_what_each_reader_reads() {
        for (reader, text) in OTHERS {
            assert!(understood(text).contains(reader), "{reader} does not read its text");
        }
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/seeds/proc");
        for (name, readers, text) in SEEDS {
            let understood = understood(text);
            for reader in readers {
                assert!(understood.contains(reader), "{reader} does not read {name}: {understood:?}");
            }
            let path = folder.join(name);
            if std::env::var_os("GOTRACE_BLESS").is_some() {
                std::fs::create_dir_all(&folder).unwrap();
                std::fs::write(&path, text).unwrap();
            }
            assert!(
                std::fs::read(&path).unwrap_or_default() == text,
                "{name} is out of date: run with GOTRACE_BLESS=1"
            );
        }
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_are_read(bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..512)) {
            let _ = understood(&bytes);
        }
    }
}
