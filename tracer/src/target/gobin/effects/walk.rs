//! What single instructions do with registers, with the stack and with variables.

use iced_x86::{Instruction, InstructionInfoFactory, Mnemonic, OpAccess, OpKind, Register};

use super::super::GoBinary;
use super::{Effect, Holder, Known, MOST_KNOWN, Value};
use crate::units::VirtAddr;

/// The registers of the first arguments (cmd/compile/abi-internal.md).
const ARGUMENTS: [Register; 3] = [Register::RAX, Register::RBX, Register::RCX];

/// On the stack, what is below that was handed to functions in assembly, which leave their results there.
const HANDED_OVER: u64 = 16;

fn register(register: Register) -> Holder {
    Holder::Register(register.full_register())
}

/// The walk over a function's instructions.
pub(super) struct Walk<'a> {
    binary: &'a GoBinary,
    /// What is held where.
    pub(super) known: Known,
    /// The last number that was given to something that is not known.
    last: u32,
    /// What was done so far.
    pub(super) done: Vec<Effect>,
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

impl<'a> Walk<'a> {
    pub(super) fn new(binary: &'a GoBinary, known: Known) -> Self {
        Self { binary, known, last: 0, done: Vec::new() }
    }

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

    /// The next instruction.
    pub(super) fn step(&mut self, instruction: &Instruction, info: &mut InstructionInfoFactory) {
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
        let function = self.binary.functions().containing(VirtAddr(callee))?;
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
