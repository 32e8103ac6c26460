//! The order of inits on the command line.

use crate::export::InitOrder;

/// The order of the inits in text.
#[derive(Clone, Copy, clap::ValueEnum)]
pub(super) enum Sort {
    /// The slowest first
    Slowest,
    /// As they ran
    Order,
}

impl Sort {
    pub(super) fn order(self) -> InitOrder {
        match self {
            Self::Slowest => InitOrder::Slowest,
            Self::Order => InitOrder::Run,
        }
    }
}
