//! What may not be told is not kept either.

use tracer_ebpf::wire::Probe;
use tracer_ebpf::wire::blocking::{Object, Slow};

/// Takes addresses, names and inodes out of a record of the kernel side: of what a descriptor stood for there is left what
/// kind of thing it was.
pub fn redact(record: &mut [u8]) {
    // Records of the ring buffer need not be aligned.
    if let Some(bytes) = record.first_chunk_mut::<{ size_of::<Slow>() }>() {
        let mut slow: Slow = zerocopy::transmute!(*bytes);
        if slow.header.probe != Probe::Slow as u32 {
            return;
        }
        let Object { mode, family, socket_type, .. } = slow.object;
        slow.object = Object { mode, family, socket_type, ..Object::UNKNOWN };
        *bytes = zerocopy::transmute!(slow);
    }
}

#[cfg(test)]
mod tests {
    use zerocopy::{FromZeros as _, IntoBytes as _};

    use super::*;

    #[test]
    fn only_the_kind_of_an_object_is_kept() {
        let object = Object {
            inode: 7,
            mode: 0o140_777,
            device: 5,
            family: 2,
            local_port: 80,
            peer_port: 81,
            socket_type: 1,
            local: [9; 16],
            peer: [9; 16],
            name: [b'x'; 40],
        };
        let mut slow = Slow::new_zeroed();
        (slow.header.probe, slow.duration, slow.object) = (Probe::Slow as u32, 5, object);
        let mut bytes = slow.as_bytes().to_vec();
        redact(&mut bytes);
        slow.object = Object { mode: 0o140_777, family: 2, socket_type: 1, ..Object::UNKNOWN };
        assert_eq!(bytes, slow.as_bytes());

        (slow.header.probe, slow.object) = (Probe::Wait as u32, object);
        let mut other = slow.as_bytes().to_vec();
        redact(&mut other);
        assert_eq!(other, slow.as_bytes());
        redact(&mut other[..20]);
    }
}
