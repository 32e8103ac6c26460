//! Memory, read only.

use aya_ebpf::helpers::generated::{bpf_probe_read_kernel, bpf_probe_read_user};

/// A value of the target's memory; none when its page is not there.
#[inline(always)]
pub(super) fn read<T: Copy>(address: u64) -> Option<T> {
    let mut value = core::mem::MaybeUninit::<T>::uninit();
    // SAFETY: the helper checks the address, and fills the buffer or says that it did not.
    let result =
        unsafe { bpf_probe_read_user(value.as_mut_ptr().cast(), size_of::<T>() as u32, address as *const _) };
    // SAFETY: filled; every `T` here is made of integers.
    (result == 0).then(|| unsafe { value.assume_init() })
}

/// A value of the kernel's memory; none when it cannot be read.
#[inline(always)]
pub(super) fn read_kernel<T: Copy>(address: u64) -> Option<T> {
    let mut value = core::mem::MaybeUninit::<T>::uninit();
    // SAFETY: as above.
    let result = unsafe {
        bpf_probe_read_kernel(value.as_mut_ptr().cast(), size_of::<T>() as u32, address as *const _)
    };
    // SAFETY: as above.
    (result == 0).then(|| unsafe { value.assume_init() })
}
