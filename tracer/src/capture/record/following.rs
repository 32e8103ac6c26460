//! What captures of running programs hold (`gotrace attach`).

use serde::{Deserialize, Serialize};

use crate::event::blocking::Object;
use crate::model::Look;
use crate::model::gc::Surroundings;
use crate::units::{Nanos, RuntimeAddr};

/// How a running program is followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Followed {
    /// Whether addresses and paths were left out.
    pub redact: bool,
    /// When the collector's probes were armed; none when it is not followed.
    #[serde(default)]
    pub gc_began: Option<Nanos>,
}

/// What the kernel side's next records make one ask about the process.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Answers {
    /// What descriptors stood for, in the order in which that was asked.
    pub names: Vec<Named>,
    /// Where functions begin that have no frame there yet.
    pub without_frame: Vec<RuntimeAddr>,
    /// What else was seen, if a cycle of the collector was over.
    pub surroundings: Option<Surroundings>,
}

impl Answers {
    /// Whether nothing was asked.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// What a descriptor stood for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Named {
    /// Which.
    #[serde(flatten)]
    pub what: Descriptor,
    /// In words; none when that could not be told.
    pub name: Option<String>,
}

/// A descriptor, by its number and what the kernel had it stand for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Descriptor {
    /// Its number, where it is known.
    pub fd: Option<u64>,
    /// The inode's device, major and minor.
    pub device: (u32, u32),
    /// The inode's number.
    pub inode: u64,
}

impl Descriptor {
    /// Of that number, which stood for that.
    #[must_use]
    pub fn of(object: &Object, fd: Option<u64>) -> Self {
        Self { fd, device: object.device, inode: object.inode }
    }
}

/// A stack that sums name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeptStack {
    /// By this number.
    pub number: u32,
    /// The innermost address first.
    pub addresses: Vec<RuntimeAddr>,
}

/// A look at the program, without what stands before it: its stacks, and who was blocked.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Looked {
    /// What for.
    pub why: Why,
    /// What is known.
    pub look: Look,
}

/// What a look was taken for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Why {
    /// The file begins with it: what came before is in another one.
    Before,
    /// In case that nothing more comes.
    Checkpoint,
    /// A report in between.
    Interim,
    /// The last report.
    Last,
}
