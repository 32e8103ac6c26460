//! What a function does with variables at fixed addresses. Its instructions are gone through in the order of their
//! addresses; what a register or a place on the stack holds is known from where it was filled until paths meet.

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
    // The one at the beginning comes from where the stack was grown, with the arguments as they were.
    let meetings: BTreeSet<u64> =
        body.branches().map(|(_, target)| target).filter(|target| *target != function.entry.0).collect();
    let mut walk =
        Walk { binary, registers: BTreeMap::new(), stack: BTreeMap::new(), last: 0, done: Vec::new() };
    if let Some(receiver) = receiver {
        walk.registers.insert(Register::RAX, Value::Address(receiver));
    }
    let mut info = InstructionInfoFactory::new();
    for instruction in &body.instructions {
        if meetings.contains(&instruction.ip()) {
            walk.forget();
        }
        walk.step(instruction, &mut info);
        if matches!(instruction.flow_control(), FlowControl::UnconditionalBranch | FlowControl::Return) {
            walk.forget();
        }
    }
    Ok(walk.done)
}

struct Walk<'a> {
    binary: &'a GoBinary,
    registers: BTreeMap<Register, Value>,
    stack: BTreeMap<u64, Value>,
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
    fn forget(&mut self) {
        self.registers.clear();
        self.stack.clear();
    }

    fn some(&mut self) -> Value {
        self.last = self.last.wrapping_add(1);
        Value::Some(self.last)
    }

    fn register(&mut self, register: Register) -> Value {
        let register = register.full_register();
        if let Some(known) = self.registers.get(&register) {
            return *known;
        }
        let some = self.some();
        self.registers.insert(register, some);
        some
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
            base => match self.registers.get(&base) {
                Some(Value::Address(address)) => Place::Variable(address.wrapping_add(displacement)),
                _ => Place::Elsewhere,
            },
        }
    }

    fn operand(&mut self, instruction: &Instruction, operand: u32) -> Value {
        match instruction.op_kind(operand) {
            OpKind::Register => self.register(instruction.op_register(operand)),
            OpKind::Memory => match self.place(instruction) {
                Place::Variable(address) => Value::Of(address),
                Place::Stack(at) => {
                    let known = self.stack.get(&at).copied();
                    let value = known.unwrap_or_else(|| self.some());
                    *self.stack.entry(at).or_insert(value)
                }
                Place::Elsewhere => self.some(),
            },
            _ => self.some(),
        }
    }

    fn put(&mut self, instruction: &Instruction, value: Value) {
        match instruction.op0_kind() {
            OpKind::Register => {
                self.registers.insert(instruction.op0_register().full_register(), value);
            }
            OpKind::Memory => match self.place(instruction) {
                Place::Variable(address) => self.done.push(Effect::Set(address, value)),
                Place::Stack(at) => {
                    self.stack.insert(at, value);
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
                let (old, operand) = (self.operand(instruction, 0), self.operand(instruction, 1));
                let value = self.reckoned(instruction.mnemonic(), old, operand);
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
                self.registers.remove(&used.register().full_register());
            }
        }
        if instruction.op_count() > 0
            && instruction.op0_kind() == OpKind::Memory
            && let Place::Stack(at) = self.place(instruction)
        {
            self.stack.remove(&at);
            self.stack.remove(&at.wrapping_add(8));
        }
    }

    fn call(&mut self, instruction: &Instruction) {
        let arguments = ARGUMENTS.map(|register| self.register(register));
        let (at, callee) = (instruction.ip(), instruction.near_branch_target());
        let atomic = match arguments[0] {
            Value::Address(address) => self.atomic(callee).map(|method| (method, address)),
            _ => None,
        };
        self.registers.clear();
        self.stack = self.stack.split_off(&HANDED_OVER);
        match atomic {
            Some((Atomic::Load, address)) => {
                self.registers.insert(Register::RAX, Value::Of(address));
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
