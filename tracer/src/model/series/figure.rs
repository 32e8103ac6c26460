//! What is measured of a startup, by name.

use std::fmt;

/// A figure of a startup.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Figure {
    /// From execve to `main.main`.
    ToMain,
    /// From execve to readiness.
    ToReady,
    /// A phase, by its name in the contract.
    Phase(String),
    /// A package's init.
    Init {
        /// The package.
        package: String,
        /// Which of the run's inits of that package, from zero: a plugin may bring one along again.
        nth: u32,
    },
}

impl Figure {
    /// The first init of a package.
    #[must_use]
    pub fn init(package: &str) -> Self {
        Self::Init { package: package.to_owned(), nth: 0 }
    }

    /// What kind of figure it is: `total`, `phase` or `init`.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::ToMain | Self::ToReady => "total",
            Self::Phase(_) => "phase",
            Self::Init { .. } => "init",
        }
    }

    /// Its name among those of its kind.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::ToMain => "to_main",
            Self::ToReady => "to_ready",
            Self::Phase(name) | Self::Init { package: name, .. } => name,
        }
    }
}

impl fmt::Display for Figure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Init { package, nth: 0 } => write!(f, "init:{package}"),
            Self::Init { package, nth } => write!(f, "init:{package} ({})", u64::from(*nth) + 1),
            other => f.write_str(other.name()),
        }
    }
}
