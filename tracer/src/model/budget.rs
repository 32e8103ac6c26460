//! Limits for a startup's figures, and which of them it exceeded.

use std::str::FromStr;

use super::series::{Figure, Samples, Series};
use crate::units::Nanos;

/// The phases that a budget may name.
const PHASES: [&str; 5] = ["exec", "dynamic_link", "runtime_bootstrap", "runtime_init", "package_init"];

/// A figure and the most that it may be: `to_main=50ms`, `package_init=20ms`, `init:net/http=1ms`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Budget {
    /// Of what.
    pub figure: Figure,
    /// How long it may take.
    pub limit: Nanos,
}

impl FromStr for Budget {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, limit) = text.rsplit_once('=').ok_or("FIGURE=TIME is needed, such as to_main=50ms")?;
        let figure = match name {
            "to_main" => Figure::ToMain,
            "to_ready" => Figure::ToReady,
            phase if PHASES.contains(&phase) => Figure::Phase(phase.to_owned()),
            other => match other.strip_prefix("init:") {
                Some(package) if !package.is_empty() => Figure::init(package),
                _ => {
                    let phases = PHASES.join(", ");
                    return Err(format!(
                        "there is no figure {other:?}: to_main, to_ready, init:PACKAGE, or one of {phases}"
                    ));
                }
            },
        };
        let limit = humantime::parse_duration(limit)
            .map_err(|_| format!("{limit:?} is no time; one such as 50ms or 1s is needed"))?;
        let limit = u64::try_from(limit.as_nanos()).map_err(|_| "the time is too long".to_owned())?;
        Ok(Self { figure, limit: Nanos(limit) })
    }
}

/// What became of a budget.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It was met: the value, the median of several.
    Met(Nanos),
    /// It was exceeded: the value, the median of several.
    Exceeded(Nanos),
    /// Not every run has a value, so nothing shows that it was met.
    Unmeasured {
        /// How many runs have one.
        measured: usize,
        /// In how many runs it was begun and not over.
        unfinished: usize,
    },
}

impl Budget {
    /// Judges the series. What was not measured in every run does not meet its budget: a start that never came
    /// to `main.main` is no fast one.
    #[must_use]
    pub fn outcome(&self, series: &Series) -> Outcome {
        let samples = series.get(&self.figure);
        let (measured, unfinished) =
            samples.map_or((0, 0), |samples| (samples.walls.len(), samples.unfinished));
        match samples.and_then(Samples::spread) {
            Some(spread) if measured == series.runs() => {
                if spread.median > self.limit {
                    Outcome::Exceeded(spread.median)
                } else {
                    Outcome::Met(spread.median)
                }
            }
            _ => Outcome::Unmeasured { measured, unfinished },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::series::{PartTimes, Start, Stretch};
    use super::*;

    fn budget(text: &str) -> Budget {
        text.parse().unwrap()
    }

    fn series(runs: &[Option<u64>]) -> Series {
        let mut series = Series::default();
        for to_main in runs {
            let cut = Stretch {
                name: "net".to_owned(),
                wall: Nanos(9),
                done: to_main.is_some(),
                parts: PartTimes::default(),
            };
            let to_main = to_main.map(Nanos);
            series.add(Start { to_main, inits: vec![cut], ..Start::default() }).unwrap();
        }
        series
    }

    #[test]
    fn budgets_are_read() {
        assert_eq!(budget("to_main=50ms"), Budget { figure: Figure::ToMain, limit: Nanos(50_000_000) });
        assert_eq!(budget("package_init=1s").figure, Figure::Phase("package_init".to_owned()));
        let odd = budget("init:example.com/a=b=2us");
        assert_eq!((odd.figure, odd.limit), (Figure::init("example.com/a=b"), Nanos(2_000)));
        for wrong in ["to_main", "to_main=fast", "main=1ms", "init:=1ms", "=1ms", "to_ready=99999999999y"] {
            assert!(wrong.parse::<Budget>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn the_median_of_several_counts_and_the_limit_itself_is_met() {
        let runs = series(&[Some(10), Some(20), Some(900)]);
        assert_eq!(budget("to_main=20ns").outcome(&runs), Outcome::Met(Nanos(20)));
        assert_eq!(budget("to_main=19ns").outcome(&runs), Outcome::Exceeded(Nanos(20)));
    }

    #[test]
    fn what_was_not_measured_in_every_run_is_not_met() {
        let runs = series(&[Some(10), None]);
        let unmeasured = |measured, unfinished| Outcome::Unmeasured { measured, unfinished };
        assert_eq!(budget("to_main=1s").outcome(&runs), unmeasured(1, 0));
        assert_eq!(budget("to_ready=1s").outcome(&runs), unmeasured(0, 0));
        assert_eq!(budget("init:net=1s").outcome(&runs), unmeasured(1, 1));
        assert_eq!(budget("init:nowhere=1s").outcome(&runs), unmeasured(0, 0));
    }
}
