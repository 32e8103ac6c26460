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
}

/// What user space gives each site, so that one program serves all of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cookie {
    /// The probe's number.
    pub probe: u32,
    /// The register that holds the argument, by its number in x86-64 instruction encodings
    /// (rax rcx rdx rbx rsp rbp rsi rdi r8 … r15).
    pub register: u32,
}

impl Cookie {
    /// For a site of `probe` whose argument is in that register.
    #[must_use]
    pub const fn new(probe: Probe, register: u8) -> Self {
        Self { probe: probe as u32, register: register as u32 }
    }

    /// As the 64 bits that the kernel hands back.
    #[must_use]
    pub const fn to_bits(self) -> u64 {
        (self.register as u64) << 32 | self.probe as u64
    }

    /// From the 64 bits that the kernel hands back.
    #[must_use]
    pub const fn from_bits(bits: u64) -> Self {
        Self { probe: bits as u32, register: (bits >> 32) as u32 }
    }
}

#[cfg(test)]
mod tests {
    use super::Cookie;
    use crate::wire::Probe;

    #[test]
    fn a_cookie_survives_the_way_through_the_kernel() {
        let cookie = Cookie::new(Probe::Init, 12);
        assert_eq!(Cookie::from_bits(cookie.to_bits()), cookie);
    }
}
