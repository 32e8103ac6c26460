//! Where in a function to put a probe: on an instruction that is proven to begin there, and that the kernel
//! emulates where that can be had.

use iced_x86::{
    FastFormatter, FlowControl, Instruction, InstructionInfoFactory, Mnemonic, OpAccess, OpKind, Register,
};
use schemars::JsonSchema;
use serde::Serialize;
use thiserror::Error;

use super::code::Body;
use super::functions::Function;
use super::{GoBinary, Machine};
use crate::units::{FileOffset, VirtAddr};

/// A prologue is shorter than this many instructions.
const PROLOGUE: usize = 12;

/// So many instructions without a branch take no time that matters.
const STRAIGHT_LINE: usize = 16;

/// More than the functions that share a name.
const MOST_NAMESAKES: usize = 8;

/// Where a `gobuf` keeps the goroutine (runtime/runtime2.go).
const GOBUF_G: u64 = 16;

/// A place for a probe.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Site {
    /// The instruction's address.
    pub address: VirtAddr,
    /// Where the file keeps it.
    pub file_offset: FileOffset,
    /// Its bytes.
    pub bytes: Vec<u8>,
    /// As an assembler writes it, for people.
    pub instruction: String,
    /// Which of the function's places it is.
    pub kind: SiteKind,
    /// The register that holds the wanted argument, by its number in instruction encodings.
    pub register: Option<u8>,
    /// Whether the kernel emulates the instruction. Others are single-stepped, at several times the cost.
    pub emulated: bool,
}

/// Which of a function's places a site is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum SiteKind {
    /// The `push %rbp` behind the stack check: once a call, arguments still in their registers.
    FramePush,
    /// The instruction behind the stack check.
    AfterStackCheck,
    /// The first instruction.
    Entry,
    /// Behind some of the function's own instructions, in a straight line.
    AfterEntry,
    /// Behind a call of another function.
    AfterCall,
    /// `gogo`'s jump to what switches to a goroutine.
    Switch,
    /// `doInit`'s branch on whether the task has functions (Go <= 1.20).
    InitReady,
    /// A call of another function, before it is made: the arguments are in their registers.
    Call,
    /// `stopTheWorldWithSema`'s branch on whether every P has stopped.
    Stopped,
    /// `gcAssistAlloc1`'s branch on how long it has assisted.
    Assisted,
}

/// Why a function offers no site.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum SiteRefusal {
    /// Only x86-64 code is decoded.
    #[error("sites are chosen in x86-64 code only, not in {0}'s")]
    Machine(Machine),
    /// No function is that long, or that short.
    #[error("its size of {0} bytes is not believable")]
    Size(u64),
    /// The address is outside the program's code.
    #[error("it lies outside the program's code")]
    NotCode,
    /// The decoder lost the track.
    #[error("its code cannot be decoded at {0:#x}")]
    Undecodable(VirtAddr),
    /// Some branch ends inside the instruction, so it does not always begin where it seems to.
    #[error("a branch goes into the middle of the instruction at {0:#x}")]
    Overlapped(VirtAddr),
    /// The site would be passed more often than once a call.
    #[error("the instruction at {0:#x} is the target of a loop")]
    Loop(VirtAddr),
    /// The address is inside of an instruction, or in the padding behind the last.
    #[error("no instruction begins at {0:#x}")]
    Within(VirtAddr),
    /// A breakpoint is in the file itself.
    #[error("there is a breakpoint at {0:#x} already")]
    Breakpoint(VirtAddr),
    /// The kernel refuses to probe such an instruction.
    #[error("the kernel cannot probe the instruction at {0:#x}")]
    Unprobeable(VirtAddr),
    /// The code does not look as it does in the versions that are known.
    #[error("its code has no {0}")]
    Pattern(&'static str),
}

impl GoBinary {
    /// Where to see that the function was called.
    ///
    /// # Errors
    /// When no place is proven to be safe.
    pub fn site(&self, function: &Function) -> Result<Site, SiteRefusal> {
        let body = Body::decode(self, function)?;
        let (index, kind) = entered(&body);
        self.prove(&body, index, kind, Some(0))
    }

    /// As [`Self::site`], and where the kernel would have to single-step that instruction, the first behind it in a straight
    /// line that it emulates, if the register still holds there what it did when the function was called.
    ///
    /// # Errors
    /// When no place is proven to be safe.
    pub fn emulated_site(&self, function: &Function, register: Option<u8>) -> Result<Site, SiteRefusal> {
        let body = Body::decode(self, function)?;
        let (entered, kind) = entered(&body);
        let mut info = InstructionInfoFactory::new();
        for (index, instruction) in body.instructions.iter().enumerate().skip(entered).take(STRAIGHT_LINE) {
            if is_emulated(body.bytes_of(instruction)) {
                let kind = if index == entered { kind } else { SiteKind::AfterEntry };
                return self.prove(&body, index, kind, register);
            }
            let is_lost = register.is_some_and(|register| changes(instruction, register, &mut info));
            if is_lost || instruction.flow_control() != FlowControl::Next {
                break;
            }
        }
        self.prove(&body, entered, kind, register)
    }

    /// Where to see that `caller` calls the function of that name: the call, which the kernel emulates. There must be exactly
    /// one.
    ///
    /// # Errors
    /// When there is no such call, or it is not proven to be safe.
    pub fn site_before_call(&self, caller: &Function, callee: &str) -> Result<Site, SiteRefusal> {
        let body = Body::decode(self, caller)?;
        let call = self.single_call(&body, callee)?;
        self.prove(&body, call, SiteKind::Call, Some(0))
    }

    /// Where to see that `caller` has called the function of that name, and that it has returned. There must
    /// be exactly one such call.
    ///
    /// # Errors
    /// When there is no such call, or no place is proven to be safe.
    pub fn site_after_call(&self, caller: &Function, callee: &str) -> Result<Site, SiteRefusal> {
        let body = Body::decode(self, caller)?;
        let call = self.single_call(&body, callee)?;
        // In a straight line behind it, the first instruction that is cheap to probe.
        let behind = body.instructions.iter().enumerate().skip(call + 1).take(STRAIGHT_LINE);
        let mut first = None;
        for (index, instruction) in behind {
            first.get_or_insert(index);
            if is_emulated(body.bytes_of(instruction)) {
                return self.prove(&body, index, SiteKind::AfterCall, None);
            }
            if instruction.flow_control() != FlowControl::Next {
                break;
            }
        }
        let first = first.ok_or(SiteRefusal::Pattern("code behind the call"))?;
        self.prove(&body, first, SiteKind::AfterCall, None)
    }

    /// The one instruction that calls the function of that name.
    fn single_call(&self, body: &Body, callee: &str) -> Result<usize, SiteRefusal> {
        // A function and its wrappers.
        let named = self.functions().all_named(callee).take(MOST_NAMESAKES);
        let entries: Vec<u64> = named.map(|function| function.entry.0).collect();
        let is_call = |instruction: &Instruction| {
            instruction.flow_control() == FlowControl::Call
                && entries.contains(&instruction.near_branch_target())
        };
        let mut calls = body.instructions.iter().enumerate().filter(|(_, instruction)| is_call(instruction));
        match (calls.next(), calls.next()) {
            (Some((call, _)), None) => Ok(call),
            _ => Err(SiteRefusal::Pattern("single call of the function")),
        }
    }

    /// Up to Go 1.20: where `runtime.doInit` has run a task's dependencies and asks whether the task itself has
    /// anything to run. It is passed once a task, and the register that it names holds the task.
    ///
    /// # Errors
    /// When the code does not have that one place.
    pub fn init_ready_site(&self, function: &Function) -> Result<Site, SiteRefusal> {
        let body = Body::decode(self, function)?;
        let mut found = body.instructions.windows(3).enumerate().filter_map(|(index, window)| {
            let [first, second, third] = window else { return None };
            if second.flow_control() == FlowControl::ConditionalBranch
                && let Some(task) = compared_with_zero(first)
            {
                return Some((index + 1, task));
            }
            if third.flow_control() == FlowControl::ConditionalBranch
                && let Some(task) = loaded_and_tested(first, second)
            {
                return Some((index + 2, task));
            }
            None
        });
        let (Some((index, task)), None) = (found.next(), found.next()) else {
            return Err(SiteRefusal::Pattern("single test of whether a task has functions"));
        };
        let register = u8::try_from(task.number()).ok();
        self.prove(&body, index, SiteKind::InitReady, register)
    }

    /// Where `runtime.gogo` has loaded the goroutine that it switches to, and jumps to do so: the register that it
    /// names holds its `g` (runtime/asm_amd64.s).
    ///
    /// # Errors
    /// When the code does not look so.
    pub fn switch_site(&self, function: &Function) -> Result<Site, SiteRefusal> {
        let body = Body::decode(self, function)?;
        let index = body.instructions.windows(3).position(|window| {
            let [load, check, jump] = window else { return false };
            // `gobuf.g` into RDX, which is then read from: it must not be nil.
            load.mnemonic() == Mnemonic::Mov
                && load.op0_register() == Register::RDX
                && load.memory_displacement64() == GOBUF_G
                && check.mnemonic() == Mnemonic::Mov
                && check.op0_register() != Register::RDX
                && check.memory_base() == Register::RDX
                && jump.flow_control() == FlowControl::UnconditionalBranch
        });
        let index = index.ok_or(SiteRefusal::Pattern("jump behind the load of a goroutine"))?;
        let register = u8::try_from(Register::RDX.number()).ok();
        self.prove(&body, index + 2, SiteKind::Switch, register)
    }

    /// The name of the function of which an instruction begins there.
    ///
    /// # Errors
    /// When that is not proven.
    pub fn function_with_instruction(&self, at: VirtAddr) -> Result<String, SiteRefusal> {
        let function = self.functions().containing(at).ok_or(SiteRefusal::NotCode)?;
        let body = Body::decode(self, &function)?;
        let begins = body.instructions.iter().any(|instruction| instruction.ip() == at.0);
        if begins { Ok(function.name) } else { Err(SiteRefusal::Within(at)) }
    }

    /// A probe replaces the instruction's first byte: it must be one that always begins there, that the
    /// kernel can probe, and that no loop comes back to.
    pub(super) fn prove(
        &self,
        body: &Body,
        index: usize,
        kind: SiteKind,
        register: Option<u8>,
    ) -> Result<Site, SiteRefusal> {
        let instruction = body.instructions.get(index).ok_or(SiteRefusal::Pattern("instruction to probe"))?;
        let address = VirtAddr(instruction.ip());
        for (from, target) in body.branches() {
            if instruction.ip() < target && target < instruction.next_ip() {
                return Err(SiteRefusal::Overlapped(address));
            }
            if target == instruction.ip() && from >= target {
                return Err(SiteRefusal::Loop(address));
            }
        }
        let bytes = body.bytes_of(instruction).to_vec();
        if bytes.first() == Some(&0xcc) {
            return Err(SiteRefusal::Breakpoint(address));
        }
        if !is_probeable(instruction, &bytes) {
            return Err(SiteRefusal::Unprobeable(address));
        }
        let mut text = String::new();
        FastFormatter::new().format(instruction, &mut text);
        Ok(Site {
            address,
            file_offset: self.file_offset(address).ok_or(SiteRefusal::NotCode)?,
            emulated: is_emulated(&bytes),
            bytes,
            instruction: text,
            kind,
            register,
        })
    }
}

/// Which instruction tells that the function was entered.
fn entered(body: &Body) -> (usize, SiteKind) {
    let mut after_check = None;
    for (index, instruction) in body.instructions.iter().enumerate().take(PROLOGUE) {
        if body.bytes_of(instruction) == [0x55] {
            return (index, SiteKind::FramePush);
        }
        match instruction.flow_control() {
            // The stack check leaves for the code at the function's end that grows the stack. Any other branch
            // belongs to the function itself, and what follows is not always reached.
            FlowControl::ConditionalBranch if leaves_for_more_stack(instruction) => {
                after_check = Some(index + 1);
            }
            FlowControl::Next if is_stack_check(instruction) => {}
            _ => break,
        }
    }
    after_check.map_or((0, SiteKind::Entry), |index| (index, SiteKind::AfterStackCheck))
}

/// Whether it writes to the register of that number.
fn changes(instruction: &Instruction, register: u8, info: &mut InstructionInfoFactory) -> bool {
    info.info(instruction).used_registers().iter().any(|used| {
        let full = used.register().full_register();
        full.is_gpr64()
            && full.number() == usize::from(register)
            && !matches!(used.access(), OpAccess::Read | OpAccess::CondRead | OpAccess::NoMemAccess)
    })
}

/// What the compiler puts before the frame is made: it compares RSP, or what it has reckoned from it in a
/// register that holds nothing there (cmd/internal/obj/x86/a.out.go, `REGENTRYTMP0` and `1`). All arguments stay
/// where they are.
fn is_stack_check(instruction: &Instruction) -> bool {
    let changed = instruction.op0_register();
    match instruction.mnemonic() {
        Mnemonic::Nop => true,
        Mnemonic::Cmp => matches!(changed, Register::RSP | Register::R12 | Register::R13),
        Mnemonic::Lea | Mnemonic::Mov | Mnemonic::Sub => matches!(changed, Register::R12 | Register::R13),
        _ => false,
    }
}

/// `jbe` behind the comparison, and `jb` where subtracting a huge frame went below zero.
fn leaves_for_more_stack(instruction: &Instruction) -> bool {
    matches!(instruction.mnemonic(), Mnemonic::Jbe | Mnemonic::Jb)
        && instruction.near_branch_target() > instruction.ip()
}

/// `cmp qword ptr [task + 16], 0`: 16 is where `initTask.nfns` is (runtime/proc.go, Go 1.19).
fn compared_with_zero(instruction: &Instruction) -> Option<Register> {
    let is_zero = instruction.mnemonic() == Mnemonic::Cmp
        && instruction.op1_kind() == OpKind::Immediate8to64
        && instruction.immediate8to64() == 0;
    if is_zero { functions_of_task(instruction, 0) } else { None }
}

/// The same in two instructions: `mov reg, [task + 16]; test reg, reg`.
fn loaded_and_tested(load: &Instruction, test: &Instruction) -> Option<Register> {
    let loaded = load.op0_register();
    let is_test = load.mnemonic() == Mnemonic::Mov
        && test.mnemonic() == Mnemonic::Test
        && test.op0_register() == loaded
        && test.op1_register() == loaded;
    // The load must not have destroyed the task's address.
    if is_test { functions_of_task(load, 1).filter(|task| *task != loaded) } else { None }
}

fn functions_of_task(instruction: &Instruction, operand: u32) -> Option<Register> {
    let base = instruction.memory_base();
    let is_field = instruction.op_kind(operand) == OpKind::Memory
        && instruction.memory_displacement64() == 16
        && instruction.memory_index() == Register::None
        && base.is_gpr64()
        && base != Register::RSP;
    is_field.then_some(base)
}

/// What arch/x86/kernel/uprobes.c emulates (`branch_setup_xol_ops`, `push_setup_xol_ops`).
fn is_emulated(bytes: &[u8]) -> bool {
    matches!(
        bytes,
        // nop; push of a register; short jmp and jcc; call and jmp; near jcc
        [0x90 | 0x50..=0x57]
            | [0x41, 0x50..=0x57]
            | [0xeb | 0x70..=0x7f, _]
            | [0xe8 | 0xe9, _, _, _, _]
            | [0x0f, 0x80..=0x8f, _, _, _, _]
    )
}

/// What arch/x86/kernel/uprobes.c refuses: bad prefixes (`is_prefix_bad`), and instructions that enter the
/// kernel or need its privilege (`good_insns_64`, `good_2byte_insns`).
fn is_probeable(instruction: &Instruction, bytes: &[u8]) -> bool {
    let has_bad_prefix = bytes
        .iter()
        .take_while(|byte| matches!(byte, 0x26 | 0x2e | 0x36 | 0x3e | 0x64..=0x67 | 0xf0 | 0xf2 | 0xf3))
        .any(|byte| matches!(byte, 0x26 | 0x2e | 0x36 | 0x3e | 0xf0));
    let is_ordinary = matches!(
        instruction.flow_control(),
        FlowControl::Next
            | FlowControl::Call
            | FlowControl::Return
            | FlowControl::ConditionalBranch
            | FlowControl::UnconditionalBranch
            | FlowControl::IndirectBranch
            | FlowControl::IndirectCall
    );
    let enters_kernel = matches!(
        instruction.mnemonic(),
        Mnemonic::Syscall
            | Mnemonic::Sysenter
            | Mnemonic::Hlt
            | Mnemonic::Cli
            | Mnemonic::Sti
            | Mnemonic::In
            | Mnemonic::Out
    );
    !has_bad_prefix && is_ordinary && !enters_kernel
}
