//! What captures of starts hold (`gotrace run`, `gotrace watch`).

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use super::Followed;
use crate::model::{InitCatalogue, MissingProbe, StartInput, Subject};
use crate::target::gobin::{CollectorLayout, Frame};
use crate::units::{Nanos, RuntimeAddr};

/// A session begins, or goes on in another file.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Begin {
    /// The version of gotrace that wrote it.
    pub gotrace: String,
    /// What was asked of it.
    pub verb: Verb,
    /// Whom it is about.
    pub subject: Subject,
    /// When it began, on the boot clock; the subject has the wall clock of that moment.
    pub began: Nanos,
    /// What is needed to tell starts.
    #[serde(default)]
    pub starts: Option<Starts>,
    /// How it is followed.
    #[serde(default)]
    pub followed: Option<Followed>,
    /// Where the program's collector keeps its notes, when that is not what gotrace knows of its version but what the
    /// program's own debug information says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub collector: Option<CollectorLayout>,
}

/// What a session was begun with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verb {
    /// `gotrace run`
    Run,
    /// `gotrace watch`
    Watch,
    /// `gotrace attach`
    Attach,
}

/// What is known before the first start.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Starts {
    /// The inits that the binary lists, and where it is probed.
    pub catalogue: InitCatalogue,
    /// What could not be probed.
    pub missing: Vec<MissingProbe>,
    /// Whether what the collector does was looked at.
    pub gc: bool,
    /// How many inits a table had.
    pub top: usize,
    /// Whether they were in the order in which they ran.
    pub in_order: bool,
}

/// What an address means.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Symbol {
    /// In the process.
    pub address: RuntimeAddr,
    /// The source code, innermost first.
    pub frames: Vec<Frame>,
}

/// What is known of a start.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Start {
    /// What its report is made from.
    pub input: StartInput,
    /// Inits that the binary does not list.
    #[serde(default)]
    pub unlisted: InitCatalogue,
    /// Records of the kernel side that were left out, because the capture was not to be larger.
    #[serde(default)]
    pub left_out: u64,
}

/// The session is over, or goes on in another file.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct End {
    /// Why, when it is not that the session is over.
    pub because: Option<Cow<'static, str>>,
}
