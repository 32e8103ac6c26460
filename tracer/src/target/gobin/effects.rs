//! What a function does with variables at fixed addresses. Its instructions are gone through once, in the order of
//! their addresses; where paths meet, what a register or a place on the stack holds is known when all of them agree,
//! and nothing is where a loop begins.

mod walk;

use std::collections::{BTreeMap, BTreeSet};

use iced_x86::{FlowControl, InstructionInfoFactory, Register};

use self::walk::Walk;
use super::code::Body;
use super::functions::Function;
use super::{GoBinary, SiteRefusal};
use crate::units::VirtAddr;

/// What a register or a place on the stack holds. The numbers are addresses of variables.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Value {
    /// Something that is not known; one number for each.
    Some(u32),
    /// A variable's address.
    Address(u64),
    /// What is in a variable.
    Of(u64),
    /// The same in MiB, of bytes: shifted right by 20.
    Mebi(u64),
    /// What is in the first less what is in the second.
    Difference(u64, u64),
    /// What is in both, together.
    Sum(u64, u64),
    /// What is in the first, times a difference.
    Times(u64, (u64, u64)),
}

/// One thing that is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Effect {
    /// A function is called with these first three arguments, by the instruction at `at`.
    Call { at: u64, callee: u64, arguments: [Value; 3] },
    /// A variable is set.
    Set(u64, Value),
    /// The same, atomically.
    Store(u64, Value),
    /// A variable is added to.
    Add(u64, Value),
    /// A variable is compared with a constant.
    Compare(u64),
    /// A floating-point number is multiplied with a variable.
    Multiply(u64),
    /// The difference of two variables is taken.
    Subtract(u64, u64),
    /// Something is put on the stack.
    Keep(u64, Value),
}

/// What the function does, in the order of its instructions; `receiver` is what its first argument points to, where
/// that is always the same.
pub(super) fn effects(
    binary: &GoBinary,
    function: &Function,
    receiver: Option<u64>,
) -> Result<Vec<Effect>, SiteRefusal> {
    let size = function.end.0.saturating_sub(function.entry.0);
    if size > LARGEST {
        return Err(SiteRefusal::Size(size));
    }
    let body = Body::decode(binary, function)?;
    let mut known = Known::new();
    if let Some(receiver) = receiver {
        known.insert(Holder::Register(Register::RAX), Value::Address(receiver));
    }
    let mut walk = Walk::new(binary, known);
    // Where the stack was grown it goes back to the beginning, with the arguments as they were.
    let back = body.branches().filter(|(from, target)| target <= from && *target != function.entry.0);
    let mut unknown: BTreeSet<u64> = back.map(|(_, target)| target).collect();
    let mut meetings: BTreeMap<u64, Known> = BTreeMap::new();
    let mut info = InstructionInfoFactory::new();
    let mut goes_on = true;
    for instruction in &body.instructions {
        let come = meetings.remove(&instruction.ip());
        if unknown.contains(&instruction.ip()) {
            walk.known.clear();
        } else if let Some(come) = come {
            if goes_on {
                agree(&mut walk.known, &come);
            } else {
                walk.known = come;
            }
        }
        walk.step(instruction, &mut info);
        let flow = instruction.flow_control();
        match flow {
            FlowControl::ConditionalBranch | FlowControl::UnconditionalBranch => {
                let target = instruction.near_branch_target();
                if let Some(meeting) = meetings.get_mut(&target) {
                    agree(meeting, &walk.known);
                } else if target > instruction.ip() && meetings.len() < MOST_MEETINGS {
                    meetings.insert(target, walk.known.clone());
                } else {
                    unknown.insert(target);
                }
            }
            // By a table: where paths meet is not known.
            FlowControl::IndirectBranch => {
                return Err(SiteRefusal::Undecodable(VirtAddr(instruction.ip())));
            }
            _ => {}
        }
        goes_on = matches!(flow, FlowControl::Next | FlowControl::ConditionalBranch | FlowControl::Call);
        if !goes_on {
            walk.known.clear();
        }
    }
    Ok(walk.done)
}

/// The runtime's functions are smaller.
const LARGEST: u64 = 1 << 16;

/// So many places that paths lead to are remembered at a time, and what so many registers and places on the stack
/// hold: more than the runtime's functions have.
const MOST_MEETINGS: usize = 256;
const MOST_KNOWN: usize = 256;

/// What holds a value.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Holder {
    Register(Register),
    /// So far above the stack pointer.
    Stack(u64),
}

type Known = BTreeMap<Holder, Value>;

/// Keeps what both say.
fn agree(known: &mut Known, other: &Known) {
    known.retain(|holder, value| other.get(holder) == Some(value));
}
