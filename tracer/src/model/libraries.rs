//! What the dynamic linker did: libraries mapped, at the start and, by dlopen, in inits.

use std::collections::HashMap;

use tracer_ebpf::wire::syscall::number;

use super::init::Init;
use super::phases::Step;
use crate::event::{Call, Event, EventKind};
use crate::units::Nanos;

/// A file of which code was mapped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Library {
    /// Its path.
    pub path: String,
    /// The index of the init that loaded it, if one did.
    pub init: Option<usize>,
    /// When it had been opened.
    pub start: Nanos,
    /// From there to the last of its segments' mapping.
    pub duration: Nanos,
    /// How many bytes of addresses it takes.
    pub bytes: u64,
}

/// The libraries that were mapped, in order.
pub(super) fn libraries(events: &[Event], inits: &[Init]) -> Vec<Library> {
    let mut opened: HashMap<u64, Library> = HashMap::new();
    let mut libraries: Vec<(u64, Library)> = Vec::new();
    for (time, call) in calls(events) {
        match call.syscall {
            number::OPENAT | number::OPEN => {
                let (Ok(descriptor), Some(path)) = (u64::try_from(call.result), &call.object) else {
                    continue;
                };
                let path = String::from_utf8_lossy(path).into_owned();
                let init = inits.iter().position(|init| init.contains(time));
                // The descriptor's number may have been another library's.
                libraries.iter_mut().filter(|(of, _)| *of == descriptor).for_each(|(of, _)| *of = u64::MAX);
                opened.insert(descriptor, Library { path, init, start: time, duration: Nanos(0), bytes: 0 });
            }
            number::MMAP if call.result >= 0 || call.result < -4095 => {
                let [_, length, protection, _, descriptor, _] = call.arguments;
                if let Some(library) = opened.get_mut(&descriptor) {
                    // The first mapping spans all segments; the others go over parts of it.
                    library.bytes = library.bytes.max(length);
                    if protection & u64::from(libc::PROT_EXEC.cast_unsigned()) != 0
                        && let Some(library) = opened.remove(&descriptor)
                    {
                        libraries.push((descriptor, library));
                    }
                }
                if let Some((_, library)) = libraries.iter_mut().rfind(|(of, _)| *of == descriptor) {
                    library.duration = time.since(library.start);
                }
            }
            _ => {}
        }
    }
    libraries.into_iter().map(|(_, library)| library).collect()
}

/// What the dynamic linker did before the first Go instruction: it maps all libraries, then relocates each and
/// protects what it relocated (glibc's elf/rtld.c, `_dl_relocate_object`).
pub(super) fn linking(events: &[Event], exec: Nanos, go_entry: Option<Nanos>) -> Vec<Step> {
    let Some(go_entry) = go_entry else { return Vec::new() };
    let before = |(time, _): &(Nanos, &Call)| *time < go_entry;
    let last = |syscall| {
        calls(events)
            .take_while(before)
            .filter(|(_, call)| call.syscall == syscall)
            .last()
            .map(|(time, _)| time)
    };
    let Some(mapped) = last(number::MMAP) else { return Vec::new() };
    let mut steps = vec![Step { name: "map_libraries", start: exec, duration: mapped.since(exec) }];
    if let Some(protected) = last(number::MPROTECT).filter(|protected| *protected > mapped) {
        steps.push(Step { name: "relocate", start: mapped, duration: protected.since(mapped) });
    }
    steps
}

fn calls(events: &[Event]) -> impl Iterator<Item = (Nanos, &Call)> {
    events.iter().filter_map(|event| match &event.kind {
        EventKind::Call(call) => Some((event.time, &**call)),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(time: u64, syscall: u64, result: i64, arguments: [u64; 6], path: &str) -> Event {
        let object = Some(path.as_bytes().to_vec());
        let kind = EventKind::Call(Box::new(Call { syscall, result, arguments, object }));
        Event { time: Nanos(time), tid: 1, kind }
    }

    fn map(time: u64, length: u64, protection: u64, descriptor: u64) -> Event {
        call(time, number::MMAP, 0x7f00_0000, [0, length, protection, 2, descriptor, 0], "")
    }

    #[test]
    fn a_file_whose_code_is_mapped_is_a_library() {
        let events = [
            call(10, number::OPENAT, 3, [0; 6], "/etc/ld.so.cache"),
            map(11, 100, 1, 3),
            call(20, number::OPENAT, 3, [0; 6], "/lib/libc.so.6"),
            map(21, 5000, 1, 3),
            map(25, 3000, 5, 3),
            map(27, 100, 3, 3),
            call(30, number::OPENAT, -2, [0; 6], "/lib/none.so"),
            call(40, number::MPROTECT, 0, [0; 6], ""),
        ];
        let found = libraries(&events, &[]);
        let libc = Library {
            path: "/lib/libc.so.6".to_owned(),
            init: None,
            start: Nanos(20),
            duration: Nanos(7),
            bytes: 5000,
        };
        assert_eq!(found, [libc]);
        let steps = linking(&events, Nanos(5), Some(Nanos(50)));
        let told: Vec<_> = steps.iter().map(|step| (step.name, step.start.0, step.duration.0)).collect();
        assert_eq!(told, [("map_libraries", 5, 22), ("relocate", 27, 13)]);
    }
}
