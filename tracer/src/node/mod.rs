//! The agent of a machine: the starts of every Go process that it is to look at, as metrics.
//!
//! One thread (`agent.rs`) drains the ring, keeps the tables and arms binaries; one looks at processes and executables for
//! it (`looker.rs`) and may get stuck; one answers over HTTP (`http.rs`), and starts what collects profiles
//! (`profiles/`); one sends starts as traces, and one metrics, if they are to (`otlp/`). What runs
//! is blocked on is asked by one more (`blocking/`), and first starts are held by others still (`gate/`), if they are to be.

mod agent;
mod arming;
mod blocking;
mod budget;
mod collection;
mod endpoint;
mod figures;
mod finding;
mod gate;
mod http;
mod interval;
mod kernel;
mod looker;
pub mod manifest;
mod metrics;
#[cfg(feature = "otlp")]
pub mod otlp;
mod pace;
mod pauses;
mod place;
mod processes;
mod profiles;
mod program;
mod programs;
mod ready;
mod registry;
mod selector;
mod state;
mod telling;
mod upkeep;
mod usage;
mod workload;

pub use agent::{Limits, Session};
pub use blocking::watch_in_turn;
pub use budget::Overhead;
pub use collection::Collections;
pub use endpoint::{Endpoint, EndpointError};
pub use gate::GateError;
pub use http::serve;
pub use interval::INTERVALS;
pub use profiles::{Profiles, Token, TokenError};
pub use selector::{Selection, Selector, SelectorError};
pub use state::{Shared, State};
