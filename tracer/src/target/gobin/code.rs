//! Machine code, decoded from a function's first byte on: where instructions begin, what they refer to.

use iced_x86::{Code, Decoder, DecoderOptions, FlowControl, Instruction, Mnemonic, OpKind, Register};

use super::functions::Function;
use super::source::u64_at;
use super::version::{GoVersion, VersionSource};
use super::{BinaryError, GoBinary, Machine, SiteRefusal};
use crate::units::VirtAddr;

/// No function of a Go program comes near this size.
const LARGEST: u64 = 1 << 20;

/// A decoded function.
pub(super) struct Body {
    pub(super) bytes: Vec<u8>,
    pub(super) instructions: Vec<Instruction>,
    entry: u64,
}

impl Body {
    /// Decodes all of a function, so that every instruction boundary is known.
    pub(super) fn decode(binary: &GoBinary, function: &Function) -> Result<Self, SiteRefusal> {
        if binary.machine() != Machine::X86_64 {
            return Err(SiteRefusal::Machine(binary.machine()));
        }
        let size = function.end.0.saturating_sub(function.entry.0);
        if size == 0 || size > LARGEST {
            return Err(SiteRefusal::Size(size));
        }
        if binary.file_offset(function.entry).is_none() {
            return Err(SiteRefusal::NotCode);
        }
        let bytes = binary.bytes(function.entry, size).ok_or(SiteRefusal::NotCode)?;
        let mut decoder = Decoder::with_ip(64, &bytes, function.entry.0, DecoderOptions::NONE);
        let mut instructions = Vec::new();
        while decoder.can_decode() {
            let position = decoder.position();
            let instruction = decoder.decode();
            if instruction.code() == Code::INVALID {
                // Behind the last instruction the linker pads, and the padding may end within one.
                if bytes[position..].iter().all(|byte| matches!(byte, 0 | 0xcc)) {
                    break;
                }
                return Err(SiteRefusal::Undecodable(VirtAddr(instruction.ip())));
            }
            instructions.push(instruction);
        }
        Ok(Self { bytes, instructions, entry: function.entry.0 })
    }

    /// The bytes of one instruction.
    pub(super) fn bytes_of(&self, instruction: &Instruction) -> &[u8] {
        let from = usize::try_from(instruction.ip() - self.entry).unwrap_or(usize::MAX);
        self.bytes.get(from..from.saturating_add(instruction.len())).unwrap_or_default()
    }

    /// Where the function's own branches go, each with where it comes from.
    pub(super) fn branches(&self) -> impl Iterator<Item = (u64, u64)> {
        let is_branch = |instruction: &&Instruction| {
            matches!(
                instruction.flow_control(),
                FlowControl::ConditionalBranch | FlowControl::UnconditionalBranch
            )
        };
        self.instructions
            .iter()
            .filter(is_branch)
            .map(|instruction| (instruction.ip(), instruction.near_branch_target()))
    }
}

/// The addresses that a function's code refers to as memory, in the order of its instructions; none when it
/// cannot be decoded.
pub(super) fn references(binary: &GoBinary, function: &str) -> Vec<VirtAddr> {
    let function = binary.functions().named(function);
    let Some(Ok(body)) = function.map(|function| Body::decode(binary, &function)) else { return Vec::new() };
    let refers = |instruction: &&Instruction| instruction.is_ip_rel_memory_operand();
    body.instructions
        .iter()
        .filter(refers)
        .map(|instruction| VirtAddr(instruction.ip_rel_memory_address()))
        .collect()
}

/// The addresses that the roots of the walk before Go 1.21 have: what `runtime.main` hands to `doInit`.
impl GoBinary {
    pub(super) fn init_roots(&self) -> Result<Vec<VirtAddr>, BinaryError> {
        let unknown = |what: &str| self.source.unsupported(format!("its inits cannot be listed: {what}"));
        let main = self.functions().named("runtime.main").ok_or_else(|| unknown("it has no runtime.main"))?;
        let init =
            self.functions().named("runtime.doInit").ok_or_else(|| unknown("it has no runtime.doInit"))?;
        let body = Body::decode(self, &main).map_err(|refusal| unknown(&refusal.to_string()))?;
        let mut roots = Vec::new();
        let mut loaded = None;
        for instruction in &body.instructions {
            if instruction.mnemonic() == Mnemonic::Lea
                && instruction.op0_register() == Register::RAX
                && instruction.is_ip_rel_memory_operand()
            {
                loaded = Some(VirtAddr(instruction.ip_rel_memory_address()));
            } else if instruction.mnemonic() == Mnemonic::Call {
                if instruction.near_branch_target() == init.entry.0 {
                    roots.push(
                        loaded.ok_or_else(|| unknown("runtime.main calls doInit with something unknown"))?,
                    );
                }
                loaded = None;
            }
        }
        if roots.is_empty() { Err(unknown("runtime.main does not call doInit")) } else { Ok(roots) }
    }
}

/// The version from the runtime's own variable, for programs without build information: `runtime.schedinit`
/// refers to it, and it is the only string header there that holds a version.
pub(super) fn build_version(binary: &GoBinary) -> Option<GoVersion> {
    for function in binary.functions().all_named("runtime.schedinit") {
        let Ok(body) = Body::decode(binary, &function) else { continue };
        for instruction in &body.instructions {
            let memory = (0..instruction.op_count()).any(|op| instruction.op_kind(op) == OpKind::Memory);
            if !memory || !instruction.is_ip_rel_memory_operand() {
                continue;
            }
            let target = instruction.ip_rel_memory_address();
            // A string is an address and a length; the code may refer to either.
            let found = [target, target.wrapping_sub(8)].into_iter().find_map(|at| string_at(binary, at));
            if found.is_some() {
                return found;
            }
        }
    }
    None
}

fn string_at(binary: &GoBinary, header: u64) -> Option<GoVersion> {
    let header = binary.relocated(VirtAddr(header), 16).ok()?;
    let (address, len) = (u64_at(&header, 0)?, u64_at(&header, 8)?);
    if !(5..=256).contains(&len) {
        return None;
    }
    let text = String::from_utf8(binary.bytes(VirtAddr(address), len)?).ok()?;
    GoVersion::parse(&text, VersionSource::BuildVersion)
}
