//! Another process's memory, read and never written.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;

use crate::units::RuntimeAddr;

/// Something that has a process's memory: the process, or a test.
pub trait Memory {
    /// Fills `into` with the bytes from that address on.
    ///
    /// # Errors
    /// When not all of them are mapped, or the process has ended.
    fn read(&self, at: RuntimeAddr, into: &mut [u8]) -> io::Result<()>;

    /// The word of eight bytes at that address.
    ///
    /// # Errors
    /// As [`Memory::read`].
    fn u64(&self, at: RuntimeAddr) -> io::Result<u64> {
        let mut word = [0; 8];
        self.read(at, &mut word)?;
        Ok(u64::from_le_bytes(word))
    }

    /// The word of four bytes at that address.
    ///
    /// # Errors
    /// As [`Memory::read`].
    fn u32(&self, at: RuntimeAddr) -> io::Result<u32> {
        let mut word = [0; 4];
        self.read(at, &mut word)?;
        Ok(u32::from_le_bytes(word))
    }

    /// The text at that address up to its zero byte, as system calls are given paths; none when it is not
    /// readable or longer than a path can be.
    fn text(&self, at: RuntimeAddr) -> Option<String> {
        /// `PATH_MAX`
        const LONGEST: usize = 4096;
        /// Texts may end at the end of what is mapped.
        const STEP: usize = 64;
        let mut text = Vec::new();
        while text.len() < LONGEST {
            let at = at.0.checked_add(text.len() as u64)?;
            // Up to the next multiple of the step, which never crosses a page.
            let len = STEP - usize::try_from(at % STEP as u64).ok()?;
            let mut chunk = vec![0; len];
            self.read(RuntimeAddr(at), &mut chunk).ok()?;
            if let Some(end) = memchr::memchr(0, &chunk) {
                text.extend_from_slice(&chunk[..end]);
                return Some(String::from_utf8_lossy(&text).into_owned());
            }
            text.extend_from_slice(&chunk);
        }
        None
    }
}

/// A process's memory through `/proc/PID/mem`. The open file belongs to the address space and not to the
/// number: when the process has ended or become another program, reads fail instead of meeting a stranger.
#[derive(Debug)]
pub struct ProcessMemory(pub(super) File);

impl Memory for ProcessMemory {
    fn read(&self, at: RuntimeAddr, into: &mut [u8]) -> io::Result<()> {
        // The kernel takes the offset for a signed one (fs/proc/base.c, `mem_rw`).
        if at.0 > i64::MAX as u64 {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        self.0.read_exact_at(into, at.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ones_own_memory_is_as_it_is() {
        let memory = ProcessMemory(File::open("/proc/self/mem").unwrap());
        let word = Box::new(0x1122_3344_5566_7788_u64);
        let at = RuntimeAddr(&raw const *word as u64);
        assert_eq!(memory.u64(at).unwrap(), *word);
        assert_eq!(memory.u32(at).unwrap(), 0x5566_7788);
        let path = std::ffi::CString::new("x".repeat(200)).unwrap();
        assert_eq!(memory.text(RuntimeAddr(path.as_ptr() as u64)), Some("x".repeat(200)));
        assert!(memory.u64(RuntimeAddr(0)).is_err());
        assert!(memory.u64(RuntimeAddr(u64::MAX - 8)).is_err());
    }
}
