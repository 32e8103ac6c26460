//! What a process becomes.

use tracer_ebpf::wire::process::Exec as Record;

use super::{DecodeError, EventKind, prefix};

pub(super) fn exec(bytes: &[u8]) -> Result<EventKind, DecodeError> {
    let Record { header: _, comm, account } = prefix(bytes)?;
    let length = comm.iter().position(|byte| *byte == 0).unwrap_or(comm.len());
    Ok(EventKind::Exec { comm: String::from_utf8_lossy(&comm[..length]).into_owned(), account })
}

#[cfg(test)]
mod tests {
    use tracer_ebpf::wire::process::COMM_LEN;
    use tracer_ebpf::wire::{Header, Probe};
    use zerocopy::IntoBytes as _;

    use super::super::{Account, decode};
    use super::*;

    #[test]
    fn a_program_name_ends_at_its_zero() {
        let account = Account { on_cpu: 5, ..Account::default() };
        let mut comm = [0; COMM_LEN];
        comm[..4].copy_from_slice(b"true");
        let exec = Record { header: Header { time: 7, probe: Probe::Exec as u32, tid: 9 }, comm, account };
        let event = decode(exec.as_bytes()).unwrap();
        assert_eq!(event.kind, EventKind::Exec { comm: "true".to_owned(), account });
    }
}
