//! Reads what `node/metrics.rs` has written for OpenMetrics, and nothing else that this format may have.

use std::iter::Peekable;
use std::str::Split;

use thiserror::Error;

/// Series of one name.
#[derive(Debug, PartialEq)]
pub(super) struct Family<'a> {
    pub(super) name: &'a str,
    pub(super) help: &'a str,
    pub(super) kind: Kind,
    pub(super) series: Vec<Series<'a>>,
}

/// What the numbers of a family are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Counter,
    Gauge,
    Histogram,
}

/// What is told of one set of labels.
#[derive(Debug, PartialEq)]
pub(super) struct Series<'a> {
    /// Its name and labels as they stand there: no other has it.
    pub(super) text: &'a str,
    pub(super) labels: Vec<(&'a str, String)>,
    pub(super) value: Value,
}

/// How much.
#[derive(Debug, PartialEq)]
pub(super) enum Value {
    Whole(u64),
    Real(f64),
    Histogram(Histogram),
}

/// What was observed.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Histogram {
    pub(super) sum: f64,
    pub(super) count: u64,
    /// The last that a bucket has, but for the last bucket.
    pub(super) bounds: Vec<f64>,
    /// How many are in each bucket, and in none before it.
    pub(super) buckets: Vec<u64>,
}

/// What is there is not what is written there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("the line {0} of the metrics is none that gotrace writes")]
pub(super) struct Unreadable(usize);

/// A sample's line, taken apart.
struct Sample<'a> {
    /// All but the value.
    text: &'a str,
    name: &'a str,
    labels: Vec<(&'a str, String)>,
    value: &'a str,
}

/// All families, those without series too.
///
/// # Errors
/// When a line is none that gotrace writes.
pub(super) fn read(text: &str) -> Result<Vec<Family<'_>>, Unreadable> {
    let mut reader = Reader { lines: text.split('\n').peekable(), line: 0 };
    reader.families().ok_or(Unreadable(reader.line))
}

/// Reads line by line. What is none is not what is expected.
struct Reader<'a> {
    lines: Peekable<Split<'a, char>>,
    line: usize,
}

impl<'a> Reader<'a> {
    fn next(&mut self) -> Option<&'a str> {
        self.line += 1;
        self.lines.next()
    }

    fn families(&mut self) -> Option<Vec<Family<'a>>> {
        let mut families = Vec::new();
        loop {
            let line = self.next()?;
            if line == "# EOF" {
                let is_end = self.next() == Some("") && self.next().is_none();
                return is_end.then_some(families);
            }
            let (name, help) = line.strip_prefix("# HELP ")?.split_once(' ')?;
            let kind = match self.next()?.strip_prefix("# TYPE ")?.strip_prefix(name)? {
                " counter" => Kind::Counter,
                " gauge" => Kind::Gauge,
                " histogram" => Kind::Histogram,
                _ => return None,
            };
            let mut family = Family { name, help, kind, series: Vec::new() };
            while self.lines.peek().is_some_and(|line| !line.starts_with('#')) {
                let series = self.series(&family)?;
                family.series.push(series);
            }
            families.push(family);
        }
    }

    fn series(&mut self, family: &Family<'_>) -> Option<Series<'a>> {
        let Sample { text, name, labels, value } = sample(self.next()?)?;
        let value = match (family.kind, name.strip_prefix(family.name)?) {
            (Kind::Counter, "_total") => number(value).filter(|value| match value {
                Value::Real(real) => real.is_finite() && *real >= 0.0,
                _ => true,
            })?,
            (Kind::Gauge, "") => number(value)?,
            (Kind::Histogram, "_sum") => {
                Value::Histogram(self.histogram(family.name, &labels, value.parse().ok()?)?)
            }
            _ => return None,
        };
        Some(Series { text, labels, value })
    }

    /// What follows the sum.
    fn histogram(&mut self, name: &str, labels: &[(&str, String)], sum: f64) -> Option<Histogram> {
        let count = sample(self.next()?)?;
        if count.name.strip_prefix(name)? != "_count" || count.labels != labels {
            return None;
        }
        let mut histogram = Histogram { sum, count: count.value.parse().ok()?, ..Histogram::default() };
        let mut below = 0;
        loop {
            let bucket = sample(self.next()?)?;
            let ((key, bound), others) = bucket.labels.split_first()?;
            if bucket.name.strip_prefix(name)? != "_bucket" || *key != "le" || others != labels {
                return None;
            }
            let up_to: u64 = bucket.value.parse().ok()?;
            histogram.buckets.push(up_to.checked_sub(below)?);
            below = up_to;
            if bound == "+Inf" {
                return (up_to == histogram.count).then_some(histogram);
            }
            let bound = bound.parse().ok().filter(|bound: &f64| bound.is_finite())?;
            if histogram.bounds.last().is_some_and(|last| *last >= bound) {
                return None;
            }
            histogram.bounds.push(bound);
        }
    }
}

/// As it is written: a counter of seconds always has a point, so a series' numbers are always of one kind.
fn number(text: &str) -> Option<Value> {
    text.parse().map(Value::Whole).or_else(|_| text.parse().map(Value::Real)).ok()
}

fn sample(line: &str) -> Option<Sample<'_>> {
    let end = line.find(['{', ' '])?;
    let (name, rest) = line.split_at(end);
    let (labels, rest) = match rest.strip_prefix('{') {
        Some(rest) => labels(rest)?,
        None => (Vec::new(), rest),
    };
    let value = rest.strip_prefix(' ')?;
    let text = &line[..line.len() - rest.len()];
    Some(Sample { text, name, labels, value })
}

/// The labels before the brace that closes them, and what is behind it.
fn labels(mut rest: &str) -> Option<(Vec<(&str, String)>, &str)> {
    let mut labels = Vec::new();
    if let Some(rest) = rest.strip_prefix('}') {
        return Some((labels, rest));
    }
    loop {
        let (key, behind) = rest.split_once("=\"")?;
        let (value, behind) = quoted(behind)?;
        labels.push((key, value));
        if let Some(rest) = behind.strip_prefix('}') {
            return Some((labels, rest));
        }
        rest = behind.strip_prefix(',')?;
    }
}

/// The text before the quote that closes it, and what is behind that.
fn quoted(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut characters = text.chars();
    loop {
        match characters.next()? {
            '"' => return Some((value, characters.as_str())),
            '\\' => value.push(match characters.next()? {
                'n' => '\n',
                same @ ('\\' | '"') => same,
                _ => return None,
            }),
            other => value.push(other),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::node::figures::Outcome;
    use crate::node::metrics::open_metrics;
    use crate::node::state::Shared;
    use crate::node::workload::Workload;
    use crate::units::Nanos;

    fn family<'a>(families: &'a [Family<'a>], name: &str) -> &'a Family<'a> {
        families.iter().find(|family| family.name == name).unwrap()
    }

    #[test]
    fn what_the_agent_writes_is_read_whatever_things_are_called() {
        let hostile = "a\"} 1\n# TYPE evil counter\r\nb\\\\n,x=\"y\"{ \u{2028}# EOF\n";
        let state = Shared::new(10);
        let workload = Workload { exe: hostile.to_owned(), pod: "\\".to_owned(), ..Workload::default() };
        {
            let mut state = state.lock();
            let figures = state.workloads.of(&workload);
            figures.outcomes.insert(Outcome::Main, u64::MAX);
            figures.phases.insert("runtime_init", Nanos(1_500_000_000));
            for seconds in [0.0005, 0.001, 0.002, 0.7, 1e6] {
                figures.to_main.observe(seconds);
            }
        }
        let text = open_metrics(&state).unwrap();
        let families = read(&text).unwrap();
        assert!(families.iter().all(|family| family.name.starts_with("gotrace_") && !family.help.is_empty()));
        let starts = family(&families, "gotrace_starts");
        assert_eq!((starts.kind, starts.series.len()), (Kind::Counter, 1));
        let [Series { labels, value, .. }] = &starts.series[..] else { unreachable!() };
        let told: Vec<_> = labels.iter().map(|(key, value)| (*key, value.as_str())).collect();
        let expected =
            [("exe", hostile), ("module", ""), ("namespace", ""), ("pod", "\\"), ("container_id", "")];
        assert_eq!(told, [&expected[..], &[("outcome", "main")]].concat());
        assert_eq!(*value, Value::Whole(u64::MAX));
        let phases = family(&families, "gotrace_startup_phase_seconds");
        assert_eq!(phases.series[0].value, Value::Real(1.5));
        assert_eq!(family(&families, "gotrace_ready").kind, Kind::Gauge);
        let Value::Histogram(histogram) = &family(&families, "gotrace_startup_seconds").series[0].value
        else {
            panic!("no histogram")
        };
        assert_eq!((histogram.count, histogram.sum), (5, 1e6 + 0.7035));
        assert_eq!(histogram.buckets, [2, 1, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 1]);
        assert_eq!((histogram.bounds.len(), histogram.bounds[8]), (12, 1.0));
        // What nobody has is there, with nothing.
        assert!(family(&families, "gotrace_gc_cycles").series.is_empty());
    }

    #[test]
    fn numbers_are_what_they_were() {
        let real = |text: &str| match number(text) {
            Some(Value::Real(real)) => real,
            other => panic!("{text}: {other:?}"),
        };
        assert_eq!(
            [real("0.1"), real("1e300"), real("inf"), real("-inf")],
            [0.1, 1e300, f64::INFINITY, -f64::INFINITY]
        );
        assert!(real("NaN").is_nan());
        assert_eq!(number("7"), Some(Value::Whole(7)));
        assert_eq!(number("7 # {} 1"), None);
    }

    #[test]
    fn what_gotrace_does_not_write_is_refused_by_its_line() {
        let counter = |samples: &str| format!("# HELP a b\n# TYPE a counter\n{samples}# EOF\n");
        assert!(read(&counter("a_total 1\na_total{x=\"\"} 2.5\n")).is_ok());
        for samples in [
            "a 1\n",
            "a_total\n",
            "a_total NaN\n",
            "a_total inf\n",
            "a_total -1\n",
            "a_total 1 1600000000\n",
            "a_total{x=\"1\" 1\n",
            "a_total{x=\"\\t\"} 1\n",
            "a_total{x=1} 1\n",
            "\n",
        ] {
            assert_eq!(read(&counter(samples)), Err(Unreadable(3)), "{samples}");
        }
        assert!(read("").is_err() && read("# EOF").is_err() && read("# EOF\nmore\n").is_err());
        assert!(read("# HELP a b\n# TYPE b gauge\n# EOF\n").is_err());
        let histogram = |rest: &str| format!("# HELP a b\n# TYPE a histogram\na_sum 1.0\n{rest}# EOF\n");
        assert!(read(&histogram("a_count 2\na_bucket{le=\"1.0\"} 1\na_bucket{le=\"+Inf\"} 2\n")).is_ok());
        for rest in [
            "",
            "a_count 2\n",
            "a_count{x=\"\"} 2\na_bucket{le=\"+Inf\"} 2\n",
            "a_count 2\na_bucket 2\n",
            "a_count 2\na_bucket{le=\"1.0\"} 1\n",
            "a_count 2\na_bucket{le=\"+Inf\"} 3\n",
            "a_count 2\na_bucket{le=\"1.0\"} 3\na_bucket{le=\"+Inf\"} 2\n",
            "a_count 2\na_bucket{le=\"1.0\"} 1\na_bucket{le=\"0.5\"} 1\na_bucket{le=\"+Inf\"} 2\n",
            "a_count 2\na_bucket{x=\"y\"} 1\na_bucket{le=\"+Inf\"} 2\n",
        ] {
            assert!(read(&histogram(rest)).is_err(), "{rest}");
        }
    }
}
