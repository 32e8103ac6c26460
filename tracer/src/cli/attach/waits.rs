//! `--waits`: why goroutines do not run. Arms the probes on the scheduler, and keeps what they cost below the budget.

use std::collections::HashMap;
use std::time::Duration;

use anyhow::Context as _;
use aya::maps::{MapData, MapError, StackTraceMap};

use super::super::exit::TargetRefused;
use super::sites::difference;
use crate::event::parking::ParkedNow;
use crate::model::blocking::{BlockedNow, Since};
use crate::model::parking::{Detached, Governor, Order, Overhead, Share, Spending};
use crate::model::{MissingProbe, ParkingLook};
use crate::probe::attach::Attached;
use crate::probe::maps::ParkingMaps;
use crate::probe::{Parking, ParkingPlan, Probe, parking};
use crate::stream::{ParkingTables, ProbeLoss, Tables, read_parked};
use crate::target::gobin::GoBinary;
use crate::target::process::Process;
use crate::units::{Nanos, boot_clock};

/// How often the counters are looked at.
const LOOK: Nanos = Nanos(100_000_000);

/// Room in the kernel: 650 bytes a sum, 120 a parked goroutine.
const MOST_SUMS: u32 = 1 << 13;
const MOST_PARKED: u32 = 1 << 17;

/// The probes that are hits of the program's.
const HITS: [Probe; 3] = [Probe::Park, Probe::MadeReady, Probe::Execute];

/// Where to probe, and what may be spent.
pub(super) struct Plan {
    plan: ParkingPlan,
    budget: Share,
}

impl Plan {
    /// For that program, which must run the binary.
    pub(super) fn of(process: &Process, binary: &GoBinary, budget: Share) -> anyhow::Result<Self> {
        let refused = |reason: String| {
            TargetRefused(format!(
                "--waits is not to be had here: {reason}; without it attach tells of system calls and network waits"
            ))
        };
        let plan = parking(binary)
            .map_err(|missing| refused(format!("{}: {}", missing.function, missing.reason)))?;
        let memory = process.memory()?;
        let bias = process.load_bias(binary, &memory)?;
        if let Some(difference) = difference(process, &memory, bias, &plan.sites)? {
            return Err(refused(difference).into());
        }
        Ok(Self { plan, budget })
    }

    /// The room that it takes in the kernel, and how to look at goroutines.
    pub(super) fn room(&self) -> Parking {
        Parking { config: self.plan.config, most_sums: MOST_SUMS, most_parked: MOST_PARKED }
    }
}

/// The probes, armed, and what they cost so far.
pub(super) struct Waits {
    maps: ParkingMaps,
    governor: Governor,
    overhead: Overhead,
    missing: Vec<MissingProbe>,
    last: Spending,
}

impl Waits {
    /// Arms the probes.
    pub(super) fn attach(
        attached: &mut Attached,
        maps: ParkingMaps,
        plan: Plan,
        process: &Process,
        binary: &GoBinary,
    ) -> anyhow::Result<Self> {
        let Plan { plan, budget } = plan;
        let trap = attached.load_parking()?;
        attached.arm_parking(binary.file(), &plan.sites, process.pid)?;
        let armed = boot_clock();
        tracing::info!("a trap costs {} here", trap.for_people());
        let overhead = Overhead {
            armed,
            span: Nanos(0),
            hits: 0,
            dropped: 0,
            handlers: Nanos(0),
            trap,
            budget: budget.0,
            one_in: 1,
            sampled: None,
            detached: None,
        };
        let missing = plan.missing.into_iter().map(MissingProbe::detail);
        Ok(Self {
            maps,
            governor: Governor::new(budget, trap, armed),
            overhead,
            missing: missing.collect(),
            last: Spending { at: armed, ..Spending::default() },
        })
    }

    /// Whether it is time to look at what the probes cost.
    pub(super) fn is_due(&self) -> bool {
        self.overhead.detached.is_none() && boot_clock().since(self.last.at) >= LOOK
    }

    /// Looks at what the probes cost, and does what keeps it below the budget.
    pub(super) fn look(&mut self, attached: &mut Attached, losses: &[ProbeLoss]) -> anyhow::Result<()> {
        let before = self.last;
        self.account(losses)?;
        match self.governor.look(self.last) {
            Order::GoOn => {}
            Order::OneIn(one_in) => {
                self.maps.sampling.set(0, one_in - 1, 0).context("cannot follow fewer goroutines")?;
                self.overhead.one_in = one_in;
                self.overhead.sampled.get_or_insert(self.last.at);
                tracing::warn!("--waits: over the budget; 1 in {one_in} goroutines is followed from now on");
            }
            Order::Detach => {
                let took: Duration = attached.disarm_parking()?;
                self.overhead.detached = Some(Detached {
                    at: self.last.at,
                    hits: self.last.hits.saturating_sub(before.hits),
                    span: self.last.at.since(before.at),
                });
                tracing::warn!("--waits: over the budget; its probes are gone, which took {took:?}");
            }
        }
        Ok(())
    }

    /// The counters by now.
    fn account(&mut self, losses: &[ProbeLoss]) -> anyhow::Result<()> {
        let handlers = Nanos(self.maps.spent.get(&0, 0).context("cannot read what the probes took")?);
        let of = |sum: fn(&ProbeLoss) -> u64| {
            losses.iter().filter(|loss| HITS.contains(&loss.probe)).map(sum).sum::<u64>()
        };
        let hits = of(|loss| loss.hits);
        self.last = Spending { at: boot_clock(), hits, handlers };
        self.overhead.hits = hits;
        self.overhead.handlers = handlers;
        self.overhead.dropped = of(|loss| loss.dropped);
        let until = self.overhead.detached.map_or(self.last.at, |detached| detached.at);
        self.overhead.span = until.since(self.overhead.armed);
        Ok(())
    }

    /// The sums by now. Adds the stacks that they name to `tables`.
    pub(super) fn read(&self, tables: &mut Tables, kept: &StackTraceMap<MapData>) -> Result<(), MapError> {
        tables.parking = Some(ParkingTables::read(&self.maps, kept, &mut tables.stacks)?);
        Ok(())
    }

    /// Says since when goroutines are parked that were seen so between the reading of `tables` and now.
    pub(super) fn date(&self, tables: &Tables, blocked: &mut [BlockedNow]) -> Result<(), MapError> {
        if self.overhead.detached.is_some() {
            return Ok(());
        }
        let begins = |parked: &[ParkedNow]| -> HashMap<u64, Nanos> {
            let waits = parked.iter().filter(|parked| parked.ready.is_none());
            waits.map(|parked| (parked.goid, parked.since)).collect()
        };
        let before = begins(tables.parking.as_ref().map_or(&[], |parking| &parking.parked));
        let after = begins(&read_parked(&self.maps, &mut 0)?);
        for one in blocked {
            // The same wait, all the time: else it may have run in between.
            if let Some(since) = before.get(&one.goid)
                && after.get(&one.goid) == Some(since)
            {
                one.since = Some(Since::Exactly(*since));
            }
        }
        Ok(())
    }

    /// What the probes cost by now.
    pub(super) fn seen(&mut self, losses: &[ProbeLoss]) -> anyhow::Result<ParkingLook> {
        self.account(losses)?;
        Ok(ParkingLook { overhead: self.overhead.clone(), missing: self.missing.clone() })
    }
}

/// The budget as the option has it: percent of one processor.
pub(super) fn budget(text: &str) -> Result<Share, String> {
    let percent: f64 = text.trim_end_matches('%').parse().map_err(|_| "a number is needed".to_owned())?;
    if !(0.01..=10_000.0).contains(&percent) {
        return Err("from 0.01 to 10000 percent of one processor".to_owned());
    }
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "100 to 100 000 000")]
    Ok(Share((percent * 10_000.0).round() as u64))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_budget_is_a_percentage() {
        assert_eq!(budget("2"), Ok(Share(20_000)));
        assert_eq!(budget("0.5%"), Ok(Share(5_000)));
        for text in ["", "two", "0", "-1", "nan", "inf", "1e9"] {
            assert!(budget(text).is_err(), "{text}");
        }
    }
}
