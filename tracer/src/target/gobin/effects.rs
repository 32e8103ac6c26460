//! What a function does with variables at fixed addresses. Its instructions are gone through once, in the order of
//! their addresses; where paths meet, what a register or a place on the stack holds is known when all of them agree,
//! and nothing is where a loop begins.

use std::collections::{BTreeMap, BTreeSet};

use iced_x86::{FlowControl, Instruction, InstructionInfoFactory, Mnemonic, OpAccess, OpKind, Register};

use super::code::Body;
use super::functions::Function;
use super::{GoBinary, SiteRefusal};

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

/// The registers of the first arguments (cmd/compile/abi-internal.md).
const ARGUMENTS: [Register; 3] = [Register::RAX, Register::RBX, Register::RCX];

/// On the stack, what is below that was handed to functions in assembly, which leave their results there.
const HANDED_OVER: u64 = 16;

/// What the function does, in the order of its instructions; `receiver` is what its first argument points to, where
/// that is always the same.
pub(super) fn effects(
    binary: &GoBinary,
    function: &Function,
    receiver: Option<u64>,
) -> Result<Vec<Effect>, SiteRefusal> {
    let body = Body::decode(binary, function)?;
    let mut walk = Walk { binary, known: Known::new(), last: 0, done: Vec::new() };
    if let Some(receiver) = receiver {
        walk.known.insert(Holder::Register(Register::RAX), Value::Address(receiver));
    }
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
        if matches!(flow, FlowControl::ConditionalBranch | FlowControl::UnconditionalBranch) {
            let target = instruction.near_branch_target();
            if let Some(meeting) = meetings.get_mut(&target) {
                agree(meeting, &walk.known);
            } else if meetings.len() < MOST_MEETINGS {
                meetings.insert(target, walk.known.clone());
            } else {
                unknown.insert(target);
            }
        }
        goes_on = matches!(flow, FlowControl::Next | FlowControl::ConditionalBranch | FlowControl::Call);
        if !goes_on {
            walk.known.clear();
        }
    }
    Ok(walk.done)
}

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

fn register(register: Register) -> Holder {
    Holder::Register(register.full_register())
}

/// Keeps what both say.
fn agree(known: &mut Known, other: &Known) {
    known.retain(|holder, value| other.get(holder) == Some(value));
}

struct Walk<'a> {
    binary: &'a GoBinary,
    known: Known,
    last: u32,
    done: Vec<Effect>,
}

/// What an instruction's operand in memory is.
#[derive(Clone, Copy)]
enum Place {
    /// At a fixed address.
    Variable(u64),
    /// So far above the stack pointer.
    Stack(u64),
    Elsewhere,
}

impl Walk<'_> {
    fn some(&mut self) -> Value {
        self.last = self.last.wrapping_add(1);
        Value::Some(self.last)
    }

    /// What is held there, which has a number from now on when it is not known.
    fn held(&mut self, holder: Holder) -> Value {
        if let Some(known) = self.known.get(&holder) {
            return *known;
        }
        let some = self.some();
        self.hold(holder, some);
        some
    }

    fn hold(&mut self, holder: Holder, value: Value) {
        if self.known.len() < MOST_KNOWN || self.known.contains_key(&holder) {
            self.known.insert(holder, value);
        }
    }

    fn place(&mut self, instruction: &Instruction) -> Place {
        if instruction.is_ip_rel_memory_operand() {
            return Place::Variable(instruction.ip_rel_memory_address());
        }
        let (base, displacement) = (instruction.memory_base(), instruction.memory_displacement64());
        if instruction.memory_index() != Register::None || instruction.segment_prefix() != Register::None {
            return Place::Elsewhere;
        }
        match base {
            Register::RSP => Place::Stack(displacement),
            Register::None => Place::Elsewhere,
            base => match self.known.get(&Holder::Register(base)) {
                Some(Value::Address(address)) => Place::Variable(address.wrapping_add(displacement)),
                _ => Place::Elsewhere,
            },
        }
    }

    fn operand(&mut self, instruction: &Instruction, operand: u32) -> Value {
        match instruction.op_kind(operand) {
            OpKind::Register => self.held(register(instruction.op_register(operand))),
            OpKind::Memory => match self.place(instruction) {
                Place::Variable(address) => Value::Of(address),
                Place::Stack(at) => self.held(Holder::Stack(at)),
                Place::Elsewhere => self.some(),
            },
            _ => self.some(),
        }
    }

    fn put(&mut self, instruction: &Instruction, value: Value) {
        match instruction.op0_kind() {
            OpKind::Register => {
                self.hold(register(instruction.op0_register()), value);
            }
            OpKind::Memory => match self.place(instruction) {
                Place::Variable(address) => self.done.push(match value {
                    Value::Sum(one, other) if one == address => Effect::Add(address, Value::Of(other)),
                    Value::Sum(one, other) if other == address => Effect::Add(address, Value::Of(one)),
                    _ => Effect::Set(address, value),
                }),
                Place::Stack(at) => {
                    self.hold(Holder::Stack(at), value);
                    self.done.push(Effect::Keep(at, value));
                }
                Place::Elsewhere => {}
            },
            _ => {}
        }
    }

    fn step(&mut self, instruction: &Instruction, info: &mut InstructionInfoFactory) {
        let into_register = instruction.op0_kind() == OpKind::Register;
        match instruction.mnemonic() {
            Mnemonic::Mov | Mnemonic::Movsxd | Mnemonic::Movzx | Mnemonic::Movsx => {
                let value = self.operand(instruction, 1);
                self.put(instruction, value);
            }
            Mnemonic::Lea => {
                let value = match self.place(instruction) {
                    Place::Variable(address) => Value::Address(address),
                    _ => self.some(),
                };
                self.put(instruction, value);
            }
            Mnemonic::Shr if into_register && instruction.op1_kind() == OpKind::Immediate8 => {
                let value = match self.operand(instruction, 0) {
                    Value::Of(address) if instruction.immediate8() == 20 => Value::Mebi(address),
                    _ => self.some(),
                };
                self.put(instruction, value);
            }
            Mnemonic::Add | Mnemonic::Sub | Mnemonic::Imul
                if into_register && instruction.op_count() == 2 =>
            {
                let old = self.operand(instruction, 0);
                let value = match (old, instruction.try_immediate(1)) {
                    (Value::Address(address), Ok(ahead)) if instruction.mnemonic() == Mnemonic::Add => {
                        Value::Address(address.wrapping_add(ahead))
                    }
                    _ => {
                        let operand = self.operand(instruction, 1);
                        self.reckoned(instruction.mnemonic(), old, operand)
                    }
                };
                self.put(instruction, value);
            }
            Mnemonic::Add | Mnemonic::Inc | Mnemonic::Xadd if !into_register => {
                let operand =
                    if instruction.op_count() == 2 { self.operand(instruction, 1) } else { self.some() };
                if let Place::Variable(address) = self.place(instruction) {
                    self.done.push(Effect::Add(address, operand));
                }
                self.overwritten(instruction, info);
            }
            Mnemonic::Xchg if !into_register => {
                let operand = self.operand(instruction, 1);
                if let Place::Variable(address) = self.place(instruction) {
                    self.done.push(Effect::Store(address, operand));
                }
                self.overwritten(instruction, info);
            }
            Mnemonic::Cmp if !into_register => {
                if let Place::Variable(address) = self.place(instruction) {
                    self.done.push(Effect::Compare(address));
                }
            }
            Mnemonic::Mulsd => {
                if let Place::Variable(address) = self.place(instruction) {
                    self.done.push(Effect::Multiply(address));
                }
            }
            Mnemonic::Call => self.call(instruction),
            _ => {
                let access = info.info(instruction).op0_access();
                let sets = matches!(access, OpAccess::Write | OpAccess::ReadWrite);
                if sets
                    && instruction.op0_kind() == OpKind::Memory
                    && let Place::Variable(address) = self.place(instruction)
                {
                    let some = self.some();
                    self.done.push(Effect::Set(address, some));
                }
                self.overwritten(instruction, info);
            }
        }
    }

    fn reckoned(&mut self, mnemonic: Mnemonic, old: Value, operand: Value) -> Value {
        match (mnemonic, old, operand) {
            (Mnemonic::Sub, Value::Of(from), Value::Of(taken)) => {
                self.done.push(Effect::Subtract(from, taken));
                Value::Difference(from, taken)
            }
            (Mnemonic::Add, Value::Of(one), Value::Of(other)) => Value::Sum(one.min(other), one.max(other)),
            (Mnemonic::Imul, Value::Of(factor), Value::Difference(from, taken))
            | (Mnemonic::Imul, Value::Difference(from, taken), Value::Of(factor)) => {
                Value::Times(factor, (from, taken))
            }
            _ => self.some(),
        }
    }

    /// Whatever else the instruction writes is not known any more.
    fn overwritten(&mut self, instruction: &Instruction, info: &mut InstructionInfoFactory) {
        for used in info.info(instruction).used_registers() {
            if !matches!(used.access(), OpAccess::Read | OpAccess::CondRead | OpAccess::NoMemAccess) {
                self.known.remove(&register(used.register()));
            }
        }
        if instruction.op_count() > 0
            && instruction.op0_kind() == OpKind::Memory
            && let Place::Stack(at) = self.place(instruction)
        {
            self.known.remove(&Holder::Stack(at));
            self.known.remove(&Holder::Stack(at.wrapping_add(8)));
        }
    }

    fn call(&mut self, instruction: &Instruction) {
        let arguments = ARGUMENTS.map(|argument| self.held(Holder::Register(argument)));
        let (at, callee) = (instruction.ip(), instruction.near_branch_target());
        let atomic = match arguments[0] {
            Value::Address(address) => self.atomic(callee).map(|method| (method, address)),
            _ => None,
        };
        self.known.retain(|holder, _| matches!(holder, Holder::Stack(HANDED_OVER..)));
        match atomic {
            Some((Atomic::Load, address)) => {
                self.hold(Holder::Register(Register::RAX), Value::Of(address));
            }
            Some((Atomic::Store, address)) => self.done.push(Effect::Store(address, arguments[1])),
            Some((Atomic::Add, address)) => self.done.push(Effect::Add(address, arguments[1])),
            None => self.done.push(Effect::Call { at, callee, arguments }),
        }
    }

    /// Without inlining (`-gcflags=all=-l`) the methods of the atomic types are called.
    fn atomic(&self, callee: u64) -> Option<Atomic> {
        let function = self.binary.functions().containing(crate::units::VirtAddr(callee))?;
        let (package, method) = function.name.rsplit_once("atomic.(*")?;
        let (_, method) = method.split_once(").")?;
        match method {
            _ if !package.contains("runtime/") => None,
            "Load" => Some(Atomic::Load),
            "Store" => Some(Atomic::Store),
            "Add" => Some(Atomic::Add),
            _ => None,
        }
    }
}

#[derive(Clone, Copy)]
enum Atomic {
    Load,
    Store,
    Add,
}
