//! What a capture holds: records of the kernel side as they came, and everything else as JSON. Fields may be added,
//! never renamed; the number of a kind is never used for another one.

mod following;
mod start;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde::de::Error as _;

use crate::model::blocking::BlockedNow;
use crate::model::gc::Surroundings;

pub use following::{Answers, Descriptor, Followed, KeptStack, Looked, Named, Why};
pub use start::{Begin, End, Start, Starts, Symbol, Verb};

/// One record.
#[derive(Clone, Debug)]
pub enum Record<'a> {
    /// A record of the kernel side, as it came out of the ring buffer ([`crate::event::decode`]).
    Ring(&'a [u8]),
    /// A session begins, or goes on in another file: whom it is about.
    Begin(Box<Begin>),
    /// What else was seen of the process when the cycles among the kernel side's last records were taken in.
    Surroundings(Surroundings),
    /// What addresses mean that the next start's report needs.
    Symbols(Vec<Symbol>),
    /// What is known of a start besides the kernel side's records, which are those since the last start.
    Start(Box<Start>),
    /// The session is over.
    End(End),
    /// What the kernel side's next records make one ask about the process.
    Answers(Answers),
    /// Stacks that were not told before, which the next look names.
    Stacks(Vec<KeptStack>),
    /// Who was blocked at the next look.
    Blocked(Vec<BlockedNow>),
    /// What is known at a moment besides the kernel side's records.
    Look(Box<Looked>),
}

macro_rules! kinds {
    ($($(#[$about:meta])* $name:ident = $number:literal,)*) => {
        /// What a record is.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[repr(u8)]
        pub(super) enum Kind {
            Ring = 1,
            $($(#[$about])* $name = $number,)*
        }

        impl Kind {
            pub(super) fn from_number(number: u8) -> Option<Self> {
                match number {
                    1 => Some(Self::Ring),
                    $($number => Some(Self::$name),)*
                    _ => None,
                }
            }
        }

        impl Record<'_> {
            pub(super) fn kind(&self) -> Kind {
                match self {
                    Self::Ring(_) => Kind::Ring,
                    $(Self::$name(_) => Kind::$name,)*
                }
            }

            /// Of every kind but the kernel side's.
            pub(super) fn to_json(&self) -> serde_json::Result<Vec<u8>> {
                match self {
                    Self::Ring(bytes) => json(bytes),
                    $(Self::$name(record) => json(record),)*
                }
            }

            /// The same back.
            pub(super) fn from_json(kind: Kind, bytes: &[u8]) -> serde_json::Result<Self> {
                match kind {
                    Kind::Ring => Err(serde_json::Error::custom("no JSON")),
                    $(Kind::$name => of_json(bytes).map(Self::$name),)*
                }
            }
        }
    };
}

kinds! {
    Begin = 2,
    Surroundings = 3,
    Symbols = 4,
    Start = 5,
    End = 6,
    Answers = 7,
    Stacks = 8,
    Blocked = 9,
    Look = 10,
}

fn json(record: &impl Serialize) -> serde_json::Result<Vec<u8>> {
    serde_json::to_vec(record)
}

fn of_json<T: DeserializeOwned>(bytes: &[u8]) -> serde_json::Result<T> {
    serde_json::from_slice(bytes)
}
