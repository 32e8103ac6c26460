//! The BPF object that the build embedded.

/// The object's bytes, or none when gotrace was built without a BPF toolchain.
#[must_use]
pub fn embedded() -> Option<&'static [u8]> {
    #[cfg(bpf_object)]
    {
        Some(aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/tracer-ebpf")))
    }
    #[cfg(not(bpf_object))]
    {
        None
    }
}
