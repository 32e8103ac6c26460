//! The way to `main.main`: one record for each step of the runtime and each package's init.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use super::{Header, Probe, account::Account};

/// Execution reached a probed instruction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Hit {
    /// Which probe, when, on which thread.
    pub header: Header,
    /// The instruction's address in the process: tells the load bias.
    pub ip: u64,
    /// What the site's register held. For [`Probe::Init`] the address of the init task,
    /// for [`Probe::GoStart`] and [`Probe::GoExit`] that behind the go statement. Where every process of a binary
    /// is watched, for [`Probe::GoEntry`] the parent's id, or 0.
    pub argument: u64,
    /// Where the main thread's time went up to here.
    pub account: Account,
    /// What the process had allocated up to here.
    pub heap: Heap,
}

/// What a process has allocated on Go's heap since it began, as the allocator's own counters tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Heap {
    /// Objects, those that were packed into another's room included; all ones when unknown.
    pub allocs: u64,
    /// The bytes of their size classes; all ones when unknown.
    pub bytes: u64,
}

impl Heap {
    /// Not asked for, or not to be had.
    pub const UNKNOWN: Self = Self { allocs: u64::MAX, bytes: u64::MAX };
}

/// What user space gives each site, so that one program serves all of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cookie {
    /// The probe's number.
    pub probe: u32,
    /// The register that holds the argument, by its number in x86-64 instruction encodings
    /// (rax rcx rdx rbx rsp rbp rsi rdi r8 … r15).
    pub register: u32,
    /// The site's address as the file has it, of 48 bits: tells the load bias. Where every process of some binaries is
    /// watched, the binary's number.
    pub site: u64,
}

impl Cookie {
    /// For a site of `probe` at that address of the file, or of the binary of that number, whose argument is in that
    /// register.
    #[must_use]
    pub const fn new(probe: Probe, register: u8, site: u64) -> Self {
        Self { probe: probe as u32, register: register as u32, site: site & SITE }
    }

    /// As the 64 bits that the kernel hands back.
    #[must_use]
    pub const fn to_bits(self) -> u64 {
        self.site << 16 | (self.register as u64) << 8 | self.probe as u64
    }

    /// From the 64 bits that the kernel hands back.
    #[must_use]
    pub const fn from_bits(bits: u64) -> Self {
        Self { probe: bits as u8 as u32, register: (bits >> 8) as u8 as u32, site: bits >> 16 }
    }
}

/// User addresses have 47 bits (Documentation/arch/x86/x86_64/mm.rst).
const SITE: u64 = (1 << 48) - 1;

#[cfg(test)]
mod tests {
    use super::Cookie;
    use crate::wire::Probe;

    #[test]
    fn a_cookie_survives_the_way_through_the_kernel() {
        let cookie = Cookie::new(Probe::GoExit, 12, 0x7fff_dead_beef);
        assert_eq!(Cookie::from_bits(cookie.to_bits()), cookie);
    }
}
