//! What a descriptor of the current process stands for, from the kernel's own structures, at this very moment: by the
//! time that user space looks, the number may be another file's.

use aya_ebpf::helpers::generated::{bpf_get_current_task, bpf_probe_read_kernel, bpf_probe_read_kernel_str};
use tracer_ebpf::wire::blocking::{NAME_LEN, Object};

use super::{class::Class, maps::FILES};

/// `S_IFMT` (include/uapi/linux/stat.h).
const TYPE_BITS: u32 = 0o170_000;
const SOCKET: u32 = 0o140_000;
const AF_INET: u16 = 2;
const AF_INET6: u16 = 10;

/// The inode of the descriptor that is a system call's first argument, by its address in the kernel, and its file's;
/// zeroes when the call takes none, or it is not known.
#[derive(Clone, Copy)]
pub(super) struct Opened {
    inode: u64,
    file: u64,
}

/// Finds it.
#[inline(always)]
pub(super) fn of_descriptor(class: Class, fd: u64) -> Opened {
    let at = FILES.load();
    let mut opened = Opened { inode: 0, file: 0 };
    if at.task_files == 0 || !class.takes_descriptor() {
        return opened;
    }
    // SAFETY: the helper has no preconditions.
    let task = unsafe { bpf_get_current_task() };
    let table = kernel_word(kernel_word(task, at.task_files), at.files_fdt);
    let fd = fd & 0xffff_ffff;
    if fd < kernel_word(table, at.fdt_max_fds) & 0xffff_ffff {
        opened.file = kernel_word(kernel_word(table, at.fdt_fd) + fd * 8, 0);
        opened.inode = kernel_word(opened.file, at.file_inode);
    }
    opened
}

impl Opened {
    /// Its type, as in stat(2).
    #[inline(always)]
    pub(super) fn file_type(self) -> u32 {
        kernel_word(self.inode, FILES.load().inode_mode) as u32 & TYPE_BITS
    }

    /// Writes all that is known of it.
    #[inline(always)]
    pub(super) fn describe(self, object: &mut Object) {
        let at = FILES.load();
        clear(object);
        object.inode = kernel_word(self.inode, at.inode_number);
        object.mode = kernel_word(self.inode, at.inode_mode) as u32 & 0xffff;
        object.device =
            kernel_word(kernel_word(self.inode, at.inode_superblock), at.superblock_device) as u32;
        if object.mode & TYPE_BITS != SOCKET {
            let name = kernel_word(kernel_word(self.file, at.file_dentry), at.dentry_name);
            let to = (&raw mut object.name).cast();
            // SAFETY: the helper checks the address, and writes at most that many bytes, the last a zero.
            unsafe { bpf_probe_read_kernel_str(to, NAME_LEN as u32, name as *const _) };
            return;
        }
        let socket = kernel_word(self.file, at.file_private);
        object.socket_type = kernel_word(socket, at.socket_type) as u16;
        // `struct sock` begins with its `sock_common` (include/net/sock.h).
        let sock = kernel_word(socket, at.socket_sock);
        object.family = kernel_word(sock, at.sock_family) as u16;
        let ports = kernel_word(sock, at.sock_ports) as u32;
        object.peer_port = ports as u16;
        object.local_port = (ports >> 16) as u16;
        if object.family == AF_INET {
            let addresses = kernel_word(sock, at.sock_addresses);
            object.peer[..4].copy_from_slice(&(addresses as u32).to_ne_bytes());
            object.local[..4].copy_from_slice(&((addresses >> 32) as u32).to_ne_bytes());
        } else if object.family == AF_INET6 {
            let half = |part: u32| kernel_word(sock, at.sock_addresses6 + part * 8).to_ne_bytes();
            object.peer[..8].copy_from_slice(&half(0));
            object.peer[8..].copy_from_slice(&half(1));
            object.local[..8].copy_from_slice(&half(2));
            object.local[8..].copy_from_slice(&half(3));
        }
    }
}

/// Makes it [`Object::UNKNOWN`]. Of a plain assignment the compiler makes a loop over bytes, which the verifier follows.
#[inline(always)]
fn clear(object: &mut Object) {
    let words = (&raw mut *object).cast::<u64>();
    for index in 0..size_of::<Object>() / size_of::<u64>() {
        // SAFETY: the words of one object.
        unsafe { words.add(index).write_volatile(0) };
    }
}

/// Eight bytes of a structure in the kernel's memory, as the processor has them; zero when there is none. It is used
/// so often that it is a global function in the verifier's sense, which looks at it once.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn kernel_word(structure: u64, offset: u32) -> u64 {
    let mut value = 0_u64;
    if structure == 0 {
        return 0;
    }
    let address = (structure + u64::from(offset)) as *const _;
    // SAFETY: the helper checks the address; it writes eight bytes, or zeroes.
    unsafe { bpf_probe_read_kernel((&raw mut value).cast(), size_of::<u64>() as u32, address) };
    value
}
