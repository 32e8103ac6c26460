//! What the main goroutine was made to mark before it could go on allocating.

use tracer_ebpf::wire::Probe;
use tracer_ebpf::wire::gc::ASSIST_SLACK;

use super::image::Image;
use super::init::Init;
use super::parts::Parts;
use super::phases::Phase;
use crate::event::{Event, EventKind};
use crate::units::Nanos;

/// Adds every assist to the phase and the init in which it ended: it is over before the allocation that it is for, so it
/// lies in them whole.
pub(super) fn charge(image: &Image<'_>, phases: &mut [Phase], inits: &mut [Init]) {
    let Some(main_thread) = image.main_thread() else { return };
    let of_phases = phases.iter_mut().filter_map(|phase| phase.parts.as_mut());
    let of_inits = inits.iter_mut().filter_map(|init| init.parts.as_mut());
    of_phases.chain(of_inits).for_each(|parts| parts.assist = Some(Nanos(0)));
    let before_main = image.events.iter().take_while(|event| !event.is_main());
    for event in before_main.filter(|event| event.tid == main_thread) {
        let Some(time) = assisted(event) else { continue };
        let phase = phases.iter_mut().find(|phase| phase.contains(event.time));
        add(phase.and_then(|phase| phase.parts.as_mut()), time);
        let init = inits.iter_mut().find(|init| init.contains(event.time));
        add(init.and_then(|init| init.parts.as_mut()), time);
    }
}

/// What the runtime adds to its sum; it leaves less for the next assist on the same P.
fn assisted(event: &Event) -> Option<Nanos> {
    match &event.kind {
        EventKind::Hit(hit) if hit.probe == Probe::GcAssist && hit.argument > ASSIST_SLACK => {
            Some(Nanos(hit.argument))
        }
        _ => None,
    }
}

fn add(parts: Option<&mut Parts>, time: Nanos) {
    if let Some(sum) = parts.and_then(|parts| parts.assist.as_mut()) {
        *sum = sum.plus(time);
    }
}
