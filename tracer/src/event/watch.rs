//! Whose processes are watched.

use tracer_ebpf::wire::watch::{NewFile as NewFileRecord, Origin as OriginRecord};

pub use tracer_ebpf::wire::watch::FileKey;

use super::{DecodeError, prefix};

/// Which binary a watched process runs, and where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Origin {
    /// The binary's number.
    pub binary: u64,
    /// The process's control group, by the kernel's number.
    pub cgroup: u64,
}

/// A file that was not told of this control group lately.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NewFile {
    /// Which, and where.
    pub file: FileKey,
}

pub(super) fn origin(bytes: &[u8]) -> Result<Origin, DecodeError> {
    let OriginRecord { header: _, binary, cgroup } = prefix(bytes)?;
    Ok(Origin { binary, cgroup })
}

pub(super) fn new_file(bytes: &[u8]) -> Result<NewFile, DecodeError> {
    let NewFileRecord { header: _, file } = prefix(bytes)?;
    Ok(NewFile { file })
}

#[cfg(test)]
mod tests {
    use tracer_ebpf::wire::{Header, Probe};
    use zerocopy::IntoBytes as _;

    use super::super::{EventKind, decode};
    use super::*;

    #[test]
    fn binary_and_control_group_are_decoded() {
        let header = Header { time: 7, probe: Probe::Origin as u32, tid: 9 };
        let event = decode(OriginRecord { header, binary: 3, cgroup: 5 }.as_bytes()).unwrap();
        assert_eq!((event.tid, event.kind), (9, EventKind::Origin(Origin { binary: 3, cgroup: 5 })));
        let header = Header { probe: Probe::NewFile as u32, ..header };
        let file = FileKey { device: 1, inode: 2, cgroup: 3 };
        let event = decode(NewFileRecord { header, file }.as_bytes()).unwrap();
        assert_eq!(event.kind, EventKind::NewFile(NewFile { file }));
    }
}
