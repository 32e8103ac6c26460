//! What gotrace's programs cost when that was measured last, by kernel: docs/instructions.json. A change that makes one
//! dearer by more than [`TOLERANCE`] is not let pass by `cargo xtask ci`; one that is meant to commits the new figures.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};

use crate::exec;
use crate::vm::Kernel;

/// What a mean may rise by, as a part of itself. Measured twice, most differ by less than a hundredth.
const TOLERANCE: f64 = 0.05;

/// And in instructions, which matters to the shortest programs: by so many, measured twice, they differ.
const NOISE: u64 = 6;

/// Instructions a run, by what ran for whom.
pub(super) type Costs = BTreeMap<String, u64>;

/// The figures of every kernel.
#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Kept(BTreeMap<String, Costs>);

impl Kept {
    /// As they were committed; none yet when there is no such file.
    pub(super) fn read() -> Result<Self> {
        let path = path();
        match fs::read(&path) {
            Ok(bytes) => {
                serde_json::from_slice(&bytes).with_context(|| format!("reading {}", path.display()))
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Self::default()),
            Err(error) => Err(error).with_context(|| format!("reading {}", path.display())),
        }
    }

    /// Writes them to where they are committed from.
    pub(super) fn write(&self) -> Result<()> {
        let path = path();
        let text = serde_json::to_string_pretty(self).context("writing the figures")? + "\n";
        fs::write(&path, text).with_context(|| format!("writing {}", path.display()))
    }

    /// Takes these instead of what there was of that kernel.
    pub(super) fn keep(&mut self, kernel: Kernel, costs: Costs) {
        self.0.insert(kernel.to_string(), costs);
    }

    /// What it cost then.
    pub(super) fn cost(&self, kernel: Kernel, what: &str) -> Option<u64> {
        self.0.get(&kernel.to_string())?.get(what).copied()
    }

    /// Every figure, by what ran for whom, in the order of the kernels.
    pub(super) fn rows(&self) -> BTreeMap<&str, [Option<u64>; Kernel::ALL.len()]> {
        let names = self.0.values().flat_map(Costs::keys);
        names.map(|what| (what.as_str(), Kernel::ALL.map(|kernel| self.cost(kernel, what)))).collect()
    }

    /// What is wrong with these figures, in sentences.
    pub(super) fn complaints(&self, kernel: Kernel, costs: &Costs) -> Vec<String> {
        let none = Costs::new();
        let kept = self.0.get(&kernel.to_string()).unwrap_or(&none);
        let risen = costs.iter().filter_map(|(what, now)| match kept.get(what) {
            None => Some(format!("{what} is not in docs/instructions.json")),
            Some(then) if ratio(*now, *then) > 1.0 + TOLERANCE && *now > then + NOISE => {
                Some(format!("{what} takes {now} instructions; it took {then}"))
            }
            Some(_) => None,
        });
        let gone = kept.keys().filter(|what| !costs.contains_key(*what));
        risen.chain(gone.map(|what| format!("{what} was not measured"))).collect()
    }
}

#[expect(clippy::cast_precision_loss, reason = "some hundreds of instructions")]
fn ratio(now: u64, then: u64) -> f64 {
    now as f64 / then as f64
}

fn path() -> PathBuf {
    exec::workspace().join("docs/instructions.json")
}

#[cfg(test)]
mod tests {
    use super::{Costs, Kept};
    use crate::vm::Kernel;

    fn costs(cost: u64) -> Costs {
        [("sys_exit, target: pread".to_owned(), cost)].into()
    }

    #[test]
    fn a_rise_of_more_than_a_twentieth_is_told() {
        let mut kept = Kept::default();
        kept.keep(Kernel::V6_1, costs(400));
        for fine in [100, 400, 420] {
            assert_eq!(kept.complaints(Kernel::V6_1, &costs(fine)), Vec::<String>::new());
        }
        let complaints = kept.complaints(Kernel::V6_1, &costs(421));
        assert_eq!(complaints, ["sys_exit, target: pread takes 421 instructions; it took 400"]);
        kept.keep(Kernel::V6_1, costs(77));
        assert_eq!(kept.complaints(Kernel::V6_1, &costs(83)), Vec::<String>::new());
        assert_eq!(kept.complaints(Kernel::V6_1, &costs(84)).len(), 1);
    }

    #[test]
    fn what_is_new_or_gone_is_told() {
        let mut kept = Kept::default();
        kept.keep(Kernel::V6_1, costs(400));
        assert!(kept.complaints(Kernel::V6_12, &costs(1))[0].contains("is not in docs/instructions.json"));
        assert!(kept.complaints(Kernel::V6_1, &Costs::new())[0].contains("was not measured"));
        assert_eq!(kept.cost(Kernel::V6_1, "sys_exit, target: pread"), Some(400));
    }

    #[test]
    fn what_is_committed_can_be_read() {
        let kept = Kept::read().unwrap();
        assert!(Kernel::ALL.iter().all(|kernel| kept.0.contains_key(&kernel.to_string())), "{kept:?}");
    }
}
