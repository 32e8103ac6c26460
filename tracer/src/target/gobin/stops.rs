//! Where in the runtime's code to see that the world is stopped, or started again.

use iced_x86::{FlowControl, Instruction, Mnemonic, OpKind};
use tracer_ebpf::wire::gc::ASSIST_SLACK;

use super::code::Body;
use super::effects::{Effect, Value, effects};
use super::functions::Function;
use super::{GoBinary, Site, SiteKind, SiteRefusal};
use crate::units::VirtAddr;

/// A place where a function is called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallSite {
    /// The call: the kernel emulates it.
    pub site: Site,
    /// The variable whose address is the first argument, when it is one.
    pub receiver: Option<VirtAddr>,
}

impl GoBinary {
    /// Where `caller` calls the function of that name, in the order of the code.
    ///
    /// # Errors
    /// When there is no such call, or one of them is not proven to be safe.
    pub fn site_of_calls(&self, caller: &Function, callee: &str) -> Result<Vec<CallSite>, SiteRefusal> {
        let body = Body::decode(self, caller)?;
        let entry = self.functions().named(callee).map(|function| function.entry.0);
        let mut sites = Vec::new();
        for effect in effects(self, caller, None)? {
            let Effect::Call { at, callee, arguments: [receiver, ..] } = effect else { continue };
            let index = body.instructions.binary_search_by_key(&at, Instruction::ip);
            let (Ok(index), true) = (index, Some(callee) == entry) else { continue };
            let receiver = match receiver {
                Value::Address(address) => Some(VirtAddr(address)),
                _ => None,
            };
            sites.push(CallSite { site: self.prove(&body, index, SiteKind::Call, None)?, receiver });
        }
        if sites.is_empty() { Err(SiteRefusal::Pattern("call of the function")) } else { Ok(sites) }
    }

    /// Where `runtime.stopTheWorldWithSema` has waited for every P, and makes sure that all have stopped: the branch
    /// behind its last comparison of `sched.stopwait`, which is at that address, with 0.
    ///
    /// # Errors
    /// When the code does not look so.
    pub fn world_stopped_site(&self, function: &Function, stopwait: VirtAddr) -> Result<Site, SiteRefusal> {
        let body = Body::decode(self, function)?;
        let compares = |instruction: &Instruction| {
            instruction.mnemonic() == Mnemonic::Cmp
                && instruction.is_ip_rel_memory_operand()
                && instruction.ip_rel_memory_address() == stopwait.0
                && instruction.op1_kind() == OpKind::Immediate8to32
                && instruction.immediate8to32() == 0
        };
        let compared = body.instructions.iter().rposition(compares);
        let behind = compared.map(|compared| body.instructions.iter().enumerate().skip(compared + 1));
        // The linker's padding may be between them.
        let branch =
            behind.into_iter().flatten().find(|(_, instruction)| instruction.mnemonic() != Mnemonic::Nop);
        match branch {
            Some((index, branch)) if branch.flow_control() == FlowControl::ConditionalBranch => {
                self.prove(&body, index, SiteKind::Stopped, None)
            }
            _ => Err(SiteRefusal::Pattern("branch on whether every P has stopped")),
        }
    }

    /// Where `runtime.gcAssistAlloc1` has helped with marking, and looks whether that took long enough to be added to
    /// `gcController.assistTime`, which is at that address: the branch on the time in the register that the site names,
    /// which is added as it is where the branch falls through.
    ///
    /// # Errors
    /// When the code does not look so.
    pub fn assisted_site(&self, function: &Function, assist_time: VirtAddr) -> Result<Site, SiteRefusal> {
        let pattern = || SiteRefusal::Pattern("branch on how long it has assisted");
        let body = Body::decode(self, function)?;
        let code = &body.instructions;
        let adds = |at: usize| {
            let (address, add) = (code.get(at.checked_sub(1)?)?, code.get(at)?);
            let is_added = address.mnemonic() == Mnemonic::Lea
                && address.is_ip_rel_memory_operand()
                && address.ip_rel_memory_address() == assist_time.0
                && add.mnemonic() == Mnemonic::Xadd
                && add.has_lock_prefix()
                && add.memory_base() == address.op0_register()
                && add.memory_displacement64() == 0;
            is_added.then(|| add.op1_register())
        };
        let (added, register) = (0..code.len()).find_map(|at| Some((at, adds(at)?))).ok_or_else(pattern)?;
        let compares = |instruction: &Instruction| {
            instruction.mnemonic() == Mnemonic::Cmp
                && instruction.op0_register() == register
                && instruction.op1_kind() == OpKind::Immediate32to64
                && instruction.immediate32to64().cast_unsigned() == ASSIST_SLACK
        };
        // Between the branch and the addition is nothing but what the line numbers need, and the variable's address.
        let branch = code.get(..added - 1).and_then(|before| {
            before.iter().rposition(|instruction| instruction.mnemonic() != Mnemonic::Nop)
        });
        let branch = branch.filter(|branch| {
            let compared = branch.checked_sub(1).and_then(|before| code.get(before));
            code.get(*branch).is_some_and(|jump| jump.mnemonic() == Mnemonic::Jle)
                && compared.is_some_and(compares)
        });
        let number = u8::try_from(register.number()).ok();
        self.prove(&body, branch.ok_or_else(pattern)?, SiteKind::Assisted, number)
    }
}
