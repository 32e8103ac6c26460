//! One program's startups, figure by figure: what repeats, budgets and comparisons are made from. A start is
//! taken in and forgotten; what is kept of it is one number a figure and part.

mod figure;
mod start;

use std::collections::HashMap;

use thiserror::Error;

pub use self::figure::Figure;
pub(super) use self::start::{BLOCKED, MAIN, ON_CPU, REMAINDER, RUNNABLE, of_cause};
pub use self::start::{PARTS, PartTimes, Start, Stretch};
use super::spread::Spread;
use crate::units::Nanos;

/// The most measurements that are kept: a thousand runs with a thousand inits.
const SAMPLE_LIMIT: usize = 1 << 20;

/// The most bytes that names take together.
const NAME_LIMIT: usize = 64 << 20;

/// The measurements of one figure.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Samples {
    /// One a run in which it came to its end.
    pub walls: Vec<Nanos>,
    /// In how many runs it was begun and not over when the trace ended.
    pub unfinished: usize,
    parts: [Vec<Nanos>; PARTS.len()],
}

impl Samples {
    /// The measurements in order; none when there are none.
    #[must_use]
    pub fn spread(&self) -> Option<Spread> {
        Spread::of(&self.walls)
    }

    /// The median of a part; none unless it was measured in every run.
    #[must_use]
    pub fn part(&self, part: usize) -> Option<Nanos> {
        let samples = self.parts.get(part).filter(|samples| samples.len() == self.walls.len())?;
        Some(Spread::of(samples)?.median)
    }
}

/// There is more than can be kept.
#[derive(Debug, Error)]
#[error("more than {SAMPLE_LIMIT} measurements, or {NAME_LIMIT} bytes of names")]
pub struct TooMuch;

/// One program's startups, figure by figure.
#[derive(Clone, Debug, Default)]
pub struct Series {
    runs: usize,
    incomplete: usize,
    unresolved: u64,
    places: HashMap<Figure, usize>,
    figures: Vec<(Figure, Samples)>,
    order: Vec<usize>,
    samples: usize,
    name_bytes: usize,
}

impl Series {
    /// Takes a start in.
    ///
    /// # Errors
    /// When there is more than can be kept.
    pub fn add(&mut self, start: Start) -> Result<(), TooMuch> {
        self.runs += 1;
        self.incomplete += usize::from(!start.complete);
        self.unresolved = self.unresolved.saturating_add(start.unresolved);
        let total = |wall| Stretch { name: String::new(), wall, done: true, parts: PartTimes::default() };
        if let Some(wall) = start.to_main {
            self.take(Figure::ToMain, &total(wall))?;
        }
        if let Some(wall) = start.to_ready {
            self.take(Figure::ToReady, &total(wall))?;
        }
        for phase in start.phases {
            self.take(Figure::Phase(phase.name.clone()), &phase)?;
        }
        let mut order = Vec::new();
        let mut seen: HashMap<String, u32> = HashMap::new();
        for init in start.inits {
            let nth = seen.entry(init.name.clone()).or_default();
            let figure = Figure::Init { package: init.name.clone(), nth: *nth };
            *nth += 1;
            order.push(self.take(figure, &init)?);
        }
        if self.order.is_empty() {
            self.order = order;
        }
        Ok(())
    }

    fn take(&mut self, figure: Figure, stretch: &Stretch) -> Result<usize, TooMuch> {
        let place = match self.places.get(&figure) {
            Some(place) => *place,
            None => {
                self.name_bytes += figure.name().len();
                self.figures.push((figure.clone(), Samples::default()));
                self.places.insert(figure, self.figures.len() - 1);
                self.figures.len() - 1
            }
        };
        self.samples += 1;
        if self.samples > SAMPLE_LIMIT || self.name_bytes > NAME_LIMIT {
            return Err(TooMuch);
        }
        let samples = &mut self.figures[place].1;
        if stretch.done {
            samples.walls.push(stretch.wall);
            for (part, samples) in stretch.parts.iter().zip(&mut samples.parts) {
                samples.extend(part);
            }
        } else {
            samples.unfinished += 1;
        }
        Ok(place)
    }

    /// How many starts were taken in.
    #[must_use]
    pub fn runs(&self) -> usize {
        self.runs
    }

    /// In how many of them something was lost, left out or unknown.
    #[must_use]
    pub fn incomplete(&self) -> usize {
        self.incomplete
    }

    /// How many inits of all runs had no known package.
    #[must_use]
    pub fn unresolved(&self) -> u64 {
        self.unresolved
    }

    /// The measurements of a figure.
    #[must_use]
    pub fn get(&self, figure: &Figure) -> Option<&Samples> {
        self.places.get(figure).map(|place| &self.figures[*place].1)
    }

    /// Every figure, as they came.
    pub fn figures(&self) -> impl Iterator<Item = &(Figure, Samples)> {
        self.figures.iter()
    }

    /// The inits in the order of the first run that had any.
    pub fn init_order(&self) -> impl Iterator<Item = &Figure> {
        self.order.iter().map(|place| &self.figures[*place].0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stretch(name: &str, wall: u64, done: bool) -> Stretch {
        Stretch { name: name.to_owned(), wall: Nanos(wall), done, parts: PartTimes::default() }
    }

    fn start(inits: Vec<Stretch>) -> Start {
        Start { inits, complete: true, ..Start::default() }
    }

    #[test]
    fn a_package_that_comes_twice_in_a_run_is_two_figures() {
        let mut series = Series::default();
        for _ in 0..2 {
            series.add(start(vec![stretch("main", 1, true), stretch("main", 5, true)])).unwrap();
        }
        let first = series.get(&Figure::init("main")).unwrap();
        assert_eq!(first.walls, [Nanos(1), Nanos(1)]);
        let second = series.get(&Figure::Init { package: "main".to_owned(), nth: 1 }).unwrap();
        assert_eq!(second.walls, [Nanos(5), Nanos(5)]);
        assert_eq!(series.init_order().count(), 2);
    }

    #[test]
    fn what_was_not_over_is_counted_and_no_measurement() {
        let mut series = Series::default();
        series.add(start(vec![stretch("a", 900, false)])).unwrap();
        series.add(start(vec![stretch("a", 7, true)])).unwrap();
        let samples = series.get(&Figure::init("a")).unwrap();
        assert_eq!((samples.walls.as_slice(), samples.unfinished), (&[Nanos(7)][..], 1));
    }

    #[test]
    fn a_part_counts_when_every_run_has_it() {
        let mut series = Series::default();
        for on_cpu in [Some(Nanos(3)), Some(Nanos(5))] {
            let mut init = stretch("a", 10, true);
            init.parts[0] = on_cpu;
            series.add(start(vec![init])).unwrap();
        }
        assert_eq!(series.get(&Figure::init("a")).unwrap().part(0), Some(Nanos(4)));
        series.add(start(vec![stretch("a", 10, true)])).unwrap();
        assert_eq!(series.get(&Figure::init("a")).unwrap().part(0), None);
    }

    #[test]
    fn there_is_an_end_to_what_is_kept() {
        let mut series = Series::default();
        let many = vec![stretch("a", 1, true); SAMPLE_LIMIT];
        series.add(start(many)).unwrap();
        assert!(series.add(start(vec![stretch("a", 1, true)])).is_err());

        let mut series = Series::default();
        let long = "x".repeat(NAME_LIMIT / 2);
        series.add(start(vec![stretch(&format!("{long}1"), 1, true)])).unwrap();
        assert!(series.add(start(vec![stretch(&format!("{long}2"), 1, true)])).is_err());
    }
}
