//! Several runs of one command: what all of them tell together. The runs themselves are not kept.

use super::report::{Report, Subject, Totals};
use super::series::{Series, Start, TooMuch};
use crate::stream::ProbeLoss;

/// Several runs of one command.
#[derive(Clone, Debug)]
pub struct Repeats {
    /// Whose they are; of the first run.
    pub subject: Subject,
    /// Their figures.
    pub series: Series,
    /// The accounts of all of them together.
    pub totals: Totals,
    /// The same by probe.
    pub losses: Vec<ProbeLoss>,
}

impl Repeats {
    /// Of no run yet.
    #[must_use]
    pub fn new(subject: Subject) -> Self {
        Self { subject, series: Series::default(), totals: Totals::default(), losses: Vec::new() }
    }

    /// Takes a run in.
    ///
    /// # Errors
    /// When there is more than can be kept.
    pub fn add(&mut self, report: &Report) -> Result<(), TooMuch> {
        self.series.add(Start::of(report))?;
        let Totals { hits, dropped, unresolved, undecodable } = report.totals();
        let totals = &mut self.totals;
        totals.hits = totals.hits.saturating_add(hits);
        totals.dropped = totals.dropped.saturating_add(dropped);
        totals.unresolved = totals.unresolved.saturating_add(unresolved);
        totals.undecodable = totals.undecodable.saturating_add(undecodable);
        for loss in &report.losses {
            match self.losses.iter_mut().find(|sum| sum.probe == loss.probe) {
                Some(sum) => {
                    sum.hits = sum.hits.saturating_add(loss.hits);
                    sum.dropped = sum.dropped.saturating_add(loss.dropped);
                }
                None => self.losses.push(*loss),
            }
        }
        Ok(())
    }
}
