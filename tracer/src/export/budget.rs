//! What became of a budget, in a sentence.

use super::printable;
use crate::model::budget::{Budget, Outcome};
use crate::units::Nanos;

/// The sentence, and whether the budget counts as exceeded. `runs` is how many runs the value is the median of.
#[must_use]
pub fn verdict(budget: &Budget, outcome: Outcome, runs: usize) -> (bool, String) {
    let name = printable(&budget.figure.to_string());
    let limit = budget.limit.for_people();
    let of_runs = if runs > 1 { format!(", the median of {runs} runs") } else { String::new() };
    match outcome {
        Outcome::Met(value) => {
            (false, format!("budget met: {name} is {}, of {limit}{of_runs}", value.for_people()))
        }
        Outcome::Exceeded(value) => {
            let over = value.since(budget.limit);
            (
                true,
                format!(
                    "budget exceeded: {name} is {}, {}{} over its {limit}{of_runs}",
                    value.for_people(),
                    over.for_people(),
                    percent(over, budget.limit)
                ),
            )
        }
        Outcome::Unmeasured { measured, unfinished } => {
            let why = match (measured, unfinished) {
                (0, 0) => "was not reached, or not measured".to_owned(),
                (0, _) => "was begun and not over when the trace ended".to_owned(),
                (measured, _) => format!("was measured in {measured} of {runs} runs only"),
            };
            (true, format!("budget exceeded: {name} {why}, so nothing shows that it keeps within {limit}"))
        }
    }
}

fn percent(over: Nanos, limit: Nanos) -> String {
    (u128::from(over.0) * 100)
        .checked_div(u128::from(limit.0))
        .map_or_else(String::new, |percent| format!(" ({percent} %)"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sentence_names_budget_value_and_by_how_much() {
        let budget: Budget = "to_main=50ms".parse().unwrap();
        let (exceeded, said) = verdict(&budget, Outcome::Exceeded(Nanos(89_000_000)), 1);
        assert!(exceeded);
        assert_eq!(said, "budget exceeded: to_main is 89.00 ms, 39.00 ms (78 %) over its 50.00 ms");
        let (exceeded, said) = verdict(&budget, Outcome::Met(Nanos(9_000_000)), 5);
        assert!(!exceeded);
        assert_eq!(said, "budget met: to_main is 9.00 ms, of 50.00 ms, the median of 5 runs");
    }

    #[test]
    fn what_was_not_measured_is_exceeded_and_says_why() {
        let budget: Budget = "init:a\u{1b}=0s".parse().unwrap();
        for (outcome, why) in [
            (
                Outcome::Unmeasured { measured: 0, unfinished: 0 },
                "init:a\\u{1b} was not reached, or not measured",
            ),
            (Outcome::Unmeasured { measured: 0, unfinished: 1 }, "was begun and not over"),
            (Outcome::Unmeasured { measured: 2, unfinished: 1 }, "was measured in 2 of 3 runs only"),
        ] {
            let (exceeded, said) = verdict(&budget, outcome, 3);
            assert!(exceeded && said.contains(why), "{said}");
        }
        assert_eq!(percent(Nanos(1), Nanos(0)), "");
    }
}
